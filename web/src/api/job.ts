/** Work that the server does in its own time: asked for, followed, and stopped when nobody wants it. */
import { api, ApiError } from "./client";
import type { Simulation } from "./types";

const PAUSE_MS = 120;
/** Before asking again a server that is busy with others. */
const BUSY_PAUSE_MS = 1500;

/** Asks for one and waits for its result; whoever aborts, or leaves the page, stops it on the server too. */
export async function finished(submit: (signal: AbortSignal) => Promise<Simulation>, signal: AbortSignal, onProgress: (progress: number) => void): Promise<unknown> {
  let simulation = await submitted(submit, signal);
  const stop = (): void => {
    // It may have ended, and whoever leaves does not wait for the answer.
    void api.cancelSimulation(simulation.id).catch(() => undefined);
  };
  signal.addEventListener("abort", stop, { once: true });
  addEventListener("pagehide", stop);
  try {
    while (simulation.state === "queued" || simulation.state === "running") {
      onProgress(simulation.progress);
      await pause(PAUSE_MS, signal);
      simulation = await api.simulation(simulation.id, signal);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    removeEventListener("pagehide", stop);
  }
  if (simulation.state !== "done") throw new ApiError(0, simulation.error ?? "the simulation was stopped", null);
  onProgress(1);
  return simulation.result;
}

async function submitted(submit: (signal: AbortSignal) => Promise<Simulation>, signal: AbortSignal): Promise<Simulation> {
  for (;;) {
    try {
      return await submit(signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 503) throw error;
      await pause(BUSY_PAUSE_MS, signal);
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    }, { once: true });
  });
}
