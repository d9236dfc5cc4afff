/** Small parts that several views share. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { ApiError } from "../api/client";
import type { Connection } from "../api/stream";
import type { PoolSummary } from "../api/types";
import { LEVELS, type Level } from "../attention";
import { number } from "../format";

/** How urgent: a shape and a word, so that it needs no colour. */
export function LevelSign({ level }: { level: Level }) {
  const sign = LEVELS[level];
  return (
    <span class={`level level-${level}`}>
      <span aria-hidden="true">{sign?.shape}</span> {sign?.word}
    </span>
  );
}

/** More than these are a number only: they would not fit a phone. */
const BOXES_MAX = 12;

/** A box for each replica: ready ones full, starting ones hatched, draining and standby ones open. */
export function ReplicaBoxes({ pool }: { pool: PoolSummary }) {
  const groups = [
    { kind: "ready", count: pool.ready },
    { kind: "starting", count: pool.starting },
    { kind: "draining", count: pool.draining },
    { kind: "standby", count: pool.standby },
  ].filter(({ count }) => count > 0);
  const all = groups.reduce((sum, { count }) => sum + count, 0);
  const told = groups.map(({ kind, count }) => `${count} ${kind}`).join(", ") || "no replicas";
  return (
    <span class="boxes">
      <span class="count">
        {number(pool.ready)}<span class="of">/{number(pool.desired)}</span>
      </span>
      {all <= BOXES_MAX && (
        <span role="img" aria-label={told} title={told}>
          {groups.flatMap(({ kind, count }) => Array.from({ length: count }, (_, index) => <i key={`${kind}${index}`} class={`box box-${kind}`} />))}
        </span>
      )}
      {groups.filter(({ kind }) => kind !== "ready").map(({ kind, count }) => <span key={kind} class="and">{number(count)} {kind}</span>)}
    </span>
  );
}

/** Whether what is shown is still true. */
export function ConnectionState({ connection, live, scale }: { connection: Connection | null; live: boolean; scale: number }) {
  if (connection?.state === "lost") {
    return <span class="state state-lost" role="status"><b aria-hidden="true">✕</b> not connected; trying again</span>;
  }
  if (!connection) return <span class="state" role="status">connecting …</span>;
  if (!live) return <span class="state"><b aria-hidden="true">▤</b> a journal, after the fact</span>;
  return (
    <span class="state state-live">
      <b aria-hidden="true">●</b> live{scale !== 1 && <span class="scale"> · {number(scale)} × real time</span>}
    </span>
  );
}

/** An error with what to do about it; where a token is wanted, a place for it. */
export function Problem({ error, onToken }: { error: ApiError; onToken?: (token: string) => void }) {
  const [token, setToken] = useState("");
  return (
    <div class="problem" role="alert">
      <p><b>{error.message}</b>{error.hint && <> {error.hint}</>}</p>
      {(error.status === 401 || error.status === 403) && onToken && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            onToken(token);
          }}
        >
          <label>
            Token <input type="password" autocomplete="off" value={token} onInput={({ currentTarget }) => setToken(currentTarget.value)} />
          </label>
          <button type="submit">Use it</button>
        </form>
      )}
    </div>
  );
}

/** Words in which what stands between backticks is code. */
export function Words({ text }: { text: string }) {
  return <>{text.split("`").map((part, index) => (index % 2 === 1 ? <code key={part}>{part}</code> : part))}</>;
}

export function Prose({ text }: { text: string }) {
  return <p><Words text={text} /></p>;
}

/** A number with its name. */
export function Figure({ name, children, note, bad }: { name: string; children: ComponentChildren; note?: ComponentChildren; bad?: boolean }) {
  return (
    <div class={bad ? "figure figure-bad" : "figure"}>
      <dt>{name}</dt>
      <dd>{children}</dd>
      {note && <dd class="figure-note">{note}</dd>}
    </div>
  );
}
