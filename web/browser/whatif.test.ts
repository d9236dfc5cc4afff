/** What if, as people ask it: of a recorded journal, with the figures of the command line, and of a running pool. */
import { execFileSync } from "node:child_process";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { overflow, preheatProgram, running, type Stage, stage, violations, watched } from "./harness";

const POOL = "#/pool/simulated?last=3600";

let set: Stage;
beforeAll(async () => {
  set = await stage();
});
afterAll(() => set.stop());

async function opened(page: Page): Promise<void> {
  await page.locator(".what-if summary").focus();
  await page.keyboard.press("Enter");
  await page.locator(".what-if form").waitFor();
}

const told = (page: Page, run: string, name: string): Promise<string | null> => page.locator(`.what-if tr[data-run="${run}"]`).getAttribute(`data-${name}`);

test("by keyboard: another policy, another bound, and the answer of the command line", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(set.url + POOL);
  await opened(page);
  expect(await page.getByLabel("Most replicas").inputValue()).toBe("8");
  expect(await page.getByLabel("within it, %").inputValue()).toBe("99");
  await page.getByLabel("Policy").selectOption("keda-waiting");
  await page.getByLabel("Most replicas").fill("6");
  await page.getByLabel("Cold start, s").fill("60");
  await page.keyboard.press("Enter");
  await page.getByText("What would have been").waitFor();
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("What would have been");
  expect(await page.locator(".what-if .chart canvas").count()).toBe(2);
  expect(await violations(page)).toEqual([]);
  expect(await overflow(page)).toBeLessThanOrEqual(0);

  const backtest = ["backtest", "--journal", set.journal, "--from", "6h", "--max-num-seqs", "64", "--max-replicas", "6", "--cold-start", "60s", "--policies", "keda-waiting", "--json"];
  const found = JSON.parse(execFileSync(preheatProgram(), backtest, { encoding: "utf8" })) as { policies: [string, { attainment: number; gpu_hours: number }][] };
  const [, expected] = found.policies[1] ?? ["", null];
  expect(await told(page, "alternative-1", "attainment")).toBe(String(expected?.attainment));
  expect(await told(page, "alternative-1", "gpu-hours")).toBe(String(expected?.gpu_hours));

  // The address holds what was asked: who opens it has the form as it was.
  const link = page.url();
  expect(link).toContain("keda-waiting");
  const other = await watched(set);
  await other.page.goto(link);
  await other.page.locator(".what-if form").waitFor();
  expect(await other.page.getByLabel("Policy").inputValue()).toBe("keda-waiting");
  expect(await other.page.getByLabel("Most replicas").inputValue()).toBe("6");
  await other.close();
  if (process.env["SHOT"]) await page.locator(".what-if").screenshot({ path: process.env["SHOT"] });
  await close();
  expect([...troubles, ...other.troubles]).toEqual([]);
});

test("several at once; what can't be is told where it was asked", async () => {
  const { page, close } = await watched(set);
  await page.goto(set.url + POOL);
  await opened(page);
  await page.getByRole("button", { name: "Another alternative" }).click();
  const second = page.locator(".what-if fieldset").nth(1);
  await second.getByLabel("Fewest replicas").fill("9");
  await page.getByRole("button", { name: "Replay" }).click();
  await page.locator(".what-if .problem").waitFor();
  expect(await page.locator(".what-if .problem").textContent()).toContain("alternative 2: `replicas_min` is 9");
  await second.getByLabel("Fewest replicas").fill("4");
  await page.getByRole("button", { name: "Replay" }).click();
  await page.locator('.what-if tr[data-run="alternative-2"]').waitFor();
  expect(await page.locator(".what-if .problem").count()).toBe(0);
  expect(await page.locator('.what-if tr[data-run="alternative-2"]').textContent()).toContain("4 to 8 replicas");
  await close();
});

test("nothing overflows on a phone, in the dark, and in print the result stays", async () => {
  const { page, troubles, close } = await watched(set, { viewport: { width: 360, height: 800 }, colorScheme: "dark" });
  await page.goto(set.url + POOL);
  await opened(page);
  await page.getByRole("button", { name: "Replay" }).click();
  await page.getByText("What would have been").waitFor();
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  expect(await violations(page)).toEqual([]);
  await page.emulateMedia({ media: "print" });
  expect(await page.locator(".what-if form").isVisible()).toBe(false);
  expect(await page.getByText("preheat as configured").isVisible()).toBe(true);
  await close();
  expect(troubles).toEqual([]);
});

test("of a running pool: what it is configured to, and that nothing came", async () => {
  const live = await running();
  const { page, close } = await watched(live);
  await page.goto(`${live.url}#/pool/chat`);
  await opened(page);
  expect(await page.getByLabel("Fewest replicas").inputValue()).toBe("0");
  expect(await page.getByLabel("Most replicas").inputValue()).toBe("3");
  await page.getByRole("button", { name: "Replay" }).click();
  await page.locator(".what-if .problem").waitFor();
  expect(await page.locator(".what-if .problem").textContent()).toContain("no request is in the history");
  await close();
  await live.stop();
});
