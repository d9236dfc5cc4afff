/** A week's journal: every range is drawn, and what is sent for it stays small however long it is. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { History } from "../src/api/types";
import { RANGES } from "../src/route";
import { type Stage, stage, watched } from "./harness";

const WEEK_S = 7 * 86_400;
/** A chart has about one step for two of its pixels; the server widens to steps that are easy to read. */
const STEPS_MAX = 700;
/** Five digits a value, some thirty columns. */
const BYTES_MAX = 200_000;

let set: Stage;
beforeAll(async () => {
  set = await stage("week");
});
afterAll(() => set.stop());

/** Everything that was answered to a history, in order. */
function histories(page: Page): Promise<{ history: History; bytes: number }>[] {
  const seen: Promise<{ history: History; bytes: number }>[] = [];
  page.on("response", (response) => {
    if (!response.url().includes("/history?")) return;
    seen.push(response.body().then((body) => ({ history: JSON.parse(body.toString()) as History, bytes: body.length })));
  });
  return seen;
}

/** Waits until all of a range was read. */
async function whole(page: Page): Promise<void> {
  await page.waitForSelector(".chart canvas");
  await page.locator("[aria-label=Charts] .sums [role=status]").waitFor({ state: "detached" });
}

const shown = (page: Page): Promise<string | null> => page.locator(".ranges .quiet").textContent();

test("each range is drawn to its begin, from answers that stay small", async () => {
  const { page, troubles, close } = await watched(set);
  const seen = histories(page);
  await page.goto(`${set.url}#/pool/simulated?last=${WEEK_S}`);
  await whole(page);
  expect(await shown(page)).toMatch(/^\d:\d\d – 167:/);
  const week = await Promise.all(seen);
  const newest = week.at(-1)?.history;
  // All of the week is in it: a tick every three minutes.
  const ticks = newest?.series.ticks.reduce((sum, count) => sum + count, 0) ?? 0;
  expect(ticks).toBeGreaterThan(7 * 24 * 20 - 10);
  expect(newest?.complete_from_s).toBe(newest?.from_s);
  for (const [index, { seconds }] of RANGES.entries()) {
    await page.keyboard.press(String(index + 1));
    await expect.poll(() => page.url()).toContain(`last=${seconds}`);
    await expect.poll(async () => (await seen.at(-1))?.history.from_s).toBeGreaterThanOrEqual(Math.max(0, WEEK_S - seconds - 2 * 3600));
    await whole(page);
  }
  for (const { history, bytes } of await Promise.all(seen)) {
    expect(history.series.at_s.length).toBeLessThanOrEqual(STEPS_MAX);
    expect(bytes).toBeLessThanOrEqual(BYTES_MAX);
  }
  await close();
  expect(troubles).toEqual([]);
});

test("a day of it, earlier and later, closer, and back to the newest", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(`${set.url}#/pool/simulated?from=${2 * 86_400}&until=${3 * 86_400}`);
  await whole(page);
  expect(await shown(page)).toBe("48:00:00 – 72:00:00");
  await page.keyboard.press("[");
  await expect.poll(() => shown(page)).toBe("36:00:00 – 60:00:00");
  await page.keyboard.press("]");
  await page.keyboard.press("]");
  await expect.poll(() => shown(page)).toBe("60:00:00 – 84:00:00");
  await whole(page);
  const box = await page.locator(".chart .u-over").first().boundingBox();
  if (!box) throw new Error("the chart has no size");
  await page.mouse.move(box.x + box.width * 0.25, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await expect.poll(async () => (await shown(page)) ?? "").toMatch(/^6[56]:.* – 7[78]:/);
  await whole(page);
  await page.keyboard.press("l");
  await expect.poll(async () => (await shown(page)) ?? "").toMatch(/ – 167:/);
  await close();
  expect(troubles).toEqual([]);
});
