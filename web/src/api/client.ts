/** Asks the HTTP API. The token, where one is needed, is kept for as long as the tab is open. */
import type { Answered, Controls, Decision, DecisionLog, Fleet, History, Lesson, PastFigures, Pool, Simulation, SimulationRequest, SizingRequest, WhatIfChoices, WhatIfRequest } from "./types";

export class ApiError extends Error {
  readonly status: number;
  readonly hint: string | null;

  constructor(status: number, message: string, hint: string | null) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

const TOKEN_KEY = "preheat-token";

export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token.trim());
}

export function headers(): Record<string, string> {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** The error that an answer is. */
export async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const field = (name: string): string | null => {
    const value = typeof body === "object" && body !== null ? Reflect.get(body, name) : null;
    return typeof value === "string" ? value : null;
  };
  return new ApiError(response.status, field("error") ?? `answered with ${response.status}`, field("hint"));
}

const CONTROL_TOKEN_KEY = "preheat-control-token";

/** The token of those who may order, beside the one for reading. */
export function keepControlToken(token: string): void {
  sessionStorage.setItem(CONTROL_TOKEN_KEY, token.trim());
}

function orderHeaders(): Record<string, string> {
  const token = sessionStorage.getItem(CONTROL_TOKEN_KEY);
  return token ? { authorization: `Bearer ${token}` } : headers();
}

/** A server that is busy with others is asked again so often, after so long. */
const BUSY_TRIES = 3;
const BUSY_PAUSE_MS = 1500;

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask<T>("GET", path, undefined, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 503 || tries === BUSY_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS));
    }
  }
}

async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let response: Response;
  const json: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
  try {
    response = await fetch(path, {
      method,
      headers: { ...(method === "PUT" ? orderHeaders() : headers()), ...json },
      body: body === undefined ? null : JSON.stringify(body),
      cache: "no-store",
      // Whoever closes the page can still stop what runs for it.
      keepalive: method === "DELETE",
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "preheat does not answer", null);
  }
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

export const poolPath = (pool: string): string => `api/v1/pools/${encodeURIComponent(pool)}`;

export const api = {
  fleet: (signal?: AbortSignal): Promise<Fleet> => get("api/v1/fleet", signal),
  pool: (pool: string, signal?: AbortSignal): Promise<Pool> => get(poolPath(pool), signal),
  history: (pool: string, from: number, until: number, points: number, signal?: AbortSignal): Promise<History> =>
    get(`${poolPath(pool)}/history?from_s=${from}&until_s=${until}&points=${points}`, signal),
  decisions: (pool: string, before: number | null, all: boolean, signal?: AbortSignal): Promise<DecisionLog> =>
    get(`${poolPath(pool)}/decisions?limit=50&all=${all}${before === null ? "" : `&before=${before}`}`, signal),
  decision: (pool: string, seq: number, signal?: AbortSignal): Promise<Decision> =>
    get(`${poolPath(pool)}/decisions/${seq}`, signal),
  setControls: (pool: string, controls: Controls): Promise<Controls> => ask("PUT", `${poolPath(pool)}/controls`, controls),
  whatIfChoices: (pool: string, signal?: AbortSignal): Promise<WhatIfChoices> => get(`${poolPath(pool)}/what-if`, signal),
  whatIf: (pool: string, request: Partial<WhatIfRequest>, signal?: AbortSignal): Promise<Simulation> => ask("POST", `${poolPath(pool)}/what-if`, request, signal),
  lesson: (signal?: AbortSignal): Promise<Lesson> => get("api/v1/lab", signal),
  pasts: (signal?: AbortSignal): Promise<string[]> => get("api/v1/lab/figures", signal),
  figures: (pool: string): Promise<PastFigures> => get(`api/v1/lab/figures/${encodeURIComponent(pool)}`),
  sizing: (request: Partial<SizingRequest>, signal?: AbortSignal): Promise<Answered> => ask("POST", "api/v1/sizing", request, signal),
  simulate: (request: SimulationRequest, signal?: AbortSignal): Promise<Simulation> => ask("POST", "api/v1/simulations", request, signal),
  simulation: (id: number, signal?: AbortSignal): Promise<Simulation> => get(`api/v1/simulations/${id}`, signal),
  cancelSimulation: (id: number): Promise<Simulation> => ask("DELETE", `api/v1/simulations/${id}`),
};
