/** Every pool on one screen, who needs attention first. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Fleet, PoolSummary } from "../api/types";
import { matching, type Ranked, ranked, sloRatio, ttftOfSlo, waiting } from "../attention";
import { duration, moment, number, plural, UNKNOWN } from "../format";
import { RANGE_DEFAULT, type Route } from "../route";
import { useFleet, useNow } from "../state/hooks";
import { spending } from "../spending";
import { ConnectionState, LevelSign, Problem, ReplicaBoxes } from "./parts";

interface Props {
  filter: string;
  attempt: number;
  go: (to: Route, replace?: boolean) => void;
  onToken: (token: string) => void;
}

export function FleetView({ filter, attempt, go, onToken }: Props) {
  const { value: fleet, connection } = useFleet(attempt);
  const now = useNow(fleet?.clock ?? null, fleet?.live ?? false);
  const [at, setAt] = useState(0);
  const search = useRef<HTMLInputElement>(null);
  const rows = fleet ? ranked(fleet.pools, fleet.live && connection?.state === "open" ? now : null) : [];
  const shown = matching(rows, filter);
  const open = (pool: string): void => go({ view: "pool", pool, range: RANGE_DEFAULT, decision: null, whatIf: null });

  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.target instanceof HTMLInputElement || event.metaKey || event.ctrlKey || event.altKey) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (event.key === "/") {
        event.preventDefault();
        search.current?.focus();
      } else if (step !== undefined && shown.length > 0) {
        event.preventDefault();
        const next = Math.min(Math.max(at + step, 0), shown.length - 1);
        setAt(next);
        document.querySelectorAll<HTMLAnchorElement>(".fleet tbody a")[next]?.focus();
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  return (
    <>
      <header>
        <h1><span class="brand">preheat</span></h1>
        <a href="#/lab">Lab</a>
        <ConnectionState connection={connection} live={fleet?.live ?? true} scale={fleet?.clock.scale ?? 1} />
        {fleet && now !== null && <time class="now">{moment(now)}</time>}
      </header>
      <main>
        {connection?.state === "lost" && <Problem error={connection.error} onToken={onToken} />}
        {fleet && <Notes fleet={fleet} />}
        {fleet && <Sums rows={rows} fleet={fleet} />}
        {rows.length > 1 && (
          <p class="search">
            <label>
              Filter <input ref={search} type="search" placeholder="name, model, reason or sign" value={filter} onInput={({ currentTarget }) => go({ view: "fleet", filter: currentTarget.value }, true)} onKeyDown={({ key, currentTarget }) => key === "Escape" && currentTarget.blur()} />
            </label>{" "}
            <kbd>/</kbd> {filter && <span class="quiet">{shown.length} of {rows.length}</span>}
          </p>
        )}
        {fleet && <Table rows={shown} open={open} />}
        {fleet && shown.length === 0 && <p class="note">{rows.length === 0 ? "There are no pools." : "No pool matches."}</p>}
      </main>
    </>
  );
}

/** What is wrong with preheat itself. */
function Notes({ fleet }: { fleet: Fleet }) {
  const failure = fleet.journal?.failure;
  const lost = fleet.journal?.dropped_records ?? 0;
  return (
    <>
      {failure && <p class="problem" role="alert"><b>The journal is not being written:</b> {failure.error} {failure.hint} Scaling goes on.</p>}
      {!failure && lost > 0 && <p class="problem" role="alert">{plural(lost, "entry").replace("entrys", "entries")} of the journal could not be stored in time.</p>}
    </>
  );
}

function Sums({ rows, fleet }: { rows: Ranked[]; fleet: Fleet }) {
  const total = (count: (row: Ranked) => number): number => rows.reduce((sum, row) => sum + count(row), 0);
  const urgent = total(({ attention }) => (attention.level === 3 ? 1 : 0));
  const look = total(({ attention }) => (attention.level === 2 ? 1 : 0));
  const gpuHours = total(({ pool }) => pool.gpu_seconds ?? 0) / 3600;
  return (
    <p class="sums">
      <b>{plural(rows.length, "pool")}</b>
      {urgent > 0 && <b class="level level-3"> ■ {number(urgent)} to act on</b>}
      {look > 0 && <b class="level level-2"> ▲ {number(look)} to look at</b>}
      {urgent + look === 0 && <span> all fine</span>}
      <span> · {number(total(({ pool }) => pool.ready))} ready</span>
      <span> · {number(total(({ pool }) => pool.starting))} starting</span>
      <span> · {plural(total(({ pool }) => waiting(pool)), "request")} waiting</span>
      {fleet.live && <span> · {number(gpuHours)} GPU-hours in {duration(fleet.uptime_s)}</span>}
    </p>
  );
}

function Table({ rows, open }: { rows: Ranked[]; open: (pool: string) => void }) {
  return (
    <table class="fleet">
      <thead>
        <tr>
          <th scope="col">State</th><th scope="col">Pool</th><th scope="col">Ready / desired</th><th scope="col">TTFT</th>
          <th scope="col" class="number">Waiting</th><th scope="col" class="number">Arrivals</th><th scope="col">GPU-hours</th><th scope="col">Why</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => <Row key={row.pool.pool} row={row} open={open} />)}
      </tbody>
    </table>
  );
}

function Row({ row: { pool, attention }, open }: { row: Ranked; open: (pool: string) => void }) {
  const models = pool.model_names.filter((name) => name !== pool.pool);
  return (
    <tr class={`row-${attention.level}`} onClick={() => open(pool.pool)}>
      <td><LevelSign level={attention.level} /></td>
      <th scope="row">
        <a href={`#/pool/${encodeURIComponent(pool.pool)}`} onClick={(event) => event.stopPropagation()}>{pool.pool}</a>
        {models.length > 0 && <span class="models">{models.join(", ")}</span>}
      </th>
      <td><ReplicaBoxes pool={pool} /></td>
      <td><Ttft row={{ pool, attention }} /></td>
      <td class="number" data-name="waiting">{number(waiting(pool))}</td>
      <td class="number" data-name="arrivals">{pool.decision ? `${number(pool.decision.arrival_rate)}/s` : UNKNOWN}</td>
      <td class="cost"><SpentCell pool={pool} /></td>
      <td class="why">
        <span title={pool.headline ?? undefined}>
          {attention.level >= 2 && <b>{attention.notes[0]}. </b>}
          {pool.headline ?? "Nothing decided yet."}
        </span>
      </td>
    </tr>
  );
}

/** What its last day cost, beside the optimum. */
function SpentCell({ pool }: { pool: PoolSummary }) {
  const told = spending(pool);
  return (
    <span class="spent" title={told.about}>
      <span class="value">{told.gpuHours}</span> <span class="of">{told.beside}</span>
    </span>
  );
}

/** TTFT beside its SLO: a bar that is full at the threshold. */
function Ttft({ row: { pool } }: { row: Ranked }) {
  const ratio = sloRatio(pool);
  const quantile = pool.slo ? `p${number(pool.slo.quantile * 100)}` : "p99";
  return (
    <span class="ttft">
      <span class="value">{duration(ttftOfSlo(pool))}</span>
      {pool.slo && (
        <>
          <meter class={ratio !== null && ratio > 1 ? "over" : ""} min={0} max={1} value={Math.min(ratio ?? 0, 1)} aria-label={`TTFT ${quantile} against its SLO`} />
          <span class="of">{quantile} ≤ {duration(pool.slo.threshold_s)}</span>
        </>
      )}
    </span>
  );
}
