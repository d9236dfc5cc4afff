/** A pool's replicas, one a row. */
import type { Pool, ReplicaStatus } from "../api/types";
import { duration, number, percent, UNKNOWN } from "../format";

/** More are not shown until asked for: a table of thousands helps nobody. */
const SHOWN = 100;

export function Replicas({ pool }: { pool: Pool }) {
  const rows = pool.replicas.slice(0, SHOWN);
  const slots = pool.summary.decision?.concurrency_cap ?? null;
  const has = (known: (replica: ReplicaStatus) => unknown): boolean => rows.some((replica) => known(replica) !== null);
  const [nodes, addresses, errors] = [has(({ node }) => node), has(({ address }) => address), has(({ last_error }) => last_error)];
  return (
    <section aria-labelledby="replicas">
      <h2 id="replicas">Replicas</h2>
      {rows.length === 0 ? <p class="note">There are none.</p> : (
        <div class="scroll" role="group" aria-label="Table of replicas" tabIndex={0}>
          <table class="replicas">
            <thead>
              <tr>
                <th scope="col">Replica</th><th scope="col">Phase</th><th scope="col" class="number">For</th><th scope="col">In flight</th>
                <th scope="col" class="number">Queue</th><th scope="col" class="number">KV</th>
                <th scope="col" class="number" title="what it counts for: less than 1 where it is slower than its pool">Counts for</th><th scope="col" class="number">Restarts</th>
                {nodes && <th scope="col">Node</th>}
                {addresses && <th scope="col">Address</th>}
                {errors && <th scope="col">Last error</th>}
              </tr>
            </thead>
            <tbody>
              {rows.map((replica) => (
                <tr key={replica.id}>
                  <th scope="row">r{replica.id}</th>
                  <td><i class={`box box-${kind(replica.phase)}`} /> {replica.phase}</td>
                  <td class="number">{duration(replica.phase_age_s)}</td>
                  <td><Fullness replica={replica} slots={slots} /></td>
                  <td class="number">{number(replica.queue_depth)}</td>
                  <td class="number">{percent(replica.kv_utilization)}</td>
                  <td class="number"><Worth capacity={replica.capacity} /></td>
                  <td class="number">{replica.restarts > 0 ? <b class="level level-2">{replica.restarts}</b> : 0}</td>
                  {nodes && <td class="mono">{replica.node ?? UNKNOWN}</td>}
                  {addresses && <td class="mono">{replica.address ?? UNKNOWN}{replica.pid !== null && <span class="quiet"> pid {replica.pid}</span>}</td>}
                  {errors && <td class="why">{replica.last_error}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {pool.replicas.length > SHOWN && <p class="note">{number(pool.replicas.length - SHOWN)} more are in <a href={`api/v1/pools/${encodeURIComponent(pool.summary.pool)}`}>the API's answer</a>.</p>}
    </section>
  );
}

function Fullness({ replica, slots }: { replica: ReplicaStatus; slots: number | null }) {
  const inside = replica.outstanding ?? replica.in_flight;
  if (inside === null) return <>{UNKNOWN}</>;
  return (
    <span class="fullness">
      {number(inside)}{slots !== null && <span class="of">/{number(slots)}</span>}
      {slots !== null && <meter min={0} max={slots} value={Math.min(inside, slots)} aria-label="slots in use" />}
    </span>
  );
}

/** What it counts for, a whole one as 1; a noisy neighbour makes it less. */
function Worth({ capacity }: { capacity: number | null }) {
  if (capacity === null) return <>{UNKNOWN}</>;
  return capacity < 1 ? <b class="level level-2">{capacity.toFixed(2)}</b> : <>1</>;
}

/** What a phase looks like. */
export function kind(phase: string): string {
  return phase === "ready" || phase === "draining" || phase === "standby" ? phase : "starting";
}
