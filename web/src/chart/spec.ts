/** What each chart of a pool shows, from its history. Pure: nothing here draws. */
import type { History, PoolSummary, Series } from "../api/types";
import { duration, number, percent } from "../format";

export type Tone = "load" | "held" | "capacity" | "ready" | "starting" | "warming" | "waking" | "draining" | "standby" | "quiet" | "bad";
export type Texture = "solid" | "soft" | "rising" | "falling" | "dots" | "cross";
export type Values = (number | null)[];

export interface Line {
  label: string;
  /** What is drawn. */
  values: Values;
  /** What is told, where that differs: a stacked area is drawn on top of others. */
  told: Values;
  tone: Tone;
  width: number;
  dash: number[];
  fill: Texture | null;
  stepped: boolean;
  /** Whether a line goes on over what is not known. */
  spans: boolean;
}

export interface Marker {
  at: number;
  up: number;
  down: number;
  broken: number;
  /** Times after which nothing was decided for a while. */
  silent: number;
  /** Times at which it was told to do otherwise. */
  changed: number;
}

/** What is held from the last decision on, until a start ordered then would serve. */
export interface Ahead {
  from: number;
  until: number;
  /** The offered load at the decision, and the slots that are held for it: not in any order. */
  load: number;
  held: number;
}

export interface ChartSpec {
  title: string;
  about: string;
  unit: string;
  lines: Line[];
  format: (value: number | null) => string;
  threshold: { value: number; label: string } | null;
  logarithmic: boolean;
  integer: boolean;
  markers: Marker[];
  /** Moments at which a start should be ready. */
  expected: number[];
  ahead: Ahead | null;
}

export interface Charts {
  at: number[];
  charts: ChartSpec[];
}

export interface Context {
  sloThreshold: number | null;
  /** Moments at which each start under way should be ready. */
  expected: number[];
  ahead: Ahead | null;
}

/** In the order in which a replica passes through them; drawn from the bottom up: what serves first. */
const STACK: readonly { phases: string[]; label: string; tone: Tone; fill: Texture }[] = [
  { phases: ["ready"], label: "ready", tone: "ready", fill: "solid" },
  { phases: ["warming"], label: "warming", tone: "warming", fill: "cross" },
  { phases: ["loading"], label: "loading", tone: "starting", fill: "rising" },
  { phases: ["pulling"], label: "pulling", tone: "starting", fill: "dots" },
  { phases: ["pending", "provisioning"], label: "pending", tone: "starting", fill: "soft" },
  { phases: ["waking"], label: "waking", tone: "waking", fill: "rising" },
  { phases: ["draining"], label: "draining", tone: "draining", fill: "falling" },
  { phases: ["standby"], label: "standby", tone: "standby", fill: "dots" },
];

/** Which steps to draw: those with a tick, and one without after each, where ticks are missing. */
export function drawn(series: Pick<Series, "at_s" | "ticks">): (number | null)[] {
  const kept = series.ticks.flatMap((ticks, index) => (ticks > 0 ? [index] : []));
  const gaps = kept.slice(1).map((index, before) => index - (kept[before] ?? 0));
  const usual = [...gaps].sort((a, b) => a - b)[Math.floor((gaps.length - 1) / 2)] ?? 1;
  return kept.flatMap((index, position) => {
    const gap = position === 0 ? 0 : index - (kept[position - 1] ?? 0);
    return gap > 3 * usual ? [null, index] : [index];
  });
}

function line(label: string, values: Values, tone: Tone, more: Partial<Line> = {}): Line {
  return { label, values, told: values, tone, width: 2, dash: [], fill: null, stepped: false, spans: false, ...more };
}

export function charts(history: History, context: Context): Charts {
  const { series } = history;
  const steps = drawn(series);
  const at = steps.map((step, position) => {
    if (step !== null) return series.at_s[step] ?? 0;
    // A hole is drawn right after what came before it.
    const before = steps[position - 1] ?? 0;
    return (series.at_s[before] ?? 0) + history.width_s;
  });
  const column = (values: readonly (number | null)[]): Values => steps.map((step) => (step === null ? null : (values[step] ?? null)));
  const base = { threshold: null, logarithmic: false, integer: false, markers: [], expected: [], ahead: null, format: number };
  const marks = markers(history);
  const seconds = (value: number | null): string => duration(value);
  const { sloThreshold } = context;
  const some = (values: Values): boolean => values.some((value) => value !== null);
  const built: ChartSpec[] = [
    {
      ...base,
      title: "Load and slots",
      about: `Slots in use if nobody waited, beside what is held for them and what is ready${context.ahead ? "; after the newest tick, what is held until a start ordered at it would serve, which is no prediction" : ""}`,
      unit: "slots",
      lines: [
        line("ready slots", column(series.slots_ready), "capacity", { width: 1, fill: "soft", stepped: true }),
        line("slots held", column(series.slots_held), "held", { dash: [7, 4], stepped: true }),
        line("highest load", column(series.offered_load_max), "load", { width: 1, dash: [2, 2] }),
        line("offered load", column(series.offered_load), "load", { width: 2 }),
      ],
      markers: marks,
      expected: context.expected,
      ahead: context.ahead,
    },
    {
      ...base,
      title: "Replicas",
      about: "By phase, stacked; desired as a dashed line; when each start should be ready",
      unit: "replicas",
      lines: [
        ...stacked(STACK.map((part) => ({ ...part, values: column(sum(part.phases.map((phase) => series.replicas[phase] ?? []))) }))),
        line("desired", column(series.desired), "held", { dash: [7, 4], stepped: true }),
      ],
      integer: true,
      markers: marks,
      expected: context.expected,
    },
    {
      ...base,
      title: "TTFT",
      about: "Arrival to first token, queueing included; the quantiles are the worst of any tick in a step",
      unit: "s, logarithmic",
      format: seconds,
      lines: [
        line("p99", column(series.ttft_p99_s), "load", { spans: true }),
        line("p90", column(series.ttft_p90_s), "load", { width: 1, dash: [6, 3], spans: true }),
        line("p50", column(series.ttft_p50_s), "quiet", { width: 1.5, dash: [2, 2], spans: true }),
      ],
      threshold: sloThreshold === null ? null : { value: sloThreshold, label: `SLO ${duration(sloThreshold)}` },
      logarithmic: true,
    },
    {
      ...base,
      title: "Queue",
      about: "Requests waiting in engines, and held at the gateway while nothing could take them",
      unit: "requests",
      lines: [
        line("in engines", column(series.queue_depth), "load", { fill: "soft", stepped: true }),
        line("held at the gateway", column(series.held), "bad", { dash: [7, 4], stepped: true }),
      ],
      integer: true,
    },
    {
      ...base,
      title: "ITL",
      about: "Gap between two streamed tokens or, where a stream has several in one event, events",
      unit: "s, logarithmic",
      format: seconds,
      lines: [
        line("p99", column(series.itl_p99_s), "load", { spans: true }),
        line("p50", column(series.itl_p50_s), "quiet", { width: 1.5, dash: [2, 2], spans: true }),
        line("mean, by the engines", column(series.itl_mean_s), "held", { width: 1.5, dash: [6, 3], spans: true }),
      ],
      logarithmic: true,
    },
    {
      ...base,
      title: "How full",
      about: "Share of the ready replicas' slots and of their KV memory in use",
      unit: "share",
      format: percent,
      lines: [
        line("slots", column(series.utilization), "load", { stepped: true }),
        line("KV memory", column(series.kv_utilization), "held", { dash: [7, 4], stepped: true }),
      ],
    },
  ];
  // What was never measured has no chart.
  const known = built.map((chart) => ({ ...chart, lines: chart.lines.filter(({ told }) => some(told)) }));
  return { at, charts: known.filter((chart) => chart.lines.length > 0) };
}

function sum(columns: readonly (readonly (number | null)[])[]): Values {
  const length = Math.max(0, ...columns.map((column) => column.length));
  return Array.from({ length }, (_, index) => {
    const values = columns.map((column) => column[index] ?? null).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((a, b) => a + b, 0);
  });
}

/** Each on top of those before it, those that are never there left out. The topmost is drawn first. */
export function stacked(parts: readonly { label: string; tone: Tone; fill: Texture; values: Values }[]): Line[] {
  const present = parts.filter(({ values }) => values.some((value) => (value ?? 0) > 0));
  let below: Values = [];
  const lines = present.map(({ label, tone, fill, values }) => {
    below = values.map((value, index) => (value === null ? null : value + (below[index] ?? 0)));
    return line(label, below, tone, { told: values, width: 1, fill, stepped: true });
  });
  return lines.reverse();
}

/**
 * Steps in which the pool grew, shrank, or was held because a decision was unsound, those after which none was made for a
 * while, and the moments at which it was told to do otherwise; by time.
 */
export function markers({ series, reconfigurations }: Pick<History, "series" | "reconfigurations">): Marker[] {
  const steps = drawn(series);
  const last = new Set(steps.filter((_, position) => steps[position + 1] === null));
  const done = series.at_s.flatMap((at, index) => {
    const [up, down, broken] = [series.started[index] ?? 0, series.given_up[index] ?? 0, series.violations[index] ?? 0];
    const silent = last.has(index) ? 1 : 0;
    return up + down + broken + silent > 0 ? [{ at, up, down, broken, silent, changed: 0 }] : [];
  });
  const told = reconfigurations.map(({ at_s }) => ({ at: at_s, up: 0, down: 0, broken: 0, silent: 0, changed: 1 }));
  return [...done, ...told].sort((a, b) => a.at - b.at);
}

/** Places, in ascending order, of which those closer than `gap` to the first of them are one. */
export function clusters(places: readonly number[], gap: number): { x: number; count: number }[] {
  const found: { x: number; count: number }[] = [];
  for (const x of places) {
    const last = found.at(-1);
    if (last && x - last.x < gap) last.count += 1;
    else found.push({ x, count: 1 });
  }
  return found;
}

/** Hours that replicas were paid for in what is shown, and the share of them in which they were ready. */
export function replicaHours({ series, width_s }: History): { hours: number; readyShare: number | null } {
  let [all, ready] = [0, 0];
  const filled = series.ticks.filter((ticks) => ticks > 0).length;
  if (filled === 0) return { hours: 0, readyShare: null };
  // Steps between two ticks are paid for like those with one.
  const steps = drawn(series).filter((step) => step !== null);
  const span = (steps.at(-1) ?? 0) - (steps[0] ?? 0) + 1;
  for (const [phase, values] of Object.entries(series.replicas)) {
    const total = values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    all += total;
    if (phase === "ready") ready += total;
  }
  const hours = (((all / filled) * span * width_s) / 3600);
  return { hours, readyShare: all === 0 ? null : ready / all };
}

/** The band from the last decision to its horizon; nothing where none was made. */
export function ahead({ last_tick_s, decision }: Pick<PoolSummary, "last_tick_s" | "decision">): Ahead | null {
  if (last_tick_s === null || !decision || decision.lead_time_s <= 0) return null;
  return { from: last_tick_s, until: last_tick_s + decision.lead_time_s, load: decision.offered_load, held: decision.slots_held };
}

/** The axis of x, with room for starts that are under way and for the horizon: at most a quarter more. */
export function domain(from: number, until: number, expected: readonly number[], horizon: number | null): [number, number] {
  const room = from + (until - from) * 1.25;
  const last = Math.max(until, Math.min(horizon ?? until, room), ...expected.filter((at) => at <= room));
  return [from, last > until ? last + (last - from) * 0.02 : until];
}

/** Bounds of a logarithmic axis: whole powers of ten that hold all of it. */
export function decades(low: number, high: number): [number, number] {
  const floor = 10 ** Math.floor(Math.log10(Math.max(low, 1e-4)));
  const ceiling = 10 ** Math.ceil(Math.log10(Math.max(high, 1e-4)));
  return floor === ceiling ? [floor, floor * 10] : [floor, ceiling];
}
