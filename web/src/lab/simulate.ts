/** Runs scenarios on the server, and tells how far they are. */
import { api, ApiError } from "../api/client";
import type { Simulation, SimulationRequest } from "../api/types";
import type { Report } from "./answer";

const PAUSE_MS = 120;

/** Runs one; whoever aborts stops it on the server too. */
export async function simulate(request: SimulationRequest, signal: AbortSignal, onProgress: (progress: number) => void): Promise<Report> {
  let simulation: Simulation = await api.simulate(request, signal);
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

/** Several, one after the other as the server takes them. */
export async function simulateAll(requests: SimulationRequest[], signal: AbortSignal, onProgress: (progress: number) => void): Promise<Report[]> {
  const done = requests.map(() => 0);
  const one = (request: SimulationRequest, index: number): Promise<Report> =>
    simulate(request, signal, (progress) => {
      done[index] = progress;
      onProgress(done.reduce((sum, part) => sum + part, 0) / requests.length);
    });
  return Promise.all(requests.map(one));
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
