import { expect, test } from "vitest";
import { answer, changed, figure, type Minute, parseKnobs, type Report, verdict } from "../src/lab/answer";
import { load, NOTHING, save } from "../src/lab/progress";

const minute = (at: number, ready: number, arrivals: number, within_slo: number): Minute => ({ minute: at, ready, arrivals, within_slo, need: 0, desired: ready, starting: 0, queue: 0 });
const SERIES = [minute(0, 2, 9, 9), minute(1, 3, 9, 8), minute(2, 3, 20, 5), minute(3, 4, 20, 7), minute(4, 9, 9, 0)];
const report = (attainment: number, gpu_hours: number): Report => ({
  scenario: "x", policy: "x", requests: 67, attainment, gpu_hours, starts: 1, stops: 0, replicas_peak: 9, direction_changes: 3, streams_cut: 0,
  ttft_s: { p50: 1, p90: 2, p99: 3 }, series: SERIES,
});

test("figures are read as the program reads them", () => {
  const one = report(0.9, 4);
  expect(figure("minutes_to_ready", one, 2)).toBe(2);
  expect(figure("missed_until_ready", one, 2)).toBe(15 + 13);
  expect(figure("attainment_percent", one, 2)).toBe(90);
  // Nothing is known before the first minute.
  expect(figure("minutes_to_ready", one, 0)).toBeNull();
});

test("the cheapest is among those that keep the promise", () => {
  const runs = [{ id: "cheap", report: report(0.5, 1) }, { id: "dear", report: report(1, 9) }, { id: "right", report: report(0.99, 5) }];
  expect(answer({ by: "cheapest", attainment_percent_min: 99 }, runs, 2)).toBe("right");
  expect(answer({ by: "cheapest", attainment_percent_min: 100.1 }, runs, 2)).toBeNull();
  expect(answer({ by: "figure", run: "dear", figure: "gpu_hours" }, runs, 2)).toBe(9);
  expect(answer({ by: "formula", value: 10 }, runs, 2)).toBe(10);
});

test("a change takes the place of its line, or comes last", () => {
  expect(changed("seed: 1\nslo: {ttft: 2s}\n", [{ key: "seed", value: "7" }])).toBe("seed: 7\nslo: {ttft: 2s}\n");
  expect(changed("seed: 1\n", [{ key: "see", value: "x" }])).toBe("seed: 1\nsee: x\n");
});

test.each([
  [10, 10, "Spot on."], [7, 10, "Close."], [2, 10, "More than you thought."], [50, 10, "Less than you thought."], [0, 0, "Spot on."], [3, 0, "Less than you thought."],
])("a guess of %d where %d is right", (guess, right, said) => {
  expect(verdict(guess, right)).toBe(said);
});

test.each([
  ["", {}], ["a=1, b_s = 2.5", { a: 1, b_s: 2.5 }], ["a", null], ["a=", null], ["a=x", null], ["a=1=2", null],
])("knobs: %s", (text, knobs) => {
  expect(parseKnobs(text)).toEqual(knobs);
});

test("progress is kept, and what is not progress is nothing", () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  expect(load(storage)).toEqual(NOTHING);
  const progress = { guesses: { signal: { "gpu-hours": 12 } }, seen: ["signal"], teachBack: "so" };
  save(storage, progress);
  expect(load(storage)).toEqual(progress);
  for (const broken of ["{", "3", '{"seen": 1}', '{"guesses": null}']) {
    kept.set("preheat-lab", broken);
    expect(load(storage)).toEqual(NOTHING);
  }
  const refusing = { setItem: () => { throw new Error("full"); } };
  expect(() => save(refusing, progress)).not.toThrow();
});
