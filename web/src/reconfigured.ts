/** What a pool was told to do otherwise, as lines of a table. */
import type { Announced, Reconfiguration } from "./api/types";
import { moment, plural, UNKNOWN } from "./format";

export interface ChangeLine {
  atS: number;
  what: string;
  before: string;
  after: string;
}

/** Orders of an operator, by the name that they have as settings. */
const ORDERS: Record<string, string> = { paused: "paused by an operator", pinned: "replicas pinned by an operator" };

/** Newest first; what changed at one moment in the order in which it is told. */
export function changeLines(reconfigurations: readonly Reconfiguration[]): ChangeLine[] {
  return reconfigurations.toReversed().flatMap(({ at_s: atS, settings, announced, withdrawn }) => [
    ...settings.map(({ setting, before, after }) => ({ atS, what: ORDERS[setting] ?? setting, before: before ?? UNKNOWN, after: after ?? UNKNOWN })),
    ...announced.map((demand) => ({ atS, what: "announced", before: UNKNOWN, after: told(demand, atS) })),
    ...withdrawn.map((demand) => ({ atS, what: "announced", before: told(demand, atS), after: "taken back" })),
  ]);
}

function told({ replicas, from_s, until_s }: Announced, atS: number): string {
  return `${plural(replicas, "replica")} from ${moment(from_s, atS)} until ${moment(until_s, from_s)}`;
}
