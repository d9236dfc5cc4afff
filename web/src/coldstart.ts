/** How long starts took, phase by phase: what is known of each row, and every measured start in it. */
import type { MeasuredStart, Pool } from "./api/types";
import { number, plural } from "./format";

export interface Row {
  name: string;
  p50: number;
  p90: number;
  /** From how many starts that is known. */
  note: string;
  dots: Dot[];
}

/** One start in a row. */
export interface Dot {
  seconds: number;
  /** Whether it was given up then, and so would have taken longer. */
  isCut: boolean;
}

export const WHOLE = "whole start";

/** The phases in which starts were seen, in the order of a start, and whole starts last. */
export function coldStartRows({ summary, cold_start_phases, cold_starts }: Pick<Pool, "summary" | "cold_start_phases" | "cold_starts">): Row[] {
  const { decision } = summary;
  if (!decision) return [];
  const phases = cold_start_phases.map(({ phase, p50_s, p90_s, seen, unfinished }) => ({
    name: phase,
    p50: p50_s,
    p90: p90_s,
    note: `${number(seen)} seen${unfinished > 0 ? `, ${number(unfinished)} unfinished` : ""}`,
    dots: cold_starts.flatMap((start) => dot(start, phase)),
  }));
  const seen = decision.cold_starts_seen;
  const whole = {
    name: WHOLE,
    p50: decision.cold_start_p50_s,
    p90: decision.cold_start_p90_s,
    note: seen === 0 ? "assumed until one was seen" : `${plural(seen, "start")} seen`,
    dots: cold_starts.map(({ took_s, given_up_in }) => ({ seconds: took_s, isCut: given_up_in !== null })),
  };
  return [...phases, whole];
}

/** Nothing where the phase was skipped, or nobody knows. */
function dot({ phases_s, given_up_in }: MeasuredStart, phase: string): Dot[] {
  const seconds = phases_s[phase];
  return seconds ? [{ seconds, isCut: given_up_in === phase }] : [];
}

/** The longest that has to be drawn. */
export function longest(rows: readonly Row[]): number {
  return Math.max(...rows.flatMap(({ p50, p90, dots }) => [p50, p90, ...dots.map(({ seconds }) => seconds)]), 1e-9);
}

/** At what height each dot is drawn, from 0 up, so that those that are closer than `gap` do not hide each other. */
export function lanes(places: readonly number[], gap: number): number[] {
  const ends: number[] = [];
  const lane = new Array<number>(places.length).fill(0);
  const inOrder = places.map((place, index) => ({ place, index })).sort((a, b) => a.place - b.place);
  for (const { place, index } of inOrder) {
    const free = ends.findIndex((end) => place - end >= gap);
    const taken = free === -1 ? ends.length : free;
    ends[taken] = place;
    lane[index] = taken;
  }
  return lane;
}
