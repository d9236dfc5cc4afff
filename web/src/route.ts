/** Where in the page one is, as the URL's hash: what is shared by sending the address. */

import { type Question, readQuestion, writeQuestion } from "./whatif/ask";

/** A range of time: the last so many seconds, or from a moment to another. */
export type Range = { kind: "last"; seconds: number } | { kind: "fixed"; from: number; until: number };

export type Route =
  | { view: "fleet"; filter: string }
  | { view: "lab"; step: string | null }
  | { view: "pool"; pool: string; range: Range; decision: number | null; whatIf: Question | null };

export const RANGES: readonly { label: string; seconds: number }[] = [
  { label: "15 min", seconds: 900 },
  { label: "1 h", seconds: 3600 },
  { label: "6 h", seconds: 6 * 3600 },
  { label: "24 h", seconds: 24 * 3600 },
  { label: "7 d", seconds: 7 * 24 * 3600 },
];
export const RANGE_DEFAULT: Range = { kind: "last", seconds: 3600 };

/** Reads a hash; whatever can't be read is left at its default. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const parameters = new URLSearchParams(query);
  const [, view, name] = path.split("/");
  if (view === "pool" && name) {
    const decision = positive(parameters.get("decision"));
    return { view: "pool", pool: decoded(name), range: parseRange(parameters), decision, whatIf: readQuestion(parameters) };
  }
  if (view === "lab") return { view: "lab", step: name ? decoded(name) : null };
  return { view: "fleet", filter: parameters.get("filter") ?? "" };
}

export function formatRoute(route: Route): string {
  const parameters = new URLSearchParams();
  if (route.view === "fleet") {
    if (route.filter) parameters.set("filter", route.filter);
    return withQuery("#/", parameters);
  }
  if (route.view === "lab") return route.step ? `#/lab/${encodeURIComponent(route.step)}` : "#/lab";
  if (route.range.kind === "fixed") {
    parameters.set("from", String(route.range.from));
    parameters.set("until", String(route.range.until));
  } else {
    parameters.set("last", String(route.range.seconds));
  }
  if (route.decision !== null) parameters.set("decision", String(route.decision));
  if (route.whatIf) writeQuestion(route.whatIf, parameters);
  return withQuery(`#/pool/${encodeURIComponent(route.pool)}`, parameters);
}

function withQuery(path: string, parameters: URLSearchParams): string {
  const query = parameters.toString();
  return query ? `${path}?${query}` : path;
}

function parseRange(parameters: URLSearchParams): Range {
  const from = positive(parameters.get("from"));
  const until = positive(parameters.get("until"));
  if (from !== null && until !== null && from < until) return { kind: "fixed", from, until };
  const last = positive(parameters.get("last"));
  return last !== null && last > 0 ? { kind: "last", seconds: last } : RANGE_DEFAULT;
}

function positive(text: string | null): number | null {
  if (text === null || text === "") return null;
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
