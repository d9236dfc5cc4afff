/** What a pool was told to do otherwise, seen while it runs and in its journal after the fact. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { overflow, type Running, running, violations, watched } from "./harness";

let set: Running;
beforeAll(async () => {
  set = await running();
});
afterAll(() => set.stop());

/** Waits for so many ticks more. */
async function ticks(count: number): Promise<void> {
  const seen = (await set.pool()).summary.last_tick_s ?? 0;
  await expect.poll(async () => (await set.pool()).summary.last_tick_s).toBeGreaterThan(seen + 2 * count - 1);
}

const rows = (page: Page): Promise<string[]> =>
  page.locator(".reconfigured tbody tr").evaluateAll((found) => found.map((row) => [...row.children].slice(1).map(({ textContent }) => textContent).join(" | ")));

const EXPECTED = ["maxReplicas | 3 | 2", "paused by an operator | no | yes"];

test("an order and an edited configuration are marked and told, live and afterwards", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(`${set.url}#/pool/chat`);
  await page.waitForSelector(".chart canvas");
  await ticks(2);
  expect(await page.locator(".reconfigured").count()).toBe(0);
  await set.order({ paused: true });
  // Nothing is reloaded: the page is told.
  await page.locator(".reconfigured summary", { hasText: "1 change of settings or orders" }).waitFor();
  await close();
  expect(troubles).toEqual([]);

  await set.restart("maxReplicas: 3", "maxReplicas: 2");
  await ticks(2);
  const journal = await set.afterTheFact();
  const later = await watched({ ...set, url: journal.url }, { viewport: { width: 390, height: 800 } });
  await later.page.goto(`${journal.url}#/pool/chat`);
  await later.page.locator(".reconfigured summary").focus();
  await later.page.keyboard.press("Enter");
  expect(await rows(later.page)).toEqual(EXPECTED);
  expect(await overflow(later.page)).toBeLessThanOrEqual(0);
  expect(await violations(later.page)).toEqual([]);
  // From a line to the charts around its moment.
  await later.page.keyboard.press("Tab");
  await later.page.keyboard.press("Tab");
  await later.page.keyboard.press("Enter");
  await expect.poll(() => later.page.url()).toContain("from=");
  await expect.poll(() => rows(later.page)).toEqual(EXPECTED);
  if (process.env["SHOT"]) await later.page.screenshot({ path: process.env["SHOT"], fullPage: true });
  await later.close();
  await journal.end();
  expect(later.troubles).toEqual([]);
});
