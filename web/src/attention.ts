/** Who needs attention, how urgently, and why: the order of the fleet. */
import type { PoolSummary } from "./api/types";
import { duration, plural } from "./format";

/** 3: act. 2: look. 1: something is under way. 0: all is well. */
export type Level = 0 | 1 | 2 | 3;

export interface Attention {
  level: Level;
  /** Each in a few words, most urgent first. */
  notes: string[];
}

/** What a level is called, and a shape that tells it without colour. */
export const LEVELS: readonly { word: string; shape: string }[] = [
  { word: "fine", shape: "○" },
  { word: "moving", shape: "◐" },
  { word: "look", shape: "▲" },
  { word: "act", shape: "■" },
];

/** A decision that is overdue by this means that nobody decides: ticks are seconds apart. */
const TICK_OVERDUE_S = 60;

/** The quantile of TTFT that the SLO is about, or the next one above that is measured. */
export function ttftOfSlo(pool: PoolSummary): number | null {
  const quantile = pool.slo?.quantile ?? 0.99;
  if (quantile <= 0.5) return pool.ttft.p50_s;
  return quantile <= 0.9 ? pool.ttft.p90_s : pool.ttft.p99_s;
}

/** TTFT ÷ its threshold: above 1 is a miss. */
export function sloRatio(pool: PoolSummary): number | null {
  const ttft = ttftOfSlo(pool);
  return ttft === null || !pool.slo ? null : ttft / pool.slo.threshold_s;
}

/** Requests that wait, at the gateway or in engines. */
export function waiting(pool: PoolSummary): number {
  return (pool.queue_depth ?? 0) + (pool.held ?? 0);
}

/**
 * Whether requests wait for so long that it matters. A few wait for an engine's next step at any time;
 * 200 of 10 s each for 256 slots wait for 8 s (Little's Law), which an SLO of 2 s does not allow.
 */
function waitsLong(pool: PoolSummary): boolean {
  if ((pool.held ?? 0) > 0) return true;
  const { decision, slo } = pool;
  if (!decision || !slo) return waiting(pool) > 0;
  const delay = (waiting(pool) * decision.service_time_s) / (pool.ready * decision.concurrency_cap);
  return delay > slo.threshold_s / 2;
}

/** `nowS` is the moment in model time; `null` for a journal, in which nothing can be overdue. */
export function attention(pool: PoolSummary, nowS: number | null): Attention {
  const found: [Level, string][] = [];
  const waits = waiting(pool);
  const ratio = sloRatio(pool);
  if (pool.violation) found.push([3, `decision broke ${pool.violation.id}: held as it is`]);
  if (pool.ready === 0 && waits > 0) found.push([3, `${plural(waits, "request")} waiting, none ready`]);
  else if (pool.ready === 0 && pool.desired > 0) found.push([3, "none ready"]);
  if (ratio !== null && ratio > 1 && pool.slo) {
    found.push([3, `TTFT ${duration(ttftOfSlo(pool))}, SLO ${duration(pool.slo.threshold_s)}`]);
  }
  if (nowS !== null && pool.last_tick_s !== null && nowS - pool.last_tick_s > TICK_OVERDUE_S) {
    found.push([3, `no decision for ${duration(nowS - pool.last_tick_s)}`]);
  }
  if (pool.reason === "Paused") found.push([1, "paused by an operator"]);
  if (pool.reason === "Pinned") found.push([1, "pinned by an operator"]);
  if (pool.reason === "SignalsMissing") found.push([2, "signals missing"]);
  if (pool.reason === "Capped") found.push([2, "capped: needs more than allowed"]);
  if (pool.reason === "QuotaTaken") found.push([2, "another pool has its GPUs"]);
  if (pool.ready > 0 && waitsLong(pool)) found.push([2, `${plural(waits, "request")} waiting`]);
  if (pool.last_tick_s === null) found.push([1, "nothing decided yet"]);
  if (pool.starting > 0) {
    const next = pool.next_ready_in_s === null ? "" : `, next in ${duration(pool.next_ready_in_s)}`;
    found.push([1, `${pool.starting} starting${next}`]);
  }
  if (pool.draining > 0) found.push([1, `${pool.draining} draining`]);
  found.sort(([a], [b]) => b - a);
  return { level: found[0]?.[0] ?? 0, notes: found.map(([, note]) => note) };
}

export interface Ranked {
  pool: PoolSummary;
  attention: Attention;
}

/** Most urgent first; within a level by how far TTFT is from its SLO, then by who waits, then by name. */
export function ranked(pools: readonly PoolSummary[], nowS: number | null): Ranked[] {
  const rows = pools.map((pool) => ({ pool, attention: attention(pool, nowS) }));
  return rows.sort(
    (a, b) =>
      b.attention.level - a.attention.level ||
      (a.attention.level >= 2
        ? (sloRatio(b.pool) ?? 0) - (sloRatio(a.pool) ?? 0) || waiting(b.pool) - waiting(a.pool)
        : 0) ||
      a.pool.pool.localeCompare(b.pool.pool, "en", { numeric: true }),
  );
}

/** Those whose name, models or reason contain every word of `filter`. */
export function matching(rows: readonly Ranked[], filter: string): Ranked[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter(({ pool, attention: { level } }) => {
    const text = [pool.pool, ...pool.model_names, pool.reason ?? "", LEVELS[level]?.word ?? ""].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
