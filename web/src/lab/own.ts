/** A pool's past as the figures of the form. Pure: nothing here asks or draws. */
import type { PastFigures } from "../api/types";

/** Fields of the form by name, as typed; what the past does not tell is not among them. */
export function typed(figures: PastFigures): Record<string, string> {
  const numbers = Object.entries(figures).filter((entry): entry is [string, number] => typeof entry[1] === "number");
  return Object.fromEntries(numbers.map(([name, value]) => [name, String(Number(value.toPrecision(3)))]));
}

/** Whether it says what one replica can do by a latency, or by tokens for an engine profile. */
export function tellsLatency({ profile, latency_s, max_num_seqs }: PastFigures): boolean {
  return profile === null && latency_s !== null && max_num_seqs !== null;
}
