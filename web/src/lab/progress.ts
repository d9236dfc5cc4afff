/** What a learner has done, kept in this browser and nowhere else. */

export type Guess = number | string;

export interface Progress {
  /** By step and question. */
  guesses: Record<string, Record<string, Guess>>;
  /** Steps whose answers were seen. */
  seen: string[];
  /** What was explained in one's own words. */
  teachBack: string;
}

const KEY = "preheat-lab";
export const NOTHING: Progress = { guesses: {}, seen: [], teachBack: "" };

export function load(storage: Pick<Storage, "getItem">): Progress {
  try {
    const known: unknown = JSON.parse(storage.getItem(KEY) ?? "null");
    if (typeof known !== "object" || known === null) return NOTHING;
    const { guesses, seen, teachBack } = { ...NOTHING, ...(known as Partial<Progress>) };
    const sound = typeof guesses === "object" && guesses !== null && Array.isArray(seen) && typeof teachBack === "string";
    return sound ? { guesses, seen, teachBack } : NOTHING;
  } catch {
    return NOTHING;
  }
}

/** Where the browser keeps nothing, the page works until it is closed. */
export function save(storage: Pick<Storage, "setItem">, progress: Progress): void {
  try {
    storage.setItem(KEY, JSON.stringify(progress));
  } catch {
    // Full, or not allowed.
  }
}
