/** What operators may order of a pool for a while: a pause, a count, announced demand. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { api, ApiError, keepControlToken } from "../api/client";
import type { Controls, Pool } from "../api/types";
import { duration, moment, number } from "../format";
import { Problem } from "./parts";

/** How long an order may stand, in seconds of model time. */
const SPANS: readonly number[] = [900, 3600, 4 * 3600, 24 * 3600];

export function ControlsPanel({ pool }: { pool: Pool }) {
  const [error, setError] = useState<ApiError | null>(null);
  const [retry, setRetry] = useState<Controls | null>(null);
  const [busy, setBusy] = useState(false);
  const { controls } = pool;
  if (!controls || !pool.live) return null;

  const order = async (changed: Controls): Promise<void> => {
    setBusy(true);
    try {
      await api.setControls(pool.summary.pool, changed);
      setError(null);
      setRetry(null);
    } catch (failed) {
      setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
      setRetry(changed);
    }
    setBusy(false);
  };
  const useToken = (token: string): void => {
    keepControlToken(token);
    if (retry) void order(retry);
  };

  return (
    <section class="controls" aria-label="Controls">
      <Standing pool={pool} controls={controls} order={order} busy={busy} />
      <details>
        <summary>Controls</summary>
        <p>
          <button type="button" disabled={busy} aria-pressed={controls.paused} onClick={() => void order({ ...controls, paused: !controls.paused })}>
            {controls.paused ? "Go on" : "Pause"}
          </button>{" "}
          <span class="quiet">While it is paused nothing is started or given up.</span>
        </p>
        <Order pool={pool} name="Pin" busy={busy} note="So many are ready, whatever is needed." onOrder={(replicas, forS) => void order({ ...controls, pinned: { replicas, until_s: pool.clock.now_s + forS } })} />
        <Order pool={pool} name="Announce" busy={busy} note="At least so many are ready; more where traffic needs them." ahead onOrder={(replicas, forS, inS) => void order({ ...controls, announced: [...controls.announced, { replicas, from_s: pool.clock.now_s + inS, until_s: pool.clock.now_s + inS + forS }] })} />
      </details>
      {error && <Problem error={error} onToken={useToken} />}
    </section>
  );
}

/** What is ordered, each with a way to take it back. */
function Standing({ pool, controls, order, busy }: { pool: Pool; controls: Controls; order: (changed: Controls) => Promise<void>; busy: boolean }) {
  const now = pool.clock.now_s;
  const line = (key: string, text: ComponentChildren, without: Controls) => (
    <li key={key}>{text} <button type="button" disabled={busy} onClick={() => void order(without)}>Take back</button></li>
  );
  const { paused, pinned, announced } = controls;
  if (!paused && !pinned && announced.length === 0) return null;
  return (
    <ul class="orders">
      {paused && line("paused", <b>Paused by an operator.</b>, { ...controls, paused: false })}
      {pinned && line("pinned", <><b>Pinned at {number(pinned.replicas)}</b> until {moment(pinned.until_s, now)}.</>, { ...controls, pinned: null })}
      {announced.map((entry, index) => line(
        `${entry.from_s}-${entry.until_s}-${entry.replicas}`,
        <>Announced: <b>{number(entry.replicas)}</b> from {moment(entry.from_s, now)} until {moment(entry.until_s, entry.from_s)}.</>,
        { ...controls, announced: announced.filter((_, other) => other !== index) },
      ))}
    </ul>
  );
}

interface OrderProps {
  pool: Pool;
  name: string;
  note: string;
  busy: boolean;
  /** Whether it may begin later. */
  ahead?: boolean;
  onOrder: (replicas: number, forS: number, inS: number) => void;
}

function Order({ pool: { summary }, name, note, busy, ahead = false, onOrder }: OrderProps) {
  const [replicas, setReplicas] = useState(Math.max(summary.desired, summary.replicas_min));
  const [forS, setForS] = useState(3600);
  const [inS, setInS] = useState(0);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onOrder(replicas, forS, inS);
      }}
    >
      <label>
        Replicas <input type="number" required min={summary.replicas_min} max={summary.replicas_max} value={replicas} onInput={({ currentTarget }) => setReplicas(currentTarget.valueAsNumber)} />
      </label>
      {ahead && <Span label="from" values={[0, ...SPANS]} value={inS} onValue={setInS} text={(seconds) => (seconds === 0 ? "now" : `in ${duration(seconds)}`)} />}
      <Span label="for" values={SPANS} value={forS} onValue={setForS} text={duration} />
      <button type="submit" disabled={busy}>{name}</button> <span class="quiet">{note}</span>
    </form>
  );
}

function Span({ label, values, value, onValue, text }: { label: string; values: readonly number[]; value: number; onValue: (value: number) => void; text: (seconds: number) => string }) {
  return (
    <label>
      {label}{" "}
      <select value={String(value)} onChange={({ currentTarget }) => onValue(Number(currentTarget.value))}>
        {values.map((seconds) => <option key={seconds} value={String(seconds)}>{text(seconds)}</option>)}
      </select>
    </label>
  );
}
