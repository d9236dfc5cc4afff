import { expect, test } from "vitest";
import { flatten } from "../src/flatten";
import { duration, elapsed, moment, number, percent, plural, reason } from "../src/format";
import { timeLabels } from "../src/chart/time";

test("three digits are enough, and what is not known is a dash", () => {
  const values = [0, 1, 12, 1234, 0.349, 9.87, 12.34, 152.4, 12_345.6, 0.0012, null, undefined, Number.NaN];
  expect(values.map(number)).toEqual(["0", "1", "12", "1,234", "0.35", "9.87", "12.3", "152", "12,346", "0.0012", "–", "–", "–"]);
});

test("durations in the unit that fits", () => {
  const values = [0, 0.0123, 0.25, 1.35, 2, 43.4, 140, 600, 900, 5400, 9000, 300_000, null];
  expect(values.map(duration)).toEqual(["0 s", "12 ms", "250 ms", "1.35 s", "2 s", "43 s", "2 min 20 s", "10 min", "15 min", "1.5 h", "2.5 h", "3.5 d", "–"]);
});

test("shares as percent", () => {
  expect([0, 0.008, 0.42, 0.991, 0.9999, 1, null].map(percent)).toEqual(["0 %", "0.8 %", "42 %", "99.1 %", "100 %", "100 %", "–"]);
});

test("a simulation's moments are times since it began", () => {
  expect([43, 725, 3723].map((seconds) => moment(seconds))).toEqual(["0:43", "12:05", "1:02:03"]);
  expect(elapsed(59.7)).toBe("1:00");
});

test("a live moment is a time of day, with the date unless it is today's", () => {
  const at = new Date(2026, 10, 24, 9, 7, 5).getTime() / 1000;
  expect(moment(at, at)).toBe("09:07:05");
  expect(moment(at)).toBe("2026-11-24 09:07:05");
  expect(moment(at, at + 86_400)).toBe("2026-11-24 09:07:05");
  const midnight = new Date(2026, 10, 24).getTime() / 1000;
  expect(timeLabels([midnight, midnight + 60], 60)).toEqual(["2026-11-24", "00:01"]);
  expect(timeLabels([midnight + 5], 5)).toEqual(["00:00:05"]);
  expect(timeLabels([90], 30)).toEqual(["1:30"]);
});

test("names and counts", () => {
  expect(reason("StartsUnderWay")).toBe("starts under way");
  expect([plural(1, "pool"), plural(0, "pool"), plural(1200, "pool")]).toEqual(["1 pool", "0 pools", "1,200 pools"]);
});

test("an explanation becomes a list of its numbers", () => {
  const explanation = {
    reason: "steady",
    demand: { arrival_rate: 5.123, service_time: { secs: 7, nanos: 500_000_000 }, requests_inside: null, service_time_measured: true },
    supply: { residuals: [{ secs: 1, nanos: 0 }, { secs: 140, nanos: 0 }] },
    replicas_blind: [],
    phases: [{ phase: "loading", samples: 2 }, { phase: { standby: "sleeping" }, samples: 1 }],
    next_tick_at: 90_000_000_000,
  };
  expect(flatten(explanation).map(({ path, value }) => `${path}=${value}`)).toEqual([
    "reason=steady",
    "demand.arrival_rate=5.12",
    "demand.service_time=7.50 s",
    "demand.requests_inside=–",
    "demand.service_time_measured=true",
    "supply.residuals=1 s, 2 min 20 s",
    "replicas_blind=none",
    "phases[0].phase=loading",
    "phases[0].samples=2",
    "phases[1].phase.standby=sleeping",
    "phases[1].samples=1",
    "next_tick_at=1:30",
  ]);
});
