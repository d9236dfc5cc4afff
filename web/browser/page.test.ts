/** The page as people use it, in a real browser, on a recorded journal. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Fleet, Pool } from "../src/api/types";
import { overflow, type Stage, stage, violations, watched } from "./harness";

const POOL = "#/pool/simulated?last=3600";

let set: Stage;
beforeAll(async () => {
  set = await stage();
});
afterAll(() => set.stop());

/** Waits for everything that a pool's page shows. */
async function drawn(page: Page): Promise<void> {
  await page.waitForSelector(".chart canvas");
  await page.waitForSelector(".decisions li");
  await page.waitForSelector(".replicas tbody tr");
}

test("from the fleet to a pool, to a decision, to every number, and back by link", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(set.url);
  await page.click(".fleet tbody a");
  await drawn(page);
  expect(await page.title()).toBe("simulated · preheat");
  const titles = await page.locator(".chart h2").allTextContents();
  expect(titles).toEqual(expect.arrayContaining(["Load and slots", "Replicas", "Queue"]));
  await page.locator(".decisions li > details > summary").nth(2).click();
  await page.waitForSelector(".numbers");
  expect(await page.locator(".numbers").textContent()).toContain("Demand");
  await page.locator(".numbers details summary").click();
  expect(await page.locator(".numbers dt").allTextContents()).toContain("demand.offered_load");
  // The address has the decision in it: who opens it sees the same.
  const link = page.url();
  expect(link).toContain("decision=");
  const other = await watched(set);
  await other.page.goto(link);
  await other.page.waitForSelector(".numbers");
  await expect.poll(() => other.page.locator(".numbers").count()).toBe(1);
  await other.close();
  await page.keyboard.press("Escape");
  await page.waitForSelector(".fleet");
  await close();
  expect([...troubles, ...other.troubles]).toEqual([]);
});

test("a range by key, by dragging, and back to the newest", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(set.url + POOL);
  await drawn(page);
  await page.keyboard.press("1");
  await expect.poll(() => page.url()).toContain("last=900");
  await drawn(page);
  const box = await page.locator(".chart .u-over").first().boundingBox();
  if (!box) throw new Error("the chart has no size");
  await page.mouse.move(box.x + box.width * 0.3, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await expect.poll(() => page.url()).toContain("from=");
  await drawn(page);
  await page.keyboard.press("l");
  await expect.poll(() => page.url()).toContain("last=");
  await close();
  expect(troubles).toEqual([]);
});

test.each([
  { name: "a phone, light", width: 360, scheme: "light" },
  { name: "a screen, dark", width: 1280, scheme: "dark" },
] as const)("nothing overflows and everything is accessible: $name", async ({ width, scheme }) => {
  const { page, troubles, close } = await watched(set, { viewport: { width, height: 800 }, colorScheme: scheme });
  for (const path of ["", POOL]) {
    await page.goto(set.url + path);
    if (path === POOL) await drawn(page);
    else await page.waitForSelector(".fleet tbody tr");
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await violations(page)).toEqual([]);
  }
  await page.keyboard.press("?");
  await page.waitForSelector("dialog[open]");
  expect(await violations(page)).toEqual([]);
  await close();
  expect(troubles).toEqual([]);
});

test("every measured start is a dot among the others, and a row of a table", async () => {
  const { page, troubles, close } = await watched(set);
  const { cold_starts } = (await (await fetch(`${set.url}api/v1/pools/simulated`)).json()) as Pool;
  expect(cold_starts.length).toBeGreaterThan(1);
  await page.goto(set.url + POOL);
  await drawn(page);
  expect(await page.locator(".cold-start .whole circle").count()).toBe(cold_starts.length);
  await page.locator("details", { has: page.locator(".starts") }).locator("summary").click();
  expect(await page.locator(".starts tbody tr").count()).toBe(cold_starts.length);
  expect(await violations(page)).toEqual([]);
  await close();
  expect(troubles).toEqual([]);
});

test("what a pool spent comes by itself, beside the optimum, on both pages", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(set.url);
  await expect.poll(() => page.locator(".fleet .cost").textContent(), { timeout: 120_000 }).toContain("optimum");
  expect(await page.locator(".fleet .cost .spent").getAttribute("title")).toMatch(/GPU-hours in the last .* of the first tokens were within the SLO/);
  await page.click(".fleet tbody a");
  await drawn(page);
  expect(await page.locator(".figures").first().textContent()).toMatch(/GPU-hours.*optimum/);
  // What is held ahead is told to those who can't see it.
  const label = await page.locator(".chart [role=img]").first().getAttribute("aria-label");
  expect(label).toMatch(/are held, which is no prediction/);
  await close();
  expect(troubles).toEqual([]);
});

test("the lab takes a pool's own figures from its history", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(`${set.url}#/lab/cluster`);
  await page.click("text=Take its figures");
  await expect.poll(() => page.locator(".own [role=status]").textContent()).toContain("Taken");
  expect(await page.inputValue('input[name="max_num_seqs"]')).toBe("64");
  expect(await page.inputValue('input[name="qps"]')).not.toBe("10");
  // Its last decision knew how long a request takes in how many slots.
  expect(await page.isChecked("text=from a latency that I measured")).toBe(true);
  expect(await page.locator(".fields").textContent()).not.toContain("not in the history");
  await page.click("text=Size it");
  await page.waitForSelector(".sized");
  expect(await violations(page)).toEqual([]);
  await close();
  expect(troubles).toEqual([]);
});

test("five hundred pools, by keyboard", async () => {
  const { page, troubles, close } = await watched(set);
  const fleet = (await (await fetch(`${set.url}api/v1/fleet`)).json()) as Fleet;
  const [one] = fleet.pools;
  if (!one) throw new Error("the journal has no pool");
  const pools = Array.from({ length: 500 }, (_, index) => ({ ...one, pool: `pool-${index}`, queue_depth: index === 321 ? 9999 : 0 }));
  await page.route("**/api/v1/events", (route) =>
    route.fulfill({ contentType: "text/event-stream", body: `event: fleet\ndata: ${JSON.stringify({ ...fleet, pools })}\n\n` }),
  );
  await page.goto(set.url);
  await page.waitForSelector(".fleet tbody tr");
  expect(await page.locator(".fleet tbody tr").count()).toBe(500);
  expect(await page.locator(".fleet tbody a").first().textContent()).toBe("pool-321");
  await page.keyboard.press("/");
  await page.keyboard.type("pool-49");
  await expect.poll(() => page.locator(".fleet tbody tr").count()).toBe(11);
  expect(await page.locator(".search").textContent()).toContain("11 of 500");
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  expect(await page.evaluate(() => document.activeElement?.textContent)).toMatch(/^pool-49/);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await close();
  expect(troubles).toEqual([]);
});

test("when the server goes away the page says so, and comes back with it", async () => {
  const server = await set.serve();
  const { page, close } = await watched({ ...set, url: server.url });
  await page.goto(server.url + POOL);
  await drawn(page);
  await server.end();
  await page.waitForSelector(".state-lost");
  // What was known is still there.
  expect(await page.locator(".replicas tbody tr").count()).toBeGreaterThan(0);
  const again = await set.serve({ listen: new URL(server.url).host });
  await page.waitForSelector(".state-lost", { state: "detached" });
  await again.end();
  await close();
});

test("with a token the page asks for it", async () => {
  const server = await set.serve({ token: "0123456789abcdef" });
  const { page, close } = await watched({ ...set, url: server.url });
  await page.goto(server.url);
  await page.waitForSelector("input[type=password]");
  expect(await page.locator(".fleet").count()).toBe(0);
  await page.fill("input[type=password]", "0123456789abcdef");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".fleet tbody tr");
  expect(page.url()).not.toContain("0123456789abcdef");
  await close();
  await server.end();
});
