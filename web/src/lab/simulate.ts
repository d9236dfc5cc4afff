/** Runs scenarios on the server, and tells how far they are. */
import { api, ApiError } from "../api/client";
import type { Simulation, SimulationRequest } from "../api/types";
import type { Report } from "./answer";

const PAUSE_MS = 120;
/** Before asking again a server that is busy with others. */
const BUSY_PAUSE_MS = 1500;
/** At one time: as many as the server runs. More would only wait there, and longer than it lets them. */
const LANES = 2;

/** Runs one; whoever aborts stops it on the server too. */
export async function simulate(request: SimulationRequest, signal: AbortSignal, onProgress: (progress: number) => void): Promise<Report> {
  let simulation = await submitted(request, signal);
  const stop = (): void => {
    // It may have ended, and whoever leaves does not wait for the answer.
    void api.cancelSimulation(simulation.id).catch(() => undefined);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    while (simulation.state === "queued" || simulation.state === "running") {
      onProgress(simulation.progress);
      await pause(PAUSE_MS, signal);
      simulation = await api.simulation(simulation.id, signal);
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
  if (simulation.state !== "done") throw new ApiError(0, simulation.error ?? "the simulation was stopped", null);
  onProgress(1);
  return simulation.result as Report;
}

async function submitted(request: SimulationRequest, signal: AbortSignal): Promise<Simulation> {
  for (;;) {
    try {
      return await api.simulate(request, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 503) throw error;
      await pause(BUSY_PAUSE_MS, signal);
    }
  }
}

/** Several, a few at a time. */
export async function simulateAll(requests: SimulationRequest[], signal: AbortSignal, onProgress: (progress: number) => void): Promise<Report[]> {
  const done = requests.map(() => 0);
  const one = (request: SimulationRequest, index: number): Promise<Report> =>
    simulate(request, signal, (progress) => {
      done[index] = progress;
      onProgress(done.reduce((sum, part) => sum + part, 0) / requests.length);
    });
  const reports: Report[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < requests.length) {
      const index = next++;
      const request = requests[index];
      if (request) reports[index] = await one(request, index);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return reports;
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
