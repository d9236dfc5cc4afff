/** A pool that is fine, to be changed. */
import type { PoolSummary, Series } from "../src/api/types";

const numbers: NonNullable<PoolSummary["decision"]> = {
  arrival_rate: 5, attainment_expected: 0.99, backlog: 0, cold_start_p50_s: 140, cold_start_p90_s: 170,
  cold_starts_seen: 3, concurrency_cap: 64, lead_time_s: 172, offered_load: 50, service_time_s: 10,
  slots_held: 100, target: 2, target_stabilized: 2, utilization: 0.4,
};

export function summary(change: Partial<PoolSummary> = {}): PoolSummary {
  return {
    pool: "chat", model_names: ["qwen"], desired: 2, replicas_min: 1, replicas_max: 8, quota: null, ready: 2, starting: 0,
    standby: 0, draining: 0, next_ready_in_s: null, slo: { metric: "ttft", quantile: 0.99, threshold_s: 2 },
    ttft: { p50_s: 0.1, p90_s: 0.3, p99_s: 0.9 }, itl: { p50_s: null, p90_s: null, p99_s: null },
    in_flight: 5, queue_depth: 0, held: 0, reason: "Steady", headline: "Changed nothing.", violation: null,
    last_tick_s: 1000, decision: numbers, signal_age_max_s: 1, gpu_seconds: 100, spent: null, restarts: 0, ...change,
  };
}

/** A history of as many steps as `ticks` has. */
export function series(ticks: number[], change: Partial<Series> = {}): Series {
  const some = (value: number): (number | null)[] => ticks.map((count) => (count > 0 ? value : null));
  const none = ticks.map(() => null);
  const zero = ticks.map(() => 0);
  return {
    at_s: ticks.map((_, index) => 100 + index), ticks, arrival_rate: some(5), offered_load: some(50),
    offered_load_max: some(60), slots_held: some(100), slots_ready: some(128), target: some(2), desired: some(3),
    replicas: { ready: some(2), loading: some(1), draining: some(0) }, in_flight: some(5), queue_depth: some(0), held: some(0),
    kv_utilization: none, utilization: some(0.4), ttft_p50_s: some(0.1), ttft_p90_s: some(0.3), ttft_p99_s: some(0.9),
    itl_mean_s: none, itl_p50_s: none, itl_p99_s: none, failures: zero, rejections: zero, started: zero, given_up: zero, violations: zero, ...change,
  };
}
