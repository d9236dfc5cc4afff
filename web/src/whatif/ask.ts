/** What is asked of a pool's past: as a form holds it, as an address does, and as the server takes it. */
import type { Alternative, WhatIfChoices, WhatIfRequest, WhatIfSettings } from "../api/types";
import { duration, number, percent } from "../format";

/** One alternative as it is typed; what is not there is as configured. */
export interface Try {
  policy?: string;
  min?: string;
  max?: string;
  /** TTFT of the SLO, in seconds. */
  ttft?: string;
  /** Share of requests within it, in percent. */
  within?: string;
  /** Time from order to ready, in seconds; empty for what was seen. */
  coldStart?: string;
  /** `none`, or the price of a sleeping replica. */
  standby?: string;
}

export interface Question {
  lastS: number;
  /** Empty for the one that the server takes. */
  profile: string;
  tries: Try[];
}

export const LAST_DEFAULT_S = 6 * 3600;
export const LASTS_S: readonly number[] = [900, 3600, LAST_DEFAULT_S, 24 * 3600];
export const NO_STANDBY = "none";

const KEYS = ["policy", "min", "max", "ttft", "within", "coldStart", "standby"] as const satisfies readonly (keyof Try)[];
export type TryKey = (typeof KEYS)[number];

/** The form's first alternative: another autoscaler, everything else as it is. */
export const firstQuestion = (): Question => ({ lastS: LAST_DEFAULT_S, profile: "", tries: [{ policy: "keda-concurrency" }] });

/** `policy~keda-waiting,max~12`. */
export const formatTry = (tried: Try): string => KEYS.flatMap((key) => (tried[key] ? [`${key}~${tried[key]}`] : [])).join(",");

/** The same read; what can't be read is left out. */
export function parseTry(text: string): Try {
  const read: Try = {};
  for (const part of text.split(",")) {
    const [name, ...value] = part.split("~");
    const key = KEYS.find((known) => known === name);
    if (key && value.length === 1 && value[0]) read[key] = value[0];
  }
  return read;
}

export function writeQuestion(question: Question, to: URLSearchParams): void {
  to.set("replay", String(question.lastS));
  if (question.profile) to.set("profile", question.profile);
  for (const tried of question.tries) to.append("try", formatTry(tried));
}

export function readQuestion(from: URLSearchParams): Question | null {
  const lastS = Number(from.get("replay") ?? "");
  if (!Number.isFinite(lastS) || lastS <= 0) return null;
  const tries = from.getAll("try").map(parseTry);
  return { lastS, profile: from.get("profile") ?? "", tries: tries.length > 0 ? tries : [{}] };
}

/** What a field shows: what was typed, or what is configured. */
export function shown(tried: Try, key: TryKey, configured: WhatIfSettings): string {
  return tried[key] ?? asConfigured(key, configured);
}

export function asConfigured(key: TryKey, configured: WhatIfSettings): string {
  switch (key) {
    case "policy":
      return configured.policy;
    case "min":
      return String(configured.replicas_min);
    case "max":
      return String(configured.replicas_max);
    case "ttft":
      return String(configured.slo_ttft_s);
    case "within":
      return String(+(configured.slo_quantile * 100).toFixed(6));
    case "coldStart":
    case "standby":
      return "";
  }
}

/** Without what says only what is configured. */
export function changes(tried: Try, configured: WhatIfSettings): Try {
  const kept = KEYS.filter((key) => tried[key] && tried[key] !== asConfigured(key, configured));
  return Object.fromEntries(kept.map((key) => [key, tried[key]])) as Try;
}

export function requestOf(question: Question, { configured }: WhatIfChoices): Partial<WhatIfRequest> {
  return {
    last_s: question.lastS,
    ...(question.profile ? { profile: question.profile } : {}),
    // What is left out is as configured: the types of the description name every field.
    alternatives: question.tries.map((tried) => alternativeOf(changes(tried, configured)) as Alternative),
  };
}

function alternativeOf({ policy, min, max, ttft, within, coldStart, standby }: Try): Partial<Alternative> {
  return {
    ...(policy ? { policy } : {}),
    ...(min ? { replicas_min: Number(min) } : {}),
    ...(max ? { replicas_max: Number(max) } : {}),
    ...(ttft ? { slo_ttft_s: Number(ttft) } : {}),
    ...(within ? { slo_quantile: +(Number(within) / 100).toFixed(8) } : {}),
    ...(coldStart ? { cold_start_s: Number(coldStart) } : {}),
    ...(standby === NO_STANDBY ? { no_standby: true } : standby ? { standby_price: Number(standby) } : {}),
  };
}

/** A run by what is different in it: `keda-waiting, 2 to 12 replicas`. */
export function label(run: WhatIfSettings, configured: WhatIfSettings): string {
  const parts = [run.policy];
  if (run.replicas_min !== configured.replicas_min || run.replicas_max !== configured.replicas_max) {
    parts.push(`${number(run.replicas_min)} to ${number(run.replicas_max)} replicas`);
  }
  if (run.slo_ttft_s !== configured.slo_ttft_s || run.slo_quantile !== configured.slo_quantile) {
    parts.push(`TTFT ${duration(run.slo_ttft_s)} for ${percent(run.slo_quantile)}`);
  }
  if (run.cold_start_s !== configured.cold_start_s) parts.push(`cold start ${duration(run.cold_start_s)}`);
  if (run.standby_price !== configured.standby_price) {
    parts.push(run.standby_price === null ? "no standby" : `standby at ${number(run.standby_price)}`);
  }
  return parts.join(", ");
}
