/** The page of a pool that runs: it grows while one looks, and one of its engines crashes. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Running, running, watched } from "./harness";

let set: Running;
beforeAll(async () => {
  set = await running();
});
afterAll(() => set.stop());

test("a scale-up from none and a crash are seen as they happen", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(`${set.url}#/pool/chat`);
  await page.locator(".state-live").waitFor();
  expect(await page.locator(".replicas tbody tr").count()).toBe(0);
  const answer = fetch(`${set.gateway}v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m", prompt: "Hello", max_tokens: 4000 }),
  });
  // Nothing is reloaded: the page is told.
  await page.locator(".decisions li", { hasText: "Started 1 replica" }).first().waitFor();
  // It stays, however quickly the answer is done.
  const { summary } = await set.pool();
  const pinned = { replicas: 1, until_s: (summary.last_tick_s ?? 0) + 6 * 3600 };
  await set.order({ pinned });
  await page.locator(".replicas tbody tr", { hasText: "ready" }).first().waitFor();
  const crashed = (await set.pool()).replicas.find(({ phase, pid }) => phase === "ready" && pid !== null);
  if (!crashed?.pid) throw new Error("no replica tells its process");
  process.kill(crashed.pid, "SIGKILL");
  const restarts = page.locator(".replicas tbody tr", { hasText: `r${crashed.id}` }).locator("b.level-2", { hasText: "1" });
  await restarts.first().waitFor();
  // Whoever asked is told in some way; a stream that had begun is cut.
  await answer.then((told) => told.text()).catch(() => undefined);
  await close();
  expect(troubles).toEqual([]);
});
