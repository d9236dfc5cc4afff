/** Sliders under which the simulation runs anew at each step, so that one sees what each thing at hand takes off. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../../api/client";
import type { Dials, Experiment } from "../../api/types";
import { number, percent, plural } from "../../format";
import { changed, figure, type Report } from "../../lab/answer";
import { asInFile, dialValue, type Set } from "../../lab/dials";
import { simulate } from "../../lab/simulate";
import { Problem } from "../parts";
import { requestOf } from "./Experiment";

interface Props {
  experiment: Experiment;
  dials: Dials;
  onRun: (report: Report) => void;
}

export function DialsPanel({ experiment, dials, onRun }: Props) {
  const [set, setSet] = useState<Set>(asInFile(dials));
  const [report, setReport] = useState<Report | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const [first] = experiment.runs;
  if (!first) return null;

  const turn = async (to: Set): Promise<void> => {
    setSet(to);
    // Whoever drags on is not interested in what is behind.
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    try {
      const request = requestOf(experiment, first);
      const scenario = changed(request.scenario, [{ key: dials.key, value: dialValue(dials, to) }]);
      const done = await simulate({ ...request, scenario }, abort.signal, () => undefined);
      if (abort.signal.aborted) return;
      setReport(done);
      setError(null);
      onRun(done);
    } catch (failed) {
      if (!abort.signal.aborted) setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
    }
  };
  return (
    <fieldset class="dials" aria-label={dials.title}>
      <h3>{dials.title}</h3>
      <p>{dials.about}</p>
      {dials.dials.map(({ label, stops }, index) => {
        const stop = set.stops[index] ?? 0;
        return (
          <label key={label} class={set.isInstead ? "dial dial-off" : "dial"}>
            <span>{label}</span>
            <input
              type="range"
              min={0}
              max={stops.length - 1}
              step={1}
              value={stop}
              disabled={set.isInstead}
              aria-valuetext={stops[stop]?.label ?? ""}
              onInput={({ currentTarget }) => void turn({ ...set, stops: set.stops.map((before, other) => (other === index ? currentTarget.valueAsNumber : before)) })}
            />
            <output>{stops[stop]?.label}</output>
          </label>
        );
      })}
      <label><input type="checkbox" checked={set.isInstead} onChange={({ currentTarget }) => void turn({ ...set, isInstead: currentTarget.checked })} /> {dials.instead.label}</label>
      {error && <Problem error={error} />}
      <p role="status">{report ? told(report, experiment.event_minute) : "Drag one: the scenario runs anew, and the pictures with it."}</p>
    </fieldset>
  );
}

function told(report: Report, event: number): string {
  const [minutes, missed] = [figure("minutes_to_ready", report, event), figure("missed_until_ready", report, event)];
  const help = minutes === null ? "No new replica became ready." : `The first new replica is ready after ${plural(minutes, "minute")}; ${number(missed)} requests missed by then.`;
  return `${help} ${percent(report.attainment)} within the SLO, ${number(report.gpu_hours)} GPU-hours.`;
}
