/** What the keys do and what the signs mean. */
import { useEffect, useRef } from "preact/hooks";
import { LEVELS } from "../attention";

const MEANINGS = [
  "as many as needed, nothing waits",
  "replicas start or drain",
  "requests wait, or it may not grow",
  "the SLO is missed, none is ready, or nobody decides",
];

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keys and signs</h2>
      <dl class="pairs">
        <dt><kbd>/</kbd></dt><dd>filter the pools</dd>
        <dt><kbd>j</kbd> <kbd>k</kbd> or arrows</dt><dd>next, previous pool; <kbd>Enter</kbd> opens it</dd>
        <dt><kbd>1</kbd> … <kbd>5</kbd></dt><dd>range of time, from 15 minutes to 7 days</dd>
        <dt><kbd>[</kbd> <kbd>]</kbd></dt><dd>earlier, later; <kbd>l</kbd> back to the newest</dd>
        <dt><kbd>Esc</kbd></dt><dd>back to all pools</dd>
        <dt>drag</dt><dd>across a chart to look closer</dd>
      </dl>
      <dl class="pairs">
        {[...LEVELS.entries()].reverse().map(([level, { word, shape }]) => (
          <>
            <dt><span class={`level level-${level}`}><span aria-hidden="true">{shape}</span> {word}</span></dt>
            <dd>{MEANINGS[level]}</dd>
          </>
        ))}
      </dl>
      <dl class="pairs">
        <dt>▲2 ▼1 ✕1</dt><dd>on charts: so many were started, were given up; a decision was unsound and dropped</dd>
        <dt>◆1</dt><dd>on charts: so often settings or an operator's orders changed; above the charts is what</dd>
        <dt>◌</dt><dd>on charts: from here on nothing was decided for a while, as when preheat was not running</dd>
        <dt>offered load</dt><dd>slots in use if nobody had to wait: arrival rate × service time</dd>
        <dt>slots held</dt><dd>what the rule that is followed keeps for it</dd>
      </dl>
      <form method="dialog"><button type="submit">Close</button></form>
    </dialog>
  );
}
