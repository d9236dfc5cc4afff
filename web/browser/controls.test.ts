/** What an operator orders on the page, of engines that really start. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { CONTROL_TOKEN, overflow, type Running, running, violations, watched } from "./harness";

let set: Running;
beforeAll(async () => {
  set = await running();
});
afterAll(() => set.stop());

test("pin with the token, see it done, take it back, pause", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(`${set.url}#/pool/chat`);
  await page.locator(".controls summary").click();
  const pin = page.locator(".controls form").filter({ has: page.getByRole("button", { name: "Pin" }) });
  await pin.getByLabel("Replicas").fill("2");
  await pin.getByRole("button", { name: "Pin" }).click();
  // Reading is free on this machine, ordering is not.
  await page.getByLabel("Token").fill(CONTROL_TOKEN);
  await page.getByRole("button", { name: "Use it" }).click();
  await page.getByText("Pinned at 2").waitFor();
  await expect.poll(async () => (await set.pool()).summary.ready).toBe(2);
  await page.getByText("an operator has pinned it at 2").first().waitFor();
  expect(await violations(page)).toEqual([]);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await page.getByRole("button", { name: "Take back" }).click();
  await page.getByText("Pinned at 2").waitFor({ state: "detached" });

  // A pool with nothing to do would give both up; a paused one does not.
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused by an operator.").waitFor();
  const { summary, controls } = await set.pool();
  expect(controls).toEqual({ paused: true, pinned: null, announced: [] });
  expect(summary.replicas_max).toBe(3);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByText("Paused by an operator.").waitFor({ state: "detached" });

  const announce = page.locator(".controls form").filter({ has: page.getByRole("button", { name: "Announce" }) });
  await announce.getByLabel("Replicas").fill("3");
  await announce.getByRole("button", { name: "Announce" }).click();
  await page.getByText(/^Announced: 3 from/).waitFor();
  await expect.poll(async () => (await set.pool()).summary.ready).toBe(3);
  if (process.env["SHOT"]) await page.screenshot({ path: process.env["SHOT"] });
  await close();
  expect(troubles.filter((trouble) => !trouble.includes("403"))).toEqual([]);
});
