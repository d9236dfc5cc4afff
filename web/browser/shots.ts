/** Takes the screenshots of the documentation: `make screenshots`. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Stage, stage, watched } from "./harness";

const folder = process.env["SHOTS"] ?? "";
let set: Stage;
beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  set = await stage("demo");
});
afterAll(() => set.stop());

test.each([
  { name: "dashboard", width: 1280, height: 1060, scheme: "dark" },
  { name: "dashboard-light", width: 1280, height: 1060, scheme: "light" },
  { name: "dashboard-phone", width: 390, height: 1060, scheme: "light" },
] as const)("$name", async ({ name, width, height, scheme }) => {
  const { page, troubles, close } = await watched(set, { viewport: { width, height }, colorScheme: scheme });
  await page.goto(`${set.url}#/pool/chat?last=3600`);
  await page.waitForSelector(".uplot canvas");
  await page.waitForSelector(".decisions li");
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await close();
  expect(troubles).toEqual([]);
});
