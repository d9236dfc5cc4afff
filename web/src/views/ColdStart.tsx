/** Where the time of a start goes. */
import type { Pool } from "../api/types";
import { duration, number, plural } from "../format";

interface Bar {
  name: string;
  p50: number;
  p90: number;
  note: string;
}

export function ColdStart({ pool }: { pool: Pool }) {
  const { decision } = pool.summary;
  if (!decision) return null;
  const seen = decision.cold_starts_seen;
  const whole: Bar = { name: "whole start", p50: decision.cold_start_p50_s, p90: decision.cold_start_p90_s, note: seen === 0 ? "assumed until one was seen" : `${plural(seen, "start")} seen` };
  const phases: Bar[] = pool.cold_start_phases.map((phase) => ({
    name: phase.phase,
    p50: phase.p50_s,
    p90: phase.p90_s,
    note: `${number(phase.seen)} seen${phase.unfinished > 0 ? `, ${number(phase.unfinished)} unfinished` : ""}`,
  }));
  const longest = Math.max(...[whole, ...phases].map(({ p90, p50 }) => Math.max(p90, p50)), 1e-9);
  const { last_tick_s } = pool.summary;
  return (
    <section aria-labelledby="cold-start">
      <h2 id="cold-start">Cold start</h2>
      <table class="cold-start">
        <thead><tr><th scope="col">Phase</th><th scope="col"><span class="unseen">p50, with p90</span></th><th scope="col" class="number">p50</th><th scope="col" class="number">p90</th><th scope="col">From</th></tr></thead>
        <tbody>
          {[...phases, whole].map(({ name, p50, p90, note }) => (
            <tr key={name} class={name === whole.name ? "whole" : ""}>
              <th scope="row">{name}</th>
              <td class="bar">
                <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                  <rect x="0" y="1" height="8" width={(100 * p50) / longest} class="bar-p50" />
                  <rect x={(100 * p50) / longest} y="4" height="2" width={(100 * Math.max(p90 - p50, 0)) / longest} class="bar-p90" />
                </svg>
              </td>
              <td class="number">{duration(p50)}</td>
              <td class="number">{duration(p90)}</td>
              <td class="quiet">{note}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {pool.starts_ready_in_s.length > 0 && last_tick_s !== null && (
        <p>
          <b>Under way:</b> ready in about {pool.starts_ready_in_s.slice(0, 8).map((inS) => duration(Math.max(last_tick_s + inS - pool.clock.now_s, 0))).join(", ")}
          {pool.starts_ready_in_s.length > 8 && ` and ${number(pool.starts_ready_in_s.length - 8)} more`}
        </p>
      )}
    </section>
  );
}
