/** The lab as people use it: each step from guess to answer, the answers equal to the command line's. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lesson, Step } from "../src/api/types";
import { answer, changed, type Report, type RunOf } from "../src/lab/answer";
import { lab, overflow, preheatProgram, prometheus, violations, watched } from "./harness";

let set: Awaited<ReturnType<typeof lab>>;
let folder: string;
let lesson: Lesson;
beforeAll(async () => {
  set = await lab();
  folder = mkdtempSync(join(tmpdir(), "preheat-lab-"));
  lesson = (await (await fetch(new URL("api/v1/lab", set.url))).json()) as Lesson;
});
afterAll(async () => {
  await set.stop();
  rmSync(folder, { recursive: true });
});

const step = (id: string): Step => {
  const found = lesson.steps.find((one) => one.id === id);
  if (!found) throw new Error(`the lesson has no step ${id}`);
  return found;
};

const at = (id: string): string => new URL(`#/lab/${id}`, set.url).href;

/** What the command line says of the same scenario under the same policy. */
function told(scenario: string, policy: string, knobs: Record<string, number>): Report {
  const [file, policyFile] = [join(folder, "scenario.yaml"), join(folder, "policy.yaml")];
  writeFileSync(file, scenario);
  writeFileSync(policyFile, JSON.stringify({ policy, knobs }));
  return JSON.parse(execFileSync(preheatProgram(), ["scenario", file, "--policy", policyFile, "--json", "--series"], { encoding: "utf8" })) as Report;
}

async function guess(page: Page, { questions }: Step): Promise<void> {
  for (const { id, kind } of questions) {
    if (kind.kind === "number") await page.fill(`input[name="${id}"]`, "7");
    else await page.check(`input[name="${id}"] >> nth=0`);
  }
  await page.click("text=Commit my guess");
}

test.each(["signal", "cold-start", "strategies", "sizing"])("%s: from the guess to an answer that the command line gives too", async (id) => {
  const { page, troubles, close } = await watched(set);
  await page.goto(at(id));
  await page.waitForSelector(".guesses");
  expect(await page.locator(".reveal").count()).toBe(0);
  expect(await violations(page)).toEqual([]);
  await guess(page, step(id));
  await page.waitForSelector(".reveal");
  const { experiment, questions } = step(id);
  if (!experiment) throw new Error(`${id} has no experiment`);
  const runs: RunOf[] = experiment.runs.map(({ id: run, policy, settings, changes }) => ({
    id: run,
    report: told(changed(experiment.text, changes), policy, Object.fromEntries(settings.map(({ knob, value }) => [knob, value]))),
  }));
  for (const { id: run, report } of runs) {
    const row = page.locator(`tr[data-run="${run}"]`);
    expect(await row.getAttribute("data-attainment")).toBe(String(report.attainment));
    expect(await row.getAttribute("data-gpu-hours")).toBe(String(report.gpu_hours));
  }
  for (const question of questions) {
    const shown = page.locator(`.told[data-question="${question.id}"]`);
    expect(await shown.getAttribute("data-answer")).toBe(String(answer(question.answer, runs, experiment.event_minute)));
    // The guess is in the picture.
    if (question.kind.kind === "number") expect(await shown.locator(".guess-label").textContent()).toContain("your guess: 7");
    else expect(await shown.locator("svg").textContent()).toContain("▶");
  }
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("What happened");
  expect(await violations(page)).toEqual([]);
  // It is remembered, and told again without a new guess.
  await page.reload();
  await page.waitForSelector(".reveal");
  expect(await page.locator(".steps .done").count()).toBe(1);
  await close();
  expect(troubles).toEqual([]);
});

test("what the nodes have can be dragged, and each place is run anew as on the command line", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(at("cold-start"));
  await page.waitForSelector(".guesses");
  await guess(page, step("cold-start"));
  const { experiment } = step("cold-start");
  const [first] = experiment?.runs ?? [];
  if (!experiment?.dials || !first) throw new Error("there is nothing to drag");
  const row = page.locator('tr[data-run="yours"]');
  const isAsTold = async (value: string): Promise<void> => {
    const { attainment } = told(changed(experiment.text, [{ key: "coldStart", value }]), first.policy, {});
    await expect.poll(() => row.getAttribute("data-attainment")).toBe(String(attainment));
  };
  await page.getByRole("slider", { name: "Image" }).focus();
  await page.keyboard.press("End");
  await isAsTold("{perNode: {weights: remote-store, compileCache: miss}}");
  await page.getByRole("slider", { name: "Weights" }).focus();
  await page.keyboard.press("ArrowRight");
  await isAsTold("{perNode: {weights: local-nvme, compileCache: miss}}");
  expect(await page.locator(".dials [role=status]").textContent()).toMatch(/first new replica is ready after \d+ minutes?; .* requests missed/);
  // It is in the pictures, beside the guess.
  await page.locator(".lab-legend", { hasText: "as dragged" }).first().waitFor();
  expect(await page.locator('.told[data-question="ready"] svg').textContent()).toContain("as dragged");
  expect(await page.locator('.told[data-question="ready"] .guess-label').textContent()).toContain("your guess: 7");
  await page.getByRole("checkbox", { name: /Sleep mode/ }).check();
  await isAsTold("{fixed: 5s}");
  expect(await page.getByRole("slider", { name: "Weights" }).isDisabled()).toBe(true);
  expect(await violations(page)).toEqual([]);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await close();
  expect(troubles).toEqual([]);
});

test("anything can be changed and run again, stopped, and mistakes are shown with their place", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(at("cold-start"));
  await page.waitForSelector(".guesses");
  await guess(page, step("cold-start"));
  await page.waitForSelector(".again");
  const again = page.locator(".again");
  await again.locator("select").nth(1).selectOption({ label: "image, weights on NVMe, compiled kernels" });
  await again.locator("input").first().fill("preheat");
  await again.locator("text=Run it").last().click();
  await page.waitForSelector('tr[data-run="yours"]');
  await again.locator("summary").click();
  const text = await again.locator("textarea").inputValue();
  expect(text).toContain("local-nvme");
  const report = told(text, "preheat", {});
  expect(await page.locator('tr[data-run="yours"]').getAttribute("data-attainment")).toBe(String(report.attainment));
  expect(troubles).toEqual([]);
  // A question mark in the scenario is not a wish for help.
  await again.locator("textarea").fill(`${text}what? yes\n`);
  expect(await page.locator("dialog").count()).toBe(0);
  await again.locator("button[type=submit]").click();
  await again.locator(".problem").waitFor();
  expect(await again.locator(".problem").textContent()).toContain("scenario.yaml:");
  await again.locator("textarea").fill(text.replace("rate: 3}\n    lasts: 40m", "rate: 8}\n    lasts: 9h"));
  await again.locator("button[type=submit]").click();
  await again.locator("text=Stop").click();
  await again.locator("text=Stop").waitFor({ state: "detached" });
  await close();
});

test("one's own figures become files", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(at("cluster"));
  await page.fill('input[name="qps"]', "40");
  await page.fill('input[name="max_num_seqs"]', "64");
  await page.click("text=Size it");
  await page.waitForSelector(".sized");
  const arguments_ = ["--qps", "40", "--quiet-qps", "2", "--growth", "0.5", "--max-num-seqs", "64", "--profile", "qwen-27b-fp8-h100", "--input-tokens", "1000", "--output-tokens", "300"];
  const size = (...more: string[]): string => execFileSync(preheatProgram(), ["size", ...arguments_, ...more], { encoding: "utf8" });
  const [config, manifest] = await page.locator(".sized pre").allTextContents();
  expect([config, manifest]).toEqual([size("--as", "config"), size("--as", "manifest")]);
  const sized = JSON.parse(size("--json")) as { with_headroom: { replicas: number } };
  expect(await page.locator(".sized").getAttribute("data-replicas")).toBe(String(sized.with_headroom.replicas));
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("text=Download preheat.yaml")]);
  expect(download.suggestedFilename()).toBe("preheat.yaml");
  await page.click("text=Try it out");
  await expect.poll(() => page.locator(".try-out li").count()).toBe(2);
  expect(await violations(page)).toEqual([]);
  await page.check("text=from a latency that I measured");
  await page.click("text=Size it");
  await expect.poll(() => page.locator(".sized pre").count()).toBe(2);
  await close();
  expect(troubles).toEqual([]);
});

test("a Prometheus fills in one's own figures, and what it does not tell is said", async () => {
  const source = await prometheus();
  const own = await lab("--prometheus", source.url, "--pool", "m", "--from", "-1h", "--cold-start", "90s");
  const { page, troubles, close } = await watched(own);
  await page.goto(new URL("#/lab/cluster", own.url).href);
  await page.click("text=Take its figures");
  await page.waitForSelector(".own .notes");
  for (const [name, value] of [["qps", "2"], ["quiet_qps", "2"], ["growth_qps_per_min", "0"], ["input_tokens", "500"], ["output_tokens", "80"], ["cold_start_s", "90"]]) {
    expect(await page.inputValue(`input[name="${name}"]`)).toBe(value);
  }
  expect(await page.locator("label", { hasText: "max-num-seqs" }).textContent()).toContain("not in the history");
  expect(await page.locator(".own .notes").textContent()).toContain("slots: this past does not tell them");
  expect(await violations(page)).toEqual([]);
  await page.click("text=Size it");
  await page.waitForSelector(".sized");
  const [config] = await page.locator(".sized pre").allTextContents();
  const arguments_ = ["--qps", "2", "--quiet-qps", "2", "--cold-start", "90s", "--max-num-seqs", "32", "--profile", "qwen-27b-fp8-h100", "--input-tokens", "500", "--output-tokens", "80"];
  expect(config).toBe(execFileSync(preheatProgram(), ["size", ...arguments_, "--as", "config"], { encoding: "utf8" }));
  await close();
  expect(troubles).toEqual([]);
  await own.stop();
  source.stop();
});

test("recall, teach back, by keyboard; forgotten when asked to", async () => {
  const { page, troubles, close } = await watched(set);
  await page.goto(set.url);
  await page.waitForSelector(".steps");
  // From the first step to the last, by its link.
  await page.locator(".steps a").last().focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector(".cards");
  await page.locator(".cards summary").first().focus();
  await page.keyboard.press("Enter");
  await expect.poll(() => page.locator(".cards details[open]").count()).toBe(1);
  await page.fill("textarea", "It will grow and stay there.");
  await page.locator(".model summary").click();
  await expect.poll(() => page.locator(".steps .done").count()).toBe(1);
  await page.reload();
  await expect.poll(() => page.locator("textarea").inputValue()).toBe("It will grow and stay there.");
  expect(await violations(page)).toEqual([]);
  await page.click("text=Forget my progress");
  expect(await page.locator("textarea").inputValue()).toBe("");
  expect(await page.locator(".steps .done").count()).toBe(0);
  await close();
  expect(troubles).toEqual([]);
});

test.each(["signal", "cluster", "recall"])("nothing overflows on a phone, in the dark: %s", async (id) => {
  const { page, troubles, close } = await watched(set, { viewport: { width: 360, height: 800 }, colorScheme: "dark" });
  await page.goto(at(id));
  await page.waitForSelector(".lesson h2");
  if (id === "signal") {
    await guess(page, step(id));
    await page.waitForSelector(".reveal");
  }
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  expect(await violations(page)).toEqual([]);
  await close();
  expect(troubles).toEqual([]);
});
