/** What the pool was told to do otherwise in the time that the charts show: the marks ◆ in words. */
import type { History } from "../api/types";
import { moment, number, plural } from "../format";
import { changeLines } from "../reconfigured";

/** Looking closer shows so long, in seconds, before and after. */
const CLOSE_S = 450;

export function Reconfigured({ history, now, onZoom }: { history: History; now: number | null; onZoom: (from: number, until: number) => void }) {
  const { reconfigurations, reconfigurations_left_out: leftOut } = history;
  if (reconfigurations.length === 0) return null;
  const count = reconfigurations.length + leftOut;
  return (
    <details class="reconfigured">
      <summary><span aria-hidden="true">◆</span> {plural(count, "change")} of settings or orders in this time</summary>
      <div class="scroll" tabIndex={0} role="group" aria-label="Settings and orders that changed">
        <table>
          <thead><tr><th scope="col">From</th><th scope="col">What</th><th scope="col">Before</th><th scope="col">Since then</th></tr></thead>
          <tbody>
            {changeLines(reconfigurations).map(({ atS, what, before, after }) => (
              <tr key={`${atS} ${what} ${before} ${after}`}>
                <td><button type="button" class="link" title="Look closer" onClick={() => onZoom(Math.max(0, atS - CLOSE_S), atS + CLOSE_S)}>{moment(atS, now)}</button></td>
                <th scope="row">{what}</th>
                <td>{before}</td>
                <td>{after}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {leftOut > 0 && <p class="note">The newest {number(reconfigurations.length)} are listed; a shorter time has the others.</p>}
    </details>
  );
}
