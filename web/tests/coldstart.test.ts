import { expect, test } from "vitest";
import type { MeasuredStart } from "../src/api/types";
import { coldStartRows, lanes, longest } from "../src/coldstart";
import { summary } from "./fixtures";

const start = (took_s: number, phases_s: Record<string, number>, given_up_in: string | null = null): MeasuredStart => ({ took_s, phases_s, given_up_in });
const phase = (name: string, unfinished = 0) => ({ phase: name, seen: 2, unfinished, p50_s: 30, p90_s: 40 });

test("each start is a dot in the phases that it was seen in, and one in whole starts", () => {
  const rows = coldStartRows({
    summary: summary(),
    cold_start_phases: [phase("pulling"), phase("loading", 1)],
    cold_starts: [start(100, { pulling: 0, loading: 100 }), start(600, { pulling: 40, loading: 560 }, "loading"), start(90, {})],
  });
  expect(rows.map(({ name, note, dots }) => [name, note, dots.map(({ seconds, isCut }) => (isCut ? `>${seconds}` : `${seconds}`))])).toEqual([
    ["pulling", "2 seen", ["40"]],
    ["loading", "2 seen, 1 unfinished", ["100", ">560"]],
    ["whole start", "3 starts seen", ["100", ">600", "90"]],
  ]);
  expect(longest(rows)).toBe(600);
});

test("what is assumed is drawn without a start, and before a decision there is nothing", () => {
  const [whole] = coldStartRows({ summary: summary({ decision: { ...summary().decision!, cold_starts_seen: 0 } }), cold_start_phases: [], cold_starts: [] });
  expect(whole).toMatchObject({ note: "assumed until one was seen", dots: [], p50: 140, p90: 170 });
  expect(coldStartRows({ summary: summary({ decision: null }), cold_start_phases: [], cold_starts: [] })).toEqual([]);
});

test("those that are close are above each other", () => {
  expect(lanes([0.5, 0.1, 0.51, 0.52, 0.9], 0.03)).toEqual([0, 0, 1, 2, 0]);
  expect(lanes([], 0.03)).toEqual([]);
});
