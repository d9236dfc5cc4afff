/** Questions, the guess, and the runs that answer. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../../api/client";
import type { Experiment, Question, Run, SimulationRequest, Step } from "../../api/types";
import { duration, number, percent } from "../../format";
import { answer, changed, figure, type Report, verdict } from "../../lab/answer";
import type { Guess, Progress } from "../../lab/progress";
import { simulateAll } from "../../lab/simulate";
import { Problem, Prose } from "../parts";
import { Bars, Lines, type Named } from "./charts";
import { Again } from "./Again";
import { DialsPanel } from "./Dials";

interface Props {
  step: Step;
  experiment: Experiment;
  progress: Progress;
  keep: (progress: Progress) => void;
}

/** Reports of the lesson's own runs, for as long as the page is open. */
const known = new Map<string, Report[]>();

export const requestOf = (experiment: Experiment, run: Run): SimulationRequest => ({
  scenario: changed(experiment.text, run.changes),
  policy: run.policy,
  knobs: Object.fromEntries(run.settings.map(({ knob, value }) => [knob, value])),
  series: true,
});

export function ExperimentView({ step, experiment, progress, keep }: Props) {
  const guesses = progress.guesses[step.id];
  const [reports, setReports] = useState<Report[] | null>(known.get(step.id) ?? null);
  const [part, setPart] = useState(0);
  const [error, setError] = useState<ApiError | null>(null);
  const [yours, setYours] = useState<Named | null>(null);
  const told = useRef<HTMLHeadingElement>(null);
  const committed = guesses !== undefined;

  useEffect(() => {
    if (!committed || known.has(step.id)) return undefined;
    const abort = new AbortController();
    setError(null);
    simulateAll(experiment.runs.map((run) => requestOf(experiment, run)), abort.signal, setPart).then(
      (done) => {
        known.set(step.id, done);
        setReports(done);
      },
      (failed: unknown) => {
        if (!abort.signal.aborted) setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
      },
    );
    return () => abort.abort();
  }, [committed, step.id]);
  const shown = committed ? reports : null;
  useEffect(() => {
    if (!shown || progress.seen.includes(step.id)) return;
    keep({ ...progress, seen: [...progress.seen, step.id] });
    told.current?.focus();
  }, [shown]);

  const own: Named[] = (shown ?? []).flatMap((report, index) => {
    const run = experiment.runs[index];
    return run ? [{ id: run.id, label: run.label, report }] : [];
  });
  const runs = yours ? [...own, yours] : own;
  return (
    <>
      <Guesses step={step} experiment={experiment} guesses={guesses} commit={(next) => keep({ ...progress, guesses: { ...progress.guesses, [step.id]: next } })} />
      {committed && !shown && !error && (
        <p role="status"><label>Simulating {experiment.runs.length} runs <progress max={1} value={part} /></label></p>
      )}
      {error && <Problem error={error} />}
      {shown && guesses && (
        <div class="reveal">
          <h3 ref={told} tabIndex={-1}>What happened</h3>
          {step.questions.map((question) => <Told key={question.id} question={question} experiment={experiment} own={own} runs={runs} guess={guesses[question.id]} />)}
          {experiment.dials && <DialsPanel experiment={experiment} dials={experiment.dials} onRun={(report) => setYours({ id: "yours", label: "as dragged", report })} />}
          <Results runs={runs} />
          <Lines title="Ready replicas" unit="at the end of each minute" runs={runs} value={({ ready }) => ready} marks={marks(step, experiment, guesses)} />
          <Lines title="Within the SLO" unit="% of what arrived in each minute" runs={runs} value={({ arrivals, within_slo }) => (arrivals ? (100 * within_slo) / arrivals : null)} marks={[]} />
          {step.reveal.map((text) => <Prose key={text} text={text} />)}
          <Again step={step} experiment={experiment} onRun={(report, label) => setYours({ id: "yours", label, report })} />
        </div>
      )}
    </>
  );
}

/** A guess about time is a moment in the chart. */
function marks(step: Step, experiment: Experiment, guesses: Record<string, Guess>): { minute: number; label: string }[] {
  return step.questions.flatMap(({ id, answer: how }) => {
    const guess = guesses[id];
    if (how.by !== "figure" || how.figure !== "minutes_to_ready" || typeof guess !== "number") return [];
    return [{ minute: experiment.event_minute + guess, label: "your guess" }];
  });
}

function Guesses({ step, experiment, guesses, commit }: { step: Step; experiment: Experiment; guesses: Record<string, Guess> | undefined; commit: (guesses: Record<string, Guess>) => void }) {
  const [draft, setDraft] = useState<Record<string, Guess>>(guesses ?? {});
  const committed = guesses !== undefined;
  const set = (id: string, value: Guess): void => setDraft((before) => ({ ...before, [id]: value }));
  return (
    <form
      class="guesses"
      onSubmit={(event) => {
        event.preventDefault();
        commit(draft);
      }}
    >
      {step.questions.map((question) => (
        <Ask key={question.id} question={question} experiment={experiment} value={committed ? guesses[question.id] : draft[question.id]} disabled={committed} set={(value) => set(question.id, value)} />
      ))}
      {!committed && <button type="submit">Commit my guess and run it</button>}
    </form>
  );
}

function Ask({ question, experiment, value, disabled, set }: { question: Question; experiment: Experiment; value: Guess | undefined; disabled: boolean; set: (value: Guess) => void }) {
  const { id, text, kind } = question;
  if (kind.kind === "number") {
    return (
      <p>
        <label>
          <b>{text}</b>{" "}
          <input name={id} type="number" required min={0} max={kind.max} step="any" disabled={disabled} value={typeof value === "number" ? value : ""} onInput={({ currentTarget }) => set(currentTarget.valueAsNumber)} />{" "}
          {kind.unit}
        </label>
      </p>
    );
  }
  return (
    <fieldset disabled={disabled}>
      <legend><b>{text}</b></legend>
      {experiment.runs.map((run) => (
        <label key={run.id}>
          <input type="radio" name={id} value={run.id} required checked={value === run.id} onChange={() => set(run.id)} /> {run.label}
        </label>
      ))}
    </fieldset>
  );
}

/** The answer is read from the lesson's `own` runs; the bars show all. */
function Told({ question, experiment, own, runs, guess }: { question: Question; experiment: Experiment; own: Named[]; runs: Named[]; guess: Guess | undefined }) {
  const right = answer(question.answer, own, experiment.event_minute);
  const name = (id: Guess | null | undefined): string => own.find((run) => run.id === id)?.label ?? "none of them";
  if (question.kind.kind === "run") {
    const bars = runs.map(({ id, label, report }) => ({
      label: `${id === guess ? "▶ " : ""}${label}`,
      value: report.gpu_hours,
      note: `(${percent(report.attainment)} within)`,
    }));
    return (
      <div class="told" data-question={question.id} data-answer={String(right)}>
        <p><b>{name(right)}.</b> {right === guess ? "As you said." : `You said: ${name(guess)} (▶).`}</p>
        <Bars title="Cost" unit="GPU-hours" bars={bars} guess={null} />
      </div>
    );
  }
  const { unit } = question.kind;
  const guessed = typeof guess === "number" ? guess : null;
  const how = question.answer;
  const bars =
    how.by === "figure"
      ? runs.map(({ label, report }) => ({ label, value: figure(how.figure, report, experiment.event_minute) }))
      : [{ label: "the answer", value: typeof right === "number" ? right : null }];
  return (
    <div class="told" data-question={question.id} data-answer={String(right)}>
      <p><b>{typeof right === "number" ? number(right) : "None"} {unit}.</b> {typeof right === "number" && guessed !== null && `You said ${number(guessed)}. ${verdict(guessed, right)}`}</p>
      <Bars title={question.text} unit={unit} bars={bars} guess={guessed} />
    </div>
  );
}

function Results({ runs }: { runs: Named[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Figures of each run">
      <table>
        <thead>
          <tr><th scope="col">Run</th><th scope="col" class="number">Within the SLO</th><th scope="col" class="number">GPU-hours</th><th scope="col" class="number">TTFT p99</th><th scope="col" class="number">Starts</th><th scope="col" class="number">Turns</th></tr>
        </thead>
        <tbody>
          {runs.map(({ id, label, report }) => (
            <tr key={id} data-run={id} data-attainment={report.attainment} data-gpu-hours={report.gpu_hours}>
              <th scope="row">{label}</th>
              <td class="number">{percent(report.attainment)}</td>
              <td class="number">{number(report.gpu_hours)}</td>
              <td class="number">{duration(report.ttft_s.p99)}</td>
              <td class="number">{number(report.starts)}</td>
              <td class="number">{number(report.direction_changes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet legend">
        TTFT p99: 99 of 100 first tokens came sooner than this. Starts: replicas that were started. Turns: how often the fleet went from growing to shrinking, or back.
      </p>
    </div>
  );
}
