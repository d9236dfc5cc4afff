import { describe, expect, test } from "vitest";
import type { PoolSummary } from "../src/api/types";
import { attention, matching, ranked, sloRatio, ttftOfSlo } from "../src/attention";
import { summary } from "./fixtures";

const NOW = 1001;

test.each<[string, Partial<PoolSummary>, number, string[]]>([
  ["fine", {}, 0, []],
  ["starting", { starting: 2, next_ready_in_s: 43 }, 1, ["2 starting, next in 43 s"]],
  ["draining", { draining: 1 }, 1, ["1 draining"]],
  ["not decided yet", { last_tick_s: null }, 1, ["nothing decided yet"]],
  ["a queue that an engine's next step takes", { queue_depth: 3 }, 0, []],
  ["a queue that is too long for the SLO", { queue_depth: 20 }, 2, ["20 requests waiting"]],
  ["a request held at the gateway", { held: 1 }, 2, ["1 request waiting"]],
  ["a queue of a pool without an SLO", { queue_depth: 3, slo: null }, 2, ["3 requests waiting"]],
  ["capped", { reason: "Capped" }, 2, ["capped: needs more than allowed"]],
  ["blind", { reason: "SignalsMissing" }, 2, ["signals missing"]],
  ["TTFT over its SLO", { ttft: { p50_s: 1, p90_s: 2, p99_s: 4.2 } }, 3, ["TTFT 4.20 s, SLO 2 s"]],
  ["none ready", { ready: 0 }, 3, ["none ready"]],
  ["none wanted", { ready: 0, desired: 0 }, 0, []],
  ["none ready and requests held", { ready: 0, desired: 0, held: 1 }, 3, ["1 request waiting, none ready"]],
  ["an unsound decision", { violation: { id: "D4", seen: "" } }, 3, ["decision broke D4: held as it is"]],
  ["silence", { last_tick_s: NOW - 61 }, 3, ["no decision for 61 s"]],
  ["several, most urgent first", { starting: 1, queue_depth: 1, ready: 0 }, 3, ["1 request waiting, none ready", "1 starting"]],
])("%s", (_, change, level, notes) => {
  expect(attention(summary(change), NOW)).toEqual({ level, notes });
});

test("a journal is never overdue", () => {
  expect(attention(summary({ last_tick_s: 0 }), null).level).toBe(0);
});

test("the quantile that the SLO is about, or the next that is measured", () => {
  const slo = (quantile: number) => ttftOfSlo(summary({ slo: { metric: "ttft", quantile, threshold_s: 2 } }));
  expect([0.5, 0.9, 0.95, 0.99].map(slo)).toEqual([0.1, 0.3, 0.9, 0.9]);
  expect(sloRatio(summary())).toBe(0.45);
  expect(sloRatio(summary({ slo: null }))).toBeNull();
});

describe("order", () => {
  const slow = (p99_s: number) => ({ p50_s: 0, p90_s: 0, p99_s });
  const pools = [
    summary({ pool: "fine-10" }),
    summary({ pool: "fine-2" }),
    summary({ pool: "starting", starting: 1 }),
    summary({ pool: "late", ttft: slow(3) }),
    summary({ pool: "later", ttft: slow(9) }),
    summary({ pool: "waits", queue_depth: 20 }),
    summary({ pool: "waits-more", queue_depth: 200 }),
  ];

  test("by urgency, then by how far from the SLO, then by who waits, then by name", () => {
    const names = ranked(pools, NOW).map(({ pool }) => pool.pool);
    expect(names).toEqual(["later", "late", "waits-more", "waits", "starting", "fine-2", "fine-10"]);
  });

  test("a filter wants every word, of name, model, reason or sign", () => {
    const named = (filter: string) => matching(ranked(pools, NOW), filter).map(({ pool }) => pool.pool);
    expect(named("fine 10")).toEqual(["fine-10"]);
    expect(named("QWEN act")).toEqual(["later", "late"]);
    expect(named("steady moving")).toEqual(["starting"]);
    expect(named("  ")).toHaveLength(pools.length);
    expect(named("nothing")).toEqual([]);
  });
});
