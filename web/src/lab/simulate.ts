/** Runs scenarios on the server, and tells how far they are. */
import { api } from "../api/client";
import { finished } from "../api/job";
import type { SimulationRequest } from "../api/types";
import type { Report } from "./answer";

/** At one time: as many as the server runs. More would only wait there, and longer than it lets them. */
const LANES = 2;

/** Runs one; whoever aborts stops it on the server too. */
export async function simulate(request: SimulationRequest, signal: AbortSignal, onProgress: (progress: number) => void): Promise<Report> {
  return (await finished((until) => api.simulate(request, until), signal, onProgress)) as Report;
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
