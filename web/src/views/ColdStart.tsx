/** Where the time of a start goes, and how much it differs from start to start. */
import type { Pool } from "../api/types";
import { coldStartRows, lanes, longest, type Row, WHOLE } from "../coldstart";
import { duration, number, UNKNOWN } from "../format";

/** Height of a strip, in which marks stand out above the dots, and of a lane of dots, in CSS pixels; those beyond the last lane are drawn in it. */
const HEIGHT = 34;
const LANE = 6;
const LANES = 4;
/** Dots closer than this, as a share of the strip's width, are drawn above each other. */
const GAP = 0.025;

export function ColdStart({ pool }: { pool: Pool }) {
  const rows = coldStartRows(pool);
  if (rows.length === 0) return null;
  const end = longest(rows);
  const { last_tick_s } = pool.summary;
  const measured = pool.cold_starts;
  return (
    <section aria-labelledby="cold-start">
      <h2 id="cold-start">Cold start</h2>
      <table class="cold-start">
        <thead>
          <tr>
            <th scope="col">Phase</th>
            <th scope="col"><span class="ends"><span>0 s</span><span>{duration(Math.round(end))}</span></span></th>
            <th scope="col" class="number">p50</th><th scope="col" class="number">p90</th><th scope="col">From</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name} class={row.name === WHOLE ? "whole" : ""}>
              <th scope="row">{row.name}</th>
              <td class="bar"><Strip row={row} end={end} /></td>
              <td class="number">{duration(row.p50)}</td>
              <td class="number">{duration(row.p90)}</td>
              <td class="quiet">{row.note}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet key">
        {measured.length > 0 && "● a start that was measured, "}
        {measured.some(({ given_up_in }) => given_up_in !== null) && "○– one that was given up and would have taken longer, "}
        ┃ p50, ┆ p90
      </p>
      {measured.length > 0 && <Each pool={pool} phases={rows.filter(({ name }) => name !== WHOLE)} />}
      {pool.starts_ready_in_s.length > 0 && last_tick_s !== null && (
        <p>
          <b>Under way:</b> ready in about {pool.starts_ready_in_s.slice(0, 8).map((inS) => duration(Math.max(last_tick_s + inS - pool.clock.now_s, 0))).join(", ")}
          {pool.starts_ready_in_s.length > 8 && ` and ${number(pool.starts_ready_in_s.length - 8)} more`}
        </p>
      )}
    </section>
  );
}

/** Every measured start as a dot on a line from nothing to the longest, with both quantiles. */
function Strip({ row: { p50, p90, dots }, end }: { row: Row; end: number }) {
  const at = (seconds: number): string => `${(100 * seconds) / end}%`;
  const lane = lanes(dots.map(({ seconds }) => seconds / end), GAP);
  return (
    <svg class="strip" height={HEIGHT} aria-hidden="true">
      <line class="strip-floor" x1="0" x2="100%" y1={HEIGHT - 1} y2={HEIGHT - 1} />
      <line class="strip-p50" x1={at(p50)} x2={at(p50)} y1="0" y2={HEIGHT} />
      <line class="strip-p90" x1={at(p90)} x2={at(p90)} y1="0" y2={HEIGHT} />
      {dots.map(({ seconds, isCut }, index) => {
        const y = HEIGHT - 5 - LANE * Math.min(lane[index] ?? 0, LANES - 1);
        return (
          <svg key={index} x={at(seconds)} y={y} overflow="visible">
            {isCut && <line class="strip-cut" x1="3" x2="9" y1="0" y2="0" />}
            <circle class={isCut ? "strip-cut" : "strip-dot"} r="3" />
          </svg>
        );
      })}
    </svg>
  );
}

/** The same as a table: which start was slow, and in which phase. */
function Each({ pool: { cold_starts }, phases }: { pool: Pool; phases: Row[] }) {
  const took = (seconds: number | undefined): string => (seconds === undefined ? UNKNOWN : seconds === 0 ? "skipped" : duration(seconds));
  return (
    <details>
      <summary>Each start, the newest first</summary>
      <div class="scroll" role="group" aria-label="Table of starts" tabIndex={0}>
        <table class="starts">
          <thead>
            <tr>
              <th scope="col">Whole start</th>
              {phases.map(({ name }) => <th key={name} scope="col" class="number">{name}</th>)}
              <th scope="col">Became</th>
            </tr>
          </thead>
          <tbody>
            {cold_starts.toReversed().map(({ took_s, phases_s, given_up_in }, index) => (
              <tr key={index}>
                <th scope="row">{duration(took_s)}</th>
                {phases.map(({ name }) => <td key={name} class="number">{took(phases_s[name])}</td>)}
                <td>{given_up_in === null ? "ready" : `given up while ${given_up_in}`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
