/** Sliders that write one line of a scenario together. */
import type { Dials } from "../api/types";

/** Where each slider stands, and whether the switch that stands for all of them is on. */
export interface Set {
  stops: number[];
  isInstead: boolean;
}

/** As the scenario's file has it. */
export const asInFile = ({ dials }: Dials): Set => ({ stops: dials.map(() => 0), isInstead: false });

/** What stands after the key. */
export function dialValue({ before, after, dials, instead }: Dials, set: Set): string {
  if (set.isInstead) return instead.value;
  const parts = dials.map(({ stops }, index) => stops[set.stops[index] ?? 0]?.value ?? "");
  return `${before}${parts.filter(Boolean).join(", ")}${after}`;
}
