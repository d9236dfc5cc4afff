/** From memory first, then uncovered. */
import type { Lesson, Term } from "../../api/types";
import type { Progress } from "../../lab/progress";

interface Props {
  lesson: Lesson;
  progress: Progress;
  keep: (progress: Progress) => void;
}

export function Recall({ lesson, progress, keep }: Props) {
  const { cards, teach_back: teachBack, kitchen, glossary, next } = lesson;
  const done = (): void => {
    if (!progress.seen.includes("recall")) keep({ ...progress, seen: [...progress.seen, "recall"] });
  };
  return (
    <>
      <ol class="cards">
        {cards.map(({ front, back }) => (
          <li key={front}><details><summary>{front}</summary><p>{back}</p></details></li>
        ))}
      </ol>
      <h3>Teach it back</h3>
      <p>{teachBack.task}</p>
      <label>
        <span class="unseen">In your own words</span>
        <textarea rows={6} placeholder="In your own words" value={progress.teachBack} onInput={({ currentTarget }) => keep({ ...progress, teachBack: currentTarget.value })} />
      </label>
      <details class="model" onToggle={({ currentTarget }) => currentTarget.open && done()}>
        <summary>Compare with one answer</summary>
        {teachBack.model.map((text) => <p key={text}>{text}</p>)}
      </details>
      <h3>The kitchen</h3>
      <p>{kitchen.lead}</p>
      <Terms terms={kitchen.pairs} />
      <p>{kitchen.close}</p>
      <h3>Glossary</h3>
      <Terms terms={glossary} />
      <h3>What next</h3>
      <dl class="terms">
        {next.map(({ what, why }) => <div key={what}><dt><code>{what}</code></dt><dd>{why}</dd></div>)}
      </dl>
    </>
  );
}

export function Terms({ terms }: { terms: Term[] }) {
  return (
    <dl class="terms">
      {terms.map(({ word, meaning }) => <div key={word}><dt>{word}</dt><dd>{meaning}</dd></div>)}
    </dl>
  );
}
