import { describe, expect, test } from "vitest";
import { ahead, charts, clusters, decades, domain, drawn, markers, replicaHours, stacked } from "../src/chart/spec";
import type { History } from "../src/api/types";
import { series, summary } from "./fixtures";

function history(ticks: number[], change = {}): History {
  return {
    pool: "chat", from_s: 100, until_s: 100 + ticks.length, width_s: 1, complete_from_s: 100, series: series(ticks, change),
    reconfigurations: [], reconfigurations_left_out: 0,
  };
}

describe("steps", () => {
  test("those without a tick are left out where ticks are just further apart than steps", () => {
    expect(drawn(series([1, 0, 1, 0, 0, 1, 0, 1]))).toEqual([0, 2, 5, 7]);
  });
  test("where ticks are missing there is a hole", () => {
    expect(drawn(series([1, 1, 1, 0, 0, 0, 1, 1]))).toEqual([0, 1, 2, null, 6, 7]);
  });
  test("nothing recorded is nothing drawn", () => {
    expect(drawn(series([0, 0]))).toEqual([]);
  });
});

describe("charts", () => {
  const built = charts(history([1, 1, 0, 0, 0, 0, 1]), { sloThreshold: 2, expected: [110], ahead: null });
  const titled = (title: string) => built.charts.find((chart) => chart.title === title);

  test("what was never measured has none", () => {
    expect(built.charts.map((chart) => chart.title)).toEqual(["Load and slots", "Replicas", "TTFT", "Queue", "How full"]);
    expect(titled("How full")?.lines.map((line) => line.label)).toEqual(["slots"]);
  });
  test("a hole begins right after what came before it", () => {
    expect(built.at).toEqual([100, 101, 102, 106]);
    expect(titled("Load and slots")?.lines.at(-1)?.values).toEqual([50, 50, null, 50]);
  });
  test("replicas are stacked, those that serve at the bottom, and told as they are", () => {
    const lines = titled("Replicas")?.lines ?? [];
    expect(lines.map((line) => line.label)).toEqual(["loading", "ready", "desired"]);
    expect(lines.map((line) => line.values[0])).toEqual([3, 2, 3]);
    expect(lines.map((line) => line.told[0])).toEqual([1, 2, 3]);
    expect(titled("Replicas")?.expected).toEqual([110]);
  });
  test("TTFT has its SLO", () => {
    expect(titled("TTFT")?.threshold).toEqual({ value: 2, label: "SLO 2 s" });
    expect(titled("TTFT")?.format(0.25)).toBe("250 ms");
  });
  test("every area of a stack has a texture of its own", () => {
    const phases = ["ready", "warming", "loading", "draining"].map((phase) => [phase, [1, 1]]);
    const stack = charts(history([1, 1], { replicas: Object.fromEntries(phases) }), { sloThreshold: null, expected: [], ahead: null });
    const fills = stack.charts.find(({ title }) => title === "Replicas")?.lines.flatMap(({ fill }) => fill ?? []);
    expect(new Set(fills).size).toBe(4);
  });
});

test("a stack keeps holes, and leaves out what is never there", () => {
  const part = { tone: "ready", fill: "solid" } as const;
  const lines = stacked([
    { ...part, label: "a", values: [1, null, 2] },
    { ...part, label: "b", values: [0, 0, 0] },
    { ...part, label: "c", values: [1, null, 0] },
  ]);
  expect(lines.map(({ label, values }) => [label, values])).toEqual([["c", [2, null, 2]], ["a", [1, null, 2]]]);
});

test("steps in which something was done are marked", () => {
  const change = { started: [0, 2, 0], given_up: [0, 0, 1], violations: [0, 0, 0] };
  expect(markers(history([1, 1, 1], change))).toEqual([
    { at: 101, up: 2, down: 0, broken: 0, silent: 0, changed: 0 },
    { at: 102, up: 0, down: 1, broken: 0, silent: 0, changed: 0 },
  ]);
});

test("where ticks are missing it is marked from when on", () => {
  expect(markers(history([1, 1, 1, 0, 0, 0, 1, 1]))).toEqual([{ at: 102, up: 0, down: 0, broken: 0, silent: 1, changed: 0 }]);
  // Ticks that are just further apart than steps are no outage.
  expect(markers(history([1, 0, 1, 0, 0, 1, 0, 1]))).toEqual([]);
});

test("when it was told to do otherwise is marked among what was done, by time", () => {
  const told = { at_s: 101.5, settings: [], announced: [], withdrawn: [] };
  const changed = { ...history([1, 1, 1], { started: [0, 2, 1] }), reconfigurations: [told] };
  expect(markers(changed).map(({ at, up, changed }) => [at, up, changed])).toEqual([[101, 2, 0], [101.5, 0, 1], [102, 1, 0]]);
});

test("replica-hours count the time between ticks too", () => {
  // Three replicas, two of them ready, for nine seconds.
  const { hours, readyShare } = replicaHours(history([1, 0, 1, 0, 1, 0, 1, 0, 1]));
  expect(hours * 3600).toBeCloseTo(27);
  expect(readyShare).toBeCloseTo(2 / 3);
  expect(replicaHours(history([0, 0]))).toEqual({ hours: 0, readyShare: null });
});

test("marks that are close are one", () => {
  expect(clusters([0, 5, 9, 12, 30], 10)).toEqual([{ x: 0, count: 3 }, { x: 12, count: 1 }, { x: 30, count: 1 }]);
});

test("the axis has room for starts under way, but not for those far off", () => {
  expect(domain(0, 100, [], null)).toEqual([0, 100]);
  expect(domain(0, 100, [90, 110, 500], null)).toEqual([0, 112.2]);
  expect(domain(0, 100, [90, 110], 120)).toEqual([0, 122.4]);
  // A horizon further away is cut off rather than left out.
  expect(domain(0, 100, [], 500)).toEqual([0, 127.5]);
});

test("a logarithmic axis has whole decades", () => {
  const rounded = (low: number, high: number) => decades(low, high).map((value) => Number(value.toPrecision(6)));
  expect(rounded(0.25, 2)).toEqual([0.1, 10]);
  expect(rounded(1, 1)).toEqual([1, 10]);
  expect(rounded(0, 0)).toEqual([0.0001, 0.001]);
});

test("what is held ahead reaches from the last decision one lead time on, and is said to be no prediction", () => {
  const pool = summary({ last_tick_s: 1000 });
  const band = ahead(pool);
  expect(band).toEqual({ from: 1000, until: 1172, load: 50, held: 100 });
  const [load] = charts(history([1, 1]), { sloThreshold: null, expected: [1100], ahead: band }).charts;
  expect([load?.ahead, load?.expected]).toEqual([band, [1100]]);
  expect(load?.about).toContain("which is no prediction");
  const plain = charts(history([1, 1]), { sloThreshold: null, expected: [], ahead: null }).charts[0];
  expect(plain?.about).not.toContain("prediction");
  expect(ahead(summary({ decision: null }))).toBeNull();
  expect(ahead(summary({ last_tick_s: null }))).toBeNull();
});
