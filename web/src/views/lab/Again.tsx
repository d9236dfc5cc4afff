/** Change anything and run it again: by choosing, or in the scenario itself. */
import { useRef, useState } from "preact/hooks";
import { ApiError } from "../../api/client";
import type { Experiment, Run, Step } from "../../api/types";
import { changed, parseKnobs, type Report } from "../../lab/answer";
import { simulate } from "../../lab/simulate";
import { Problem, Words } from "../parts";
import { requestOf } from "./Experiment";
import { Download } from "./Download";

interface Props {
  step: Step;
  experiment: Experiment;
  onRun: (report: Report, label: string) => void;
}

const POLICIES = ["preheat", "keda-concurrency", "keda-waiting", "hpa-gpu", "hpa-cpu", "hpa-queue", "llmd-slo", "knative", "ray-serve", "aibrix", "static:8"];

export function Again({ step, experiment, onRun }: Props) {
  const [first] = experiment.runs;
  const [text, setText] = useState(first ? requestOf(experiment, first).scenario : experiment.text);
  const [policy, setPolicy] = useState(first?.policy ?? "preheat");
  const [knobs, setKnobs] = useState("");
  const [part, setPart] = useState<number | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const running = useRef<AbortController | null>(null);
  const begin = (run: Run): void => {
    setText(requestOf(experiment, run).scenario);
    setPolicy(run.policy);
    setKnobs(run.settings.map(({ knob, value }) => `${knob}=${value}`).join(", "));
  };
  const start = async (): Promise<void> => {
    const read = parseKnobs(knobs);
    if (!read) {
      setError(new ApiError(0, "The knobs can't be read.", "Write them as in threshold_of_slots=0.4, down_window_s=60."));
      return;
    }
    const abort = new AbortController();
    running.current = abort;
    setError(null);
    setPart(0);
    try {
      const report = await simulate({ scenario: text, policy, knobs: read, series: true }, abort.signal, setPart);
      onRun(report, `yours: ${policy}${knobs ? ` (${knobs})` : ""}`);
    } catch (failed) {
      if (!abort.signal.aborted) setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
    }
    setPart(null);
  };
  return (
    <form
      class="again"
      aria-label="Run it again"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      <h3>Change anything and run it again</h3>
      <p>Choose below, run it, and find your run as the last row of the table and the last line of the charts.</p>
      <ul>{step.tries.map((tried) => <li key={tried}><Words text={tried} /></li>)}</ul>
      <div class="fields">
        <label>
          Begin from{" "}
          <select onChange={({ currentTarget }) => {
            const run = experiment.runs[currentTarget.selectedIndex];
            if (run) begin(run);
          }}>
            {experiment.runs.map(({ id, label }) => <option key={id}>{label}</option>)}
          </select>
        </label>
        {experiment.knobs.map(({ label, key, options }) => (
          <label key={label}>
            {label}{" "}
            <select
              value={options.findIndex(({ value }) => text.includes(`${key}: ${value}\n`))}
              onChange={({ currentTarget }) => {
                const option = options[Number(currentTarget.value)];
                if (option) setText(changed(text, [{ key, value: option.value }]));
              }}
            >
              <option value={-1} disabled>as written below</option>
              {options.map((option, index) => <option key={option.label} value={index}>{option.label}</option>)}
            </select>
          </label>
        ))}
        <label>
          Who scales <input list="lab-policies" required value={policy} onInput={({ currentTarget }) => setPolicy(currentTarget.value)} />
          <datalist id="lab-policies">{POLICIES.map((name) => <option key={name} value={name} />)}</datalist>
        </label>
        <label>
          Its knobs <input placeholder="threshold_of_slots=0.4" value={knobs} onInput={({ currentTarget }) => setKnobs(currentTarget.value)} />
        </label>
      </div>
      <details>
        <summary>The whole scenario</summary>
        <label>
          <span class="unseen">The scenario</span>
          <textarea rows={16} spellcheck={false} value={text} onInput={({ currentTarget }) => setText(currentTarget.value)} />
        </label>
        <p class="quiet">The same on a command line: <code>preheat scenario FILE --policy {policy}</code>. <Download name={`${experiment.scenario}.yaml`} text={text} /></p>
      </details>
      {error && <Problem error={error} />}
      <p>
        <button type="submit" disabled={part !== null}>Run it</button>{" "}
        {part !== null && (
          <>
            <span role="status"><label>running <progress max={1} value={part} /></label></span>{" "}
            <button type="button" onClick={() => running.current?.abort()}>Stop</button>
          </>
        )}
      </p>
    </form>
  );
}
