/** One's own figures, and what `preheat size` makes of them. */
import { useRef, useState } from "preact/hooks";
import { api, ApiError } from "../../api/client";
import type { Answered, PastFigures, SizingRequest, Step } from "../../api/types";
import { number, percent } from "../../format";
import type { Report } from "../../lab/answer";
import { tellsLatency, typed } from "../../lab/own";
import type { Progress } from "../../lab/progress";
import { simulate } from "../../lab/simulate";
import { Figure, Problem, Prose } from "../parts";
import { Download } from "./Download";
import { FromPast } from "./FromPast";

interface Props {
  step: Step;
  progress: Progress;
  keep: (progress: Progress) => void;
}

interface Field {
  name: keyof SizingRequest;
  label: string;
  /** What it is, or where to find it. */
  hint: string;
  value: string;
  min: number;
}

const LOAD: Field[] = [
  { name: "qps", label: "Busiest load, requests per second", hint: "all that arrive in the busiest minute that you know", value: "10", min: 0.001 },
  { name: "quiet_qps", label: "Quiet load, requests per second", hint: "at night, or between two peaks", value: "2", min: 0.001 },
  { name: "growth_qps_per_min", label: "Growth, requests per second more within a minute", hint: "the steepest rise that you know; 0 if there is none", value: "0.5", min: 0 },
  { name: "cold_start_s", label: "A start takes, seconds", hint: "from the order to the first answer, as in step 2", value: "180", min: 0 },
  { name: "slo_ttft_s", label: "First token within, seconds", hint: "what you promise to those who ask", value: "2", min: 0.001 },
  { name: "wait_probability", label: "Share of requests that may find every slot taken", hint: "0.05 is one in twenty; less needs more replicas", value: "0.05", min: 0.0001 },
  { name: "max_num_seqs", label: "Slots per replica (max-num-seqs)", hint: "as your engine was started; its log tells", value: "32", min: 1 },
];
const BY_PROFILE: Field[] = [
  { name: "input_tokens", label: "Tokens in, on average", hint: "of a prompt; 100 tokens are about 75 English words", value: "1000", min: 1 },
  { name: "output_tokens", label: "Tokens out, on average", hint: "of an answer", value: "300", min: 1 },
];
const BY_LATENCY: Field[] = [
  { name: "latency_s", label: "A request takes in a full batch, seconds", hint: "from the begin of its work to its last token, without waiting", value: "8", min: 0.001 },
];
const PROFILES = [
  "qwen-27b-fp8-h100", "qwen3-32b-fp8-h100", "qwen3-32b-bf16-h100-tp2", "llama3.1-8b-bf16-h100", "llama3.1-8b-fp8-h100",
  "llama3.1-8b-bf16-l40s", "llama3.1-8b-bf16-a100", "llama3.1-70b-bf16-h100-tp4", "llama3.1-70b-fp8-h100-tp4",
];

export function Cluster({ step, progress, keep }: Props) {
  const [measured, setMeasured] = useState(false);
  const [profile, setProfile] = useState(PROFILES[0] ?? "");
  const [values, setValues] = useState<Record<string, string>>({});
  const [taken, setTaken] = useState<PastFigures | null>(null);
  const [answered, setAnswered] = useState<Answered | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const fields = [...LOAD, ...(measured ? BY_LATENCY : BY_PROFILE)];
  const told = useRef<HTMLHeadingElement>(null);
  const ask = async (): Promise<void> => {
    const figures = Object.fromEntries(fields.map(({ name, value }) => [name, Number(values[name] ?? value)]));
    try {
      setAnswered(await api.sizing(measured ? figures : { ...figures, profile }));
      setError(null);
      if (!progress.seen.includes(step.id)) keep({ ...progress, seen: [...progress.seen, step.id] });
      told.current?.focus();
    } catch (failed) {
      setAnswered(null);
      setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
    }
  };
  return (
    <>
      <form
        class="cluster"
        aria-label="Your figures"
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <FromPast
          onTake={(figures) => {
            setMeasured(tellsLatency(figures));
            setProfile(figures.profile ?? profile);
            setValues({ ...values, ...typed(figures) });
            setTaken(figures);
          }}
        />
        <fieldset>
          <legend>What one replica can do</legend>
          <label><input type="radio" name="how" checked={!measured} onChange={() => setMeasured(false)} /> from an engine profile</label>
          <label><input type="radio" name="how" checked={measured} onChange={() => setMeasured(true)} /> from a latency that I measured</label>
        </fieldset>
        <div class="fields">
          {!measured && (
            <label>
              Model and GPU{" "}
              <select value={profile} onChange={({ currentTarget }) => setProfile(currentTarget.value)}>
                {PROFILES.map((name) => <option key={name}>{name}</option>)}
              </select>
            </label>
          )}
          {fields.map(({ name, label, hint, value, min }) => (
            <label key={name}>
              <span>{label} <small class="quiet">{hint}</small>{taken && <Origin figure={Reflect.get(taken, name)} />}</span>{" "}
              <input name={name} type="number" required min={min} step="any" value={values[name] ?? value} onInput={({ currentTarget }) => setValues({ ...values, [name]: currentTarget.value })} />
            </label>
          ))}
        </div>
        <p><button type="submit">Size it</button></p>
      </form>
      {error && <Problem error={error} />}
      <h3 ref={told} tabIndex={-1} class={answered ? "" : "unseen"}>What to run</h3>
      {answered && <Sized answered={answered} />}
      {answered && step.reveal.map((text) => <Prose key={text} text={text} />)}
    </>
  );
}

const replicas = (count: number): string => `${number(count)} ${count === 1 ? "replica" : "replicas"}`;

/** Whether the history told a figure; of what no history tells, nothing is said. */
function Origin({ figure }: { figure: unknown }) {
  if (figure === undefined) return null;
  return <small class="origin">{figure === null ? "not in the history" : "taken"}</small>;
}

function Sized({ answered }: { answered: Answered }) {
  const { plan } = answered;
  if (!plan) return null;
  return (
    <div class="sized" data-replicas={answered.with_headroom.replicas}>
      <dl class="figures">
        <Figure name="In flight at the busiest" note="arrival rate × time in a slot">{number(answered.offered_load)}</Figure>
        <Figure name="Without headroom" note={`busy ${percent(answered.without_headroom.utilization)}`}>{replicas(answered.without_headroom.replicas)}</Figure>
        <Figure name="With headroom" note={`busy ${percent(answered.with_headroom.utilization)}`}>{replicas(answered.with_headroom.replicas)}</Figure>
        <Figure name="Warm baseline" note={`${plan.quiet_replicas} for the quiet load, ${plan.spare_replicas} for growth within a start`}>{replicas(plan.replicas_min)}</Figure>
        <Figure name="At most" note="a quarter more than the busiest needs">{replicas(plan.replicas_max)}</Figure>
        <Figure name="Concurrency target" note="in flight per replica, for KEDA or an HPA">{number(plan.concurrency_target)}</Figure>
      </dl>
      {plan.scenario && <TryOut scenario={plan.scenario} counts={[answered.without_headroom.replicas, answered.with_headroom.replicas]} />}
      <File name="preheat.yaml" text={plan.config} about="for preheat up" />
      <File name="inferenceautoscaler.yaml" text={plan.manifest} about="for kubectl apply -f" />
      {plan.scenario && <File name="your-cluster.yaml" text={plan.scenario} about="for preheat scenario" />}
    </div>
  );
}

function File({ name, text, about }: { name: string; text: string; about: string }) {
  return (
    <details open>
      <summary>{name} <span class="quiet">{about}</span></summary>
      <pre tabIndex={0} role="region" aria-label={name}>{text}</pre>
      <Download name={name} text={text} />
    </details>
  );
}

/** Half an hour of the busiest load on both counts. */
function TryOut({ scenario, counts }: { scenario: string; counts: number[] }) {
  const [reports, setReports] = useState<Report[]>([]);
  const [part, setPart] = useState<number | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const running = useRef<AbortController | null>(null);
  const start = async (): Promise<void> => {
    const abort = new AbortController();
    running.current = abort;
    setError(null);
    setReports([]);
    setPart(0);
    try {
      for (const count of new Set(counts)) {
        const report = await simulate({ scenario, policy: `static:${count}`, knobs: {}, series: false }, abort.signal, setPart);
        setReports((before) => [...before, report]);
      }
    } catch (failed) {
      if (!abort.signal.aborted) setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
    }
    setPart(null);
  };
  return (
    <div class="try-out">
      <p>
        <button type="button" disabled={part !== null} onClick={() => void start()}>Try it out: simulate both counts</button>{" "}
        {part !== null && <><span role="status"><label>running <progress max={1} value={part} /></label></span> <button type="button" onClick={() => running.current?.abort()}>Stop</button></>}
      </p>
      {error && <Problem error={error} />}
      <ul>
        {reports.map(({ policy, attainment, ttft_s }) => (
          <li key={policy}>{replicas(Number(policy.replace("static:", "")))}: {percent(attainment)} within the SLO, TTFT p99 {number(ttft_s.p99)} s</li>
        ))}
      </ul>
    </div>
  );
}
