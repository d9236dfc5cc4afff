import { expect, test } from "vitest";
import type { Outcome, WhatIfAnswer, WhatIfChoices, WhatIfRun, WhatIfSettings } from "../src/api/types";
import { changes, formatTry, label, parseTry, requestOf, shown } from "../src/whatif/ask";
import { charts, rows } from "../src/whatif/show";

const configured: WhatIfSettings = {
  policy: "preheat", knobs: {}, replicas_min: 1, replicas_max: 8, slo_ttft_s: 2, slo_quantile: 0.99, cold_start_s: 120, standby_price: null,
};
const choices: WhatIfChoices = {
  pool: "chat", configured, policies: ["preheat", "static", "keda-waiting"], profiles: ["a", "b"], profile: "a", max_num_seqs: 64,
  last_s_max: 86_400, alternatives_max: 4, replicas_max: 200,
};

test("a form shows what is configured, and asks only for what is not", () => {
  expect(shown({}, "max", configured)).toBe("8");
  expect(shown({}, "within", configured)).toBe("99");
  expect(shown({ max: "" }, "max", configured)).toBe("");
  expect(shown({}, "coldStart", configured)).toBe("");
  expect(changes({ policy: "preheat", min: "1", max: "12", within: "99", coldStart: "" }, configured)).toEqual({ max: "12" });
  const question = { lastS: 3600, profile: "", tries: [{ policy: "keda-waiting", max: "8", within: "99.9", coldStart: "60", standby: "none" }, {}] };
  expect(requestOf(question, choices)).toEqual({
    last_s: 3600,
    alternatives: [{ policy: "keda-waiting", slo_quantile: 0.999, cold_start_s: 60, no_standby: true }, {}],
  });
  const priced = { lastS: 60, profile: "b", tries: [{ min: "0", ttft: "0.5", standby: "0.25" }] };
  expect(requestOf(priced, choices)).toEqual({ last_s: 60, profile: "b", alternatives: [{ replicas_min: 0, slo_ttft_s: 0.5, standby_price: 0.25 }] });
});

test("an alternative is what its text says", () => {
  const tried = { policy: "static:4", min: "0", standby: "0.25" };
  expect(parseTry(formatTry(tried))).toEqual(tried);
  expect(parseTry("")).toEqual({});
  expect(parseTry("policy~a~b,max,min~,ttft~3")).toEqual({ ttft: "3" });
});

test.each<[Partial<WhatIfSettings>, string]>([
  [{}, "preheat"],
  [{ policy: "keda-waiting", replicas_max: 12 }, "keda-waiting, 1 to 12 replicas"],
  [{ slo_ttft_s: 1, cold_start_s: 60, standby_price: 0.25 }, "preheat, TTFT 1 s for 99.0 %, cold start 60 s, standby at 0.25"],
])("a run is called by what is different in it: %o", (change, expected) => {
  expect(label({ ...configured, ...change }, configured)).toBe(expected);
});

const outcome: Outcome = {
  knobs: {}, attainment: 0.995, gpu_hours: 10, ttft_p50_s: 0.2, ttft_p99_s: 1.5, tpot_p99_s: 0.02, failed: 0, streams_cut: 0, starts: 3, replicas_peak: 5, direction_changes: 2,
};
const run = (change: Partial<Outcome>, policy: string, replicas: (number | null)[]): WhatIfRun => ({
  settings: { ...configured, policy }, outcome: { ...outcome, ...change }, optimum_gpu_hours: 7, replicas, attainment: replicas.map(() => null),
});
const answer: WhatIfAnswer = {
  pool: "chat", from_s: 0, until_s: 120, requests: 100, profile: "a", max_num_seqs: 64,
  trust: { step_s: 30, steps: 4, gap_share: 0, resets: 0, clipped_share: 0, cold_starts_seen: 0, notes: [] },
  happened: { attainment: null, gpu_hours: 9, replicas_peak: 4 },
  replayed: { ...outcome, attainment: 0.9 },
  configured: run({}, "preheat", [2, 3]),
  alternatives: [run({ attainment: 0.8, gpu_hours: 12 }, "keda-waiting", [2, null])],
  minutes: { at_s: [0, 60], arrivals: [50, 50], replicas: [2, 4], attainment: [1, 0.9] },
};

test("rows: what was measured, the same in the model, as configured, each alternative", () => {
  const table = rows(answer);
  expect(table.map(({ id }) => id)).toEqual(["measured", "replayed", "configured", "alternative-1"]);
  // What nobody told of is not zero.
  expect(table[0]).toMatchObject({ attainment: null, gpuHours: 9, optimum: null, measured: true });
  expect(table[2]).toMatchObject({ name: "preheat as configured", gpuHoursChange: null, optimum: 7 });
  expect(table[3]).toMatchObject({ name: "1: keda-waiting", attainment: 0.8, slo: 0.99 });
  expect(table[3]?.gpuHoursChange).toBeCloseTo(0.2);
  expect(rows({ ...answer, happened: null, replayed: null }).map(({ id }) => id)).toEqual(["configured", "alternative-1"]);
});

test("charts: a line for each run that tells, and none for one that does not", () => {
  const [replicas, within] = charts(answer);
  expect(replicas?.lines.map(({ label: name, values }) => [name, values])).toEqual([["what happened", [2, 4]], ["as configured", [2, 3]], ["1: keda-waiting", [2, null]]]);
  expect(within?.lines.map(({ label: name }) => name)).toEqual(["what happened"]);
  expect(within?.threshold?.value).toBe(0.99);
  const untold = { ...answer, minutes: { ...answer.minutes, attainment: [null, null] } };
  expect(charts(untold)).toHaveLength(1);
});
