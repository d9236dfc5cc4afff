/** Fills the form from what a pool went through, where whoever serves the lesson has a past of one. */
import { useEffect, useState } from "preact/hooks";
import { api, ApiError } from "../../api/client";
import type { PastFigures } from "../../api/types";
import { Problem } from "../parts";

export function FromPast({ onTake }: { onTake: (figures: PastFigures) => void }) {
  const [names, setNames] = useState<string[] | null>(null);
  const [name, setName] = useState<string | null>(null);
  const [told, setTold] = useState<PastFigures | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [isAsking, setAsking] = useState(false);
  useEffect(() => {
    const abort = new AbortController();
    // Without an answer one types.
    void api.pasts(abort.signal).then(setNames, () => undefined);
    return () => abort.abort();
  }, []);
  if (names === null) return null;
  const chosen = names.find((one) => one === name) ?? names[0];
  if (chosen === undefined) {
    return (
      <p class="quiet">
        Your own history can fill this in: start the lab as <code>preheat lab --prometheus URL --pool MODEL</code>, if a Prometheus scrapes your engines, or as{" "}
        <code>preheat lab --journal JOURNAL</code>, if preheat has watched them.
      </p>
    );
  }
  const take = async (): Promise<void> => {
    setAsking(true);
    try {
      const figures = await api.figures(chosen);
      setTold(figures);
      setError(null);
      if (figures.qps !== null) onTake(figures);
    } catch (failed) {
      setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed), null));
    }
    setAsking(false);
  };
  return (
    <div class="own">
      <label>
        From the history of{" "}
        <select value={chosen} onChange={({ currentTarget }) => setName(currentTarget.value)}>
          {names.map((one) => <option key={one}>{one}</option>)}
        </select>
      </label>{" "}
      <button type="button" disabled={isAsking} onClick={() => void take()}>Take its figures</button>
      {error && <Problem error={error} />}
      <div role="status">
        {told && told.qps !== null && <p>Taken. What this history tells, and what it does not:</p>}
        {told && <ul class="quiet notes">{told.notes.map((note) => <li key={note}>{note}</li>)}</ul>}
      </div>
    </div>
  );
}
