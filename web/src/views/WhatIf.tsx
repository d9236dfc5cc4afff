/** What if the pool had been scaled in another way: its last hours replayed beside what happened. */
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, ApiError } from "../api/client";
import { finished } from "../api/job";
import type { WhatIfAnswer, WhatIfChoices } from "../api/types";
import { Chart } from "../chart/Chart";
import { duration, moment, number, percent } from "../format";
import { changes, firstQuestion, LASTS_S, NO_STANDBY, type Question, requestOf, shown, type Try, type TryKey } from "../whatif/ask";
import { charts, type Row, rows } from "../whatif/show";
import { Problem } from "./parts";

const HEIGHT = 200;
const PRICES: readonly string[] = ["0.1", "0.25", "0.5"];

interface Props {
  pool: string;
  /** What the address asks. */
  asked: Question | null;
  onAsk: (question: Question | null) => void;
  onZoom: (from: number, until: number) => void;
}

export function WhatIfPanel({ pool, asked, onAsk, onZoom }: Props) {
  const [open, setOpen] = useState(asked !== null);
  const [choices, setChoices] = useState<WhatIfChoices | null>(null);
  const [question, setQuestion] = useState<Question>(asked ?? firstQuestion);
  const [answer, setAnswer] = useState<WhatIfAnswer | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [done, setDone] = useState<number | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  useEffect(() => {
    if (!open || choices) return undefined;
    const abort = new AbortController();
    api.whatIfChoices(pool, abort.signal).then(setChoices, (failed: unknown) => {
      if (!abort.signal.aborted) setError(known(failed));
    });
    return () => abort.abort();
  }, [open, pool, choices]);

  const run = async (ready: WhatIfChoices): Promise<void> => {
    const abort = new AbortController();
    running.current = abort;
    const kept = { ...question, tries: question.tries.map((tried) => changes(tried, ready.configured)) };
    onAsk(kept);
    setError(null);
    setDone(0);
    try {
      setAnswer((await finished((signal) => api.whatIf(pool, requestOf(kept, ready), signal), abort.signal, setDone)) as WhatIfAnswer);
    } catch (failed) {
      if (!abort.signal.aborted) setError(known(failed));
    }
    setDone(null);
  };

  return (
    <section class="what-if" aria-label="What if">
      <details open={open} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary><h2>What if it had been scaled in another way?</h2></summary>
        <p class="quiet">Replays the requests that came, in the simulator; nothing is changed.</p>
        {choices && <Form choices={choices} question={question} onQuestion={setQuestion} busy={done !== null} onRun={() => void run(choices)} />}
        {!choices && !error && <p class="note" role="status">Reading the journal …</p>}
        {done !== null && (
          <p class="progress" role="status">
            <progress aria-label="Replayed" value={done} max={1} /> {percent(done)}{" "}
            <button type="button" onClick={() => running.current?.abort()}>Stop</button>
          </p>
        )}
        {error && <Problem error={error} />}
      </details>
      {open && answer && <Result answer={answer} onZoom={onZoom} />}
    </section>
  );
}

const known = (failed: unknown): ApiError => (failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));

interface FormProps {
  choices: WhatIfChoices;
  question: Question;
  onQuestion: (question: Question) => void;
  busy: boolean;
  onRun: () => void;
}

function Form({ choices, question, onQuestion, busy, onRun }: FormProps) {
  const { tries } = question;
  const put = (index: number, tried: Try): void => onQuestion({ ...question, tries: tries.map((other, at) => (at === index ? tried : other)) });
  const lasts = [...new Set([...LASTS_S, question.lastS])].filter((seconds) => seconds <= choices.last_s_max).sort((a, b) => a - b);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onRun();
      }}
    >
      <p class="choices">
        <label>
          The last <select value={String(question.lastS)} onChange={({ currentTarget }) => onQuestion({ ...question, lastS: Number(currentTarget.value) })}>
            {lasts.map((seconds) => <option key={seconds} value={String(seconds)}>{duration(seconds)}</option>)}
          </select>
        </label>
        <label>
          Engine <select value={question.profile} onChange={({ currentTarget }) => onQuestion({ ...question, profile: currentTarget.value })}>
            <option value="">{choices.profile} (taken unless said)</option>
            {choices.profiles.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      </p>
      {tries.map((tried, index) => (
        <fieldset key={index}>
          <legend>Alternative {index + 1}</legend>
          <Fields choices={choices} tried={tried} onTry={(changed) => put(index, changed)} />
          {tries.length > 1 && <button type="button" onClick={() => onQuestion({ ...question, tries: tries.filter((_, other) => other !== index) })}>Leave out</button>}
        </fieldset>
      ))}
      <p class="choices">
        <button type="submit" disabled={busy}>Replay</button>
        <button type="button" disabled={tries.length >= choices.alternatives_max} onClick={() => onQuestion({ ...question, tries: [...tries, {}] })}>Another alternative</button>
      </p>
    </form>
  );
}

function Fields({ choices, tried, onTry }: { choices: WhatIfChoices; tried: Try; onTry: (tried: Try) => void }) {
  const { configured } = choices;
  const value = (key: TryKey): string => shown(tried, key, configured);
  const set = (key: TryKey, text: string): void => onTry({ ...tried, [key]: text });
  const input = (key: TryKey, name: string, limits: { min: number; max: number; step: number | "any" }, more: { required?: boolean; placeholder?: string } = { required: true }): ComponentChildren => (
    <label>
      {name} <input type="number" {...limits} {...more} value={value(key)} onInput={({ currentTarget }) => set(key, currentTarget.value)} />
    </label>
  );
  const policies = choices.policies.includes(value("policy")) ? choices.policies : [...choices.policies, value("policy")];
  const prices = [...new Set([...PRICES, tried.standby ?? ""])].filter((price) => price && price !== NO_STANDBY);
  return (
    <div class="choices">
      <label>
        Policy <select value={value("policy")} onChange={({ currentTarget }) => set("policy", currentTarget.value)}>
          {policies.map((name) => <option key={name} value={name}>{name === "static" ? "static (always the fewest)" : name}</option>)}
        </select>
      </label>
      {input("min", "Fewest replicas", { min: 0, max: choices.replicas_max, step: 1 })}
      {input("max", "Most replicas", { min: 1, max: choices.replicas_max, step: 1 })}
      {input("ttft", "TTFT, s", { min: 0.001, max: 3600, step: "any" })}
      {input("within", "within it, %", { min: 50, max: 99.999, step: "any" })}
      {input("coldStart", "Cold start, s", { min: 0, max: 14_400, step: "any" }, { placeholder: "as seen" })}
      <label>
        Standby <select value={value("standby")} onChange={({ currentTarget }) => set("standby", currentTarget.value)}>
          <option value="">as configured ({configured.standby_price === null ? "none" : `price ${number(configured.standby_price)}`})</option>
          <option value={NO_STANDBY}>none</option>
          {prices.map((price) => <option key={price} value={price}>price {price}</option>)}
        </select>
      </label>
    </div>
  );
}

function Result({ answer, onZoom }: { answer: WhatIfAnswer; onZoom: (from: number, until: number) => void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [answer]);
  const specs = useMemo(() => charts(answer), [answer]);
  const table = rows(answer);
  return (
    <div class="what-if-result">
      <h3 ref={heading} tabIndex={-1}>What would have been</h3>
      <p class="quiet">
        {number(answer.requests)} requests, {moment(answer.from_s)} – {moment(answer.until_s, answer.from_s)}, on {answer.profile} with {number(answer.max_num_seqs)} slots
      </p>
      <div class="scroll" tabIndex={0} role="group" aria-label="Outcomes">
        <table>
          <thead>
            <tr><th scope="col">Run</th><th scope="col">Within SLO</th><th scope="col">GPU-hours</th><th scope="col">Most replicas</th><th scope="col">TTFT p99</th><th scope="col">Optimum, GPU-hours</th></tr>
          </thead>
          <tbody>{table.map((row) => <ResultRow key={row.id} row={row} />)}</tbody>
        </table>
      </div>
      <p class="quiet">The optimum knows the future. It is planned in a coarser model with a tenth of headroom, which a small fleet can undercut.</p>
      <div class="charts">
        {specs.map((spec) => <Chart key={spec.title} spec={spec} at={answer.minutes.at_s} domain={[answer.from_s, answer.until_s]} now={null} height={HEIGHT} onZoom={onZoom} />)}
      </div>
      <h3>How far to believe it</h3>
      <ul>{answer.trust.notes.map((note) => <li key={note}>{note}</li>)}</ul>
    </div>
  );
}

function ResultRow({ row }: { row: Row }) {
  const misses = row.attainment !== null && row.slo !== null && row.attainment < row.slo;
  const change = row.gpuHoursChange;
  return (
    <tr data-run={row.id} data-attainment={String(row.attainment)} data-gpu-hours={String(row.gpuHours)}>
      <th scope="row">{row.name}</th>
      <td class={misses ? "level-3" : undefined}>{row.attainment === null ? "nobody told" : percent(row.attainment)}{misses && " ✕"}</td>
      <td>{number(row.gpuHours)}{change !== null && <span class="of"> {change >= 0 ? "+" : "−"}{percent(Math.abs(change))}</span>}</td>
      <td>{number(row.peak)}</td>
      <td>{duration(row.ttftP99)}</td>
      <td>{number(row.optimum)}</td>
    </tr>
  );
}
