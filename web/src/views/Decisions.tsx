/** What was decided and why, newest first; each opens to every number. */
import { useEffect, useRef, useState } from "preact/hooks";
import { api, ApiError } from "../api/client";
import type { Decision, DecisionSummary } from "../api/types";
import { flatten } from "../flatten";
import { moment, number, reason } from "../format";
import { Problem } from "./parts";

interface Props {
  pool: string;
  /** Told by the stream since the page was opened. */
  decided: DecisionSummary[];
  /** Changes when the log must be read anew. */
  epoch: number;
  now: number | null;
  open: number | null;
  onOpen: (seq: number | null) => void;
}

const SIGNS = { up: "▲", down: "▼", hold: "·" } as const;

export function Decisions({ pool, decided, epoch, now, open, onOpen }: Props) {
  const [all, setAll] = useState(false);
  const { log, next, error, loading, more } = useLog(pool, all, epoch);
  const fresh = all ? [] : decided.filter(({ seq }) => !log.some((known) => known.seq === seq));
  const shown = [...fresh, ...log];
  return (
    <section aria-labelledby="decisions">
      <h2 id="decisions">Decisions</h2>
      <p>
        <label><input type="checkbox" checked={all} onChange={({ currentTarget }) => setAll(currentTarget.checked)} /> also those that changed nothing</label>
      </p>
      {error && <Problem error={error} />}
      {open !== null && !loading && !shown.some(({ seq }) => seq === open) && (
        <ol class="decisions"><Linked pool={pool} seq={open} onClose={() => onOpen(null)} now={now} /></ol>
      )}
      <ol class="decisions">
        {shown.map((summary) => (
          <Entry key={summary.seq} pool={pool} summary={summary} now={now} isOpen={open === summary.seq} onToggle={(isOpen) => onOpen(isOpen ? summary.seq : null)} />
        ))}
      </ol>
      {shown.length === 0 && !loading && !error && <p class="note">Nothing has been done{next !== null && " in the part that was searched"}.</p>}
      {next !== null && <button type="button" disabled={loading} onClick={more}>{loading ? "Reading …" : "Earlier"}</button>}
    </section>
  );
}

function useLog(pool: string, all: boolean, epoch: number) {
  const [log, setLog] = useState<DecisionSummary[]>([]);
  const [next, setNext] = useState<number | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(true);
  const read = async (before: number | null, signal?: AbortSignal): Promise<void> => {
    setLoading(true);
    try {
      const page = await api.decisions(pool, before, all, signal);
      setLog((known) => (before === null ? page.decisions : [...known, ...page.decisions]));
      setNext(page.next_before);
      setError(null);
    } catch (failure) {
      if (signal?.aborted) return;
      setError(failure instanceof ApiError ? failure : new ApiError(0, String(failure), null));
    }
    setLoading(false);
  };
  useEffect(() => {
    const abort = new AbortController();
    void read(null, abort.signal);
    return () => abort.abort();
  }, [pool, all, epoch]);
  return { log, next, error, loading, more: () => void read(next) };
}

function Entry({ pool, summary, now, isOpen, onToggle }: { pool: string; summary: DecisionSummary; now: number | null; isOpen: boolean; onToggle: (isOpen: boolean) => void }) {
  return (
    <li>
      <details open={isOpen} onToggle={({ currentTarget }) => currentTarget.open !== isOpen && onToggle(currentTarget.open)}>
        <summary>
          <span class={`direction direction-${summary.direction}`} role="img" aria-label={summary.direction}>{SIGNS[summary.direction]}</span>
          <time>{moment(summary.at_s, now)}</time>
          <span class="headline">{summary.headline}</span>
          <span class="tag">{summary.reason === null ? "broke an invariant" : reason(summary.reason)}</span>
          <span class="quiet counts">{number(summary.ready)} ready, {number(summary.starting)} starting → {number(summary.desired)}</span>
        </summary>
        {isOpen && <Numbers pool={pool} seq={summary.seq} />}
      </details>
    </li>
  );
}

/** One that a link leads to, older than what is listed. */
function Linked({ pool, seq, onClose, now }: { pool: string; seq: number; onClose: () => void; now: number | null }) {
  const { decision, error } = useDecision(pool, seq);
  if (error) return <li><Problem error={error} /></li>;
  if (!decision) return null;
  return <Entry pool={pool} summary={decision.summary} now={now} isOpen onToggle={onClose} />;
}

function useDecision(pool: string, seq: number): { decision: Decision | null; error: ApiError | null } {
  const [decision, setDecision] = useState<Decision | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    api.decision(pool, seq, abort.signal).then(setDecision, (failure: unknown) => {
      if (!abort.signal.aborted) setError(failure instanceof ApiError ? failure : new ApiError(0, String(failure), null));
    });
    return () => abort.abort();
  }, [pool, seq]);
  return { decision, error };
}

function Numbers({ pool, seq }: { pool: string; seq: number }) {
  const { decision, error } = useDecision(pool, seq);
  const place = useRef<HTMLDivElement>(null);
  if (error) return <Problem error={error} />;
  if (!decision) return <p class="note">Reading …</p>;
  return (
    <div class="numbers" ref={place}>
      {decision.violation && <p class="problem"><b>{decision.violation.id}</b> {decision.violation.seen}</p>}
      {decision.details.map((line) => <Sentence key={line} line={line} />)}
      <details>
        <summary>Every number</summary>
        <dl class="pairs">
          {[...flatten(decision.plan, "plan"), ...(decision.explanation === null ? [] : flatten(decision.explanation))].map(({ path, value }) => (
            <div key={path}><dt>{path}</dt><dd>{value}</dd></div>
          ))}
        </dl>
      </details>
      <p class="quiet">tick {number(decision.summary.tick)}, entry {number(seq)} of the journal</p>
    </div>
  );
}

/** `Demand: …` with its first word made stand out. */
function Sentence({ line }: { line: string }) {
  const colon = line.indexOf(": ");
  if (colon < 0 || colon > 24) return <p>{line}</p>;
  return <p><b>{line.slice(0, colon)}</b> {line.slice(colon + 2)}</p>;
}
