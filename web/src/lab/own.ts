/** One's own figures for sizing, from the history of a pool. Pure: nothing here asks or draws. */
import type { History, PoolSummary } from "../api/types";

/** What is read of a history: a day, minute by minute. */
export const OWN_SECONDS = 86_400;
export const OWN_POINTS = 1440;

/** Fields of the form by name, as typed; empty where nothing came. */
export function ownFigures({ decision, slo }: Pick<PoolSummary, "decision" | "slo">, history: Pick<History, "series" | "width_s">): Record<string, string> {
  const rates = history.series.arrival_rate.filter((rate) => rate !== null);
  const busiest = Math.max(0, ...rates);
  if (!decision || busiest <= 0) return {};
  const sorted = [...rates].sort((a, b) => a - b);
  // A tenth of the time it is quieter.
  const quiet = Math.max(sorted[Math.floor(sorted.length / 10)] ?? 0, 0.001);
  const rises = rates.slice(1).map((rate, before) => rate - (rates[before] ?? rate));
  const figures = {
    qps: busiest,
    quiet_qps: quiet,
    growth_qps_per_min: (Math.max(0, ...rises) * 60) / Math.max(history.width_s, 60),
    cold_start_s: decision.cold_start_p50_s,
    slo_ttft_s: slo?.threshold_s ?? null,
    max_num_seqs: decision.concurrency_cap,
    latency_s: decision.service_time_s,
  };
  const known = Object.entries(figures).filter((entry): entry is [string, number] => entry[1] !== null);
  return Object.fromEntries(known.map(([name, value]) => [name, String(Number(value.toPrecision(3)))]));
}
