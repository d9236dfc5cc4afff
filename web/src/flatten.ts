/** Every number of an explanation as a list, whatever its shape. */
import { duration, moment, number, UNKNOWN } from "./format";

export interface Pair {
  path: string;
  value: string;
}

/** Each leaf with its path; durations and lists of plain values in one. */
export function flatten(value: unknown, path = ""): Pair[] {
  if (Array.isArray(value)) {
    if (value.length === 0) return [{ path, value: "none" }];
    const leaves = value.map((item) => leaf(item));
    if (leaves.every((text) => text !== null)) return [{ path, value: leaves.join(", ") }];
    return value.flatMap((item, index) => flatten(item, `${path}[${index}]`));
  }
  // A moment is stored in nanoseconds since the world's origin.
  if (typeof value === "number" && /(^|[._])at$/.test(path)) return [{ path, value: moment(value / 1e9) }];
  const text = leaf(value);
  if (text !== null) return [{ path, value: text }];
  return Object.entries(value as object).flatMap(([key, inner]) => flatten(inner, path ? `${path}.${key}` : key));
}

/** A value without parts. A duration is stored as seconds and nanoseconds. */
function leaf(value: unknown): string | null {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value === "number") return number(value);
  if (typeof value !== "object") return String(value);
  const { secs, nanos, ...rest } = value as Record<string, unknown>;
  const isDuration = typeof secs === "number" && typeof nanos === "number" && Object.keys(rest).length === 0;
  return isDuration ? duration(secs + nanos / 1e9) : null;
}
