/** The lab: a lesson in steps, each guessed before it is told. */
import { useEffect, useState } from "preact/hooks";
import { api, ApiError } from "../../api/client";
import type { Lesson } from "../../api/types";
import { load, NOTHING, type Progress, save } from "../../lab/progress";
import { Problem, Prose } from "../parts";
import { Cluster } from "./Cluster";
import { ExperimentView } from "./Experiment";
import { Recall, Terms } from "./Recall";

interface Props {
  step: string | null;
  attempt: number;
  onToken: (token: string) => void;
}

export function LabView({ step, attempt, onToken }: Props) {
  const [lesson, setLesson] = useState<Lesson | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [progress, setProgress] = useState<Progress>(() => load(localStorage));
  useEffect(() => {
    const abort = new AbortController();
    api.lesson(abort.signal).then(
      (told) => {
        setLesson(told);
        setError(null);
      },
      (failed: unknown) => {
        if (!abort.signal.aborted) setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
      },
    );
    return () => abort.abort();
  }, [attempt]);
  useEffect(() => scrollTo(0, 0), [step]);
  const keep = (next: Progress): void => {
    setProgress(next);
    save(localStorage, next);
  };
  const steps = lesson?.steps ?? [];
  const at = Math.max(0, steps.findIndex(({ id }) => id === step));
  const current = steps[at];
  const [before, after] = [steps[at - 1], steps[at + 1]];
  return (
    <>
      <header>
        <h1><a class="brand" href="#/">preheat</a> <span aria-hidden="true">/</span> <a class="brand" href="#/lab">Lab</a></h1>
        {lesson && <span class="quiet">{lesson.title}</span>}
      </header>
      <main class="lab">
        {error && <Problem error={error} onToken={onToken} />}
        {lesson && current && (
          <>
            <nav aria-label="Steps">
              <ol class="steps">
                {steps.map(({ id, title }, index) => (
                  <li key={id}>
                    <a href={`#/lab/${id}`} aria-current={index === at ? "step" : undefined}>
                      {index + 1}. {title}{progress.seen.includes(id) && <span class="done"> ✓<span class="unseen"> done</span></span>}
                    </a>
                  </li>
                ))}
              </ol>
            </nav>
            <section class="lesson" key={current.id} aria-labelledby="step-title">
              {at === 0 && lesson.lead.map((text) => <p key={text} class="quiet">{text}</p>)}
              <h2 id="step-title">{at + 1}. {current.title}</h2>
              {current.lead.map((text) => <Prose key={text} text={text} />)}
              {current.experiment && <ExperimentView step={current} experiment={current.experiment} progress={progress} keep={keep} />}
              {current.id === "cluster" && <Cluster step={current} progress={progress} keep={keep} />}
              {current.id === "recall" && <Recall lesson={lesson} progress={progress} keep={keep} />}
              {current.id !== "recall" && (
                <details class="glossary">
                  <summary>What the words mean</summary>
                  <Terms terms={lesson.glossary} />
                </details>
              )}
            </section>
            <nav class="turn" aria-label="Before and after">
              {before && <a href={`#/lab/${before.id}`}>← {before.title}</a>}
              {after && <a class="after" href={`#/lab/${after.id}`}>{after.title} →</a>}
            </nav>
            <p class="quiet">
              Your guesses are kept in this browser only. A link to this step is this page's address.{" "}
              <button type="button" onClick={() => keep(NOTHING)}>Forget my progress</button>
            </p>
          </>
        )}
      </main>
    </>
  );
}
