/** What a question's answer is read from: a run's report. The same as `preheat-lab` computes; a browser test holds both together. */
import type { Answer, Change, FigureKind } from "../api/types";

export interface Minute {
  minute: number;
  arrivals: number;
  within_slo: number;
  need: number;
  desired: number;
  ready: number;
  starting: number;
  queue: number;
}

/** What `preheat scenario --json --series` prints. */
export interface Report {
  scenario: string;
  policy: string;
  requests: number;
  attainment: number;
  gpu_hours: number;
  starts: number;
  stops: number;
  replicas_peak: number;
  direction_changes: number;
  streams_cut: number;
  ttft_s: { p50: number | null; p90: number | null; p99: number | null };
  series: Minute[];
}

export interface RunOf {
  id: string;
  report: Report;
}

/** The first minute, from the event on, at whose end more are ready than before it. */
function firstReady(series: Minute[], event: number): Minute | undefined {
  const before = series.findLast(({ minute }) => minute < event);
  return before && series.find(({ minute, ready }) => minute >= event && ready > before.ready);
}

export function figure(kind: FigureKind, report: Report, event: number): number | null {
  const ready = firstReady(report.series, event);
  switch (kind) {
    case "attainment_percent":
      return 100 * report.attainment;
    case "gpu_hours":
      return report.gpu_hours;
    case "direction_changes":
      return report.direction_changes;
    case "minutes_to_ready":
      return ready ? ready.minute + 1 - event : null;
    case "missed_until_ready":
      if (!ready) return null;
      return report.series
        .filter(({ minute }) => minute >= event && minute <= ready.minute)
        .reduce((sum, { arrivals, within_slo }) => sum + arrivals - within_slo, 0);
  }
}

/** A number, the id of a run, or null where there is neither. */
export function answer(how: Answer, runs: RunOf[], event: number): number | string | null {
  switch (how.by) {
    case "formula":
      return how.value;
    case "figure": {
      const run = runs.find(({ id }) => id === how.run);
      return run ? figure(how.figure, run.report, event) : null;
    }
    case "cheapest": {
      const keep = runs.filter(({ report }) => 100 * report.attainment >= how.attainment_percent_min);
      return keep.toSorted((a, b) => a.report.gpu_hours - b.report.gpu_hours)[0]?.id ?? null;
    }
  }
}

/** The scenario with other lines: each stands where the line with its key stood, or last. */
export function changed(text: string, changes: Change[]): string {
  return changes.reduce((before, { key, value }) => {
    const lines = before.trimEnd().split("\n");
    const found = lines.some((line) => line.startsWith(`${key}:`));
    const after = lines.map((line) => (line.startsWith(`${key}:`) ? `${key}: ${value}` : line));
    return `${(found ? after : [...after, `${key}: ${value}`]).join("\n")}\n`;
  }, text);
}

/** How near a guess was, in words that don't scold. */
export function verdict(guess: number, right: number): string {
  const ratio = right === 0 ? (guess === 0 ? 1 : Number.POSITIVE_INFINITY) : guess / right;
  if (ratio > 0.9 && ratio < 1.1) return "Spot on.";
  if (ratio > 0.6 && ratio < 1.6) return "Close.";
  return ratio < 1 ? "More than you thought." : "Less than you thought.";
}

/** `threshold_of_slots=0.4, down_window_s=60`; null when it can't be read. */
export function parseKnobs(text: string): Record<string, number> | null {
  const knobs: Record<string, number> = {};
  for (const part of text.split(",").map((piece) => piece.trim()).filter(Boolean)) {
    const [name = "", value = "", ...rest] = part.split("=").map((piece) => piece.trim());
    if (!name || value === "" || rest.length > 0 || !Number.isFinite(Number(value))) return null;
    knobs[name] = Number(value);
  }
  return knobs;
}
