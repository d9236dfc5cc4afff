/** The lab's charts: lines over minutes, and bars with the guess drawn in. Told apart by dash and words, not by colour alone. */
import type { RunOf } from "../../lab/answer";
import { number } from "../../format";
import { useNarrow } from "../../state/hooks";

/** In units of about a pixel, so that words are as large on a phone as beside it. */
const WIDTH = 720;
const WIDTH_NARROW = 340;
const HEIGHT = 230;
const LEFT = 44;
const RIGHT = 8;
const TOP = 18;
const BOTTOM = 24;
const DASHES = ["", "8 4", "2 3", "10 3 2 3"];
const COLOURS = 8;

export interface Named extends RunOf {
  label: string;
}

interface LinesProps {
  title: string;
  unit: string;
  runs: Named[];
  value: (minute: RunOf["report"]["series"][number]) => number | null;
  /** Moments to mark. */
  marks: { minute: number; label: string }[];
}

const look = (index: number) => ({ class: `line line-${index % COLOURS}`, "stroke-dasharray": DASHES[index % DASHES.length] });

export function Lines({ title, unit, runs, value, marks }: LinesProps) {
  const [width, labels] = useNarrow() ? [WIDTH_NARROW, 3] : [WIDTH, 6];
  const columns = runs.map(({ report }) => report.series.map(value));
  const minutes = Math.max(2, ...columns.map(({ length }) => length));
  const known = columns.flat().filter((one) => one !== null);
  const top = nice(Math.max(1, ...known));
  const x = (minute: number): number => LEFT + ((width - LEFT - RIGHT) * minute) / (minutes - 1);
  const y = (one: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - one / top);
  const step = Math.max(5, Math.ceil(minutes / labels / 5) * 5);
  return (
    <figure class="chart lab-chart">
      <figcaption><h3>{title}</h3> <span class="unit">{unit}</span></figcaption>
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`${title}, ${unit}. ${words(runs, columns)}`}>
        {[0, 1, 2, 3, 4].map((part) => (
          <g key={part}>
            <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y((top * part) / 4)} y2={y((top * part) / 4)} />
            <text x={LEFT - 6} y={y((top * part) / 4) + 4} text-anchor="end">{number((top * part) / 4)}</text>
          </g>
        ))}
        {Array.from({ length: Math.ceil(minutes / step) }, (_, index) => index * step).map((minute) => (
          <text key={minute} x={x(minute)} y={HEIGHT - 6} text-anchor={x(minute) > width - 24 ? "end" : "middle"}>{minute} min</text>
        ))}
        {marks.map(({ minute, label }) => (
          <g key={label}>
            <line class="mark" x1={x(minute)} x2={x(minute)} y1={TOP} y2={HEIGHT - BOTTOM} />
            <text class="mark-label" x={x(minute) + 4} y={TOP - 5} text-anchor={minute > minutes * 0.75 ? "end" : "start"}>{label}</text>
          </g>
        ))}
        {columns.map((column, index) => <path key={runs[index]?.id} {...look(index)} d={path(column, x, y)} />)}
      </svg>
      <ul class="lab-legend">
        {runs.map(({ id, label }, index) => (
          <li key={id}><svg viewBox="0 0 34 8" aria-hidden="true"><path {...look(index)} d="M0 4H34" /></svg> {label}</li>
        ))}
      </ul>
    </figure>
  );
}

/** The most of each line, for those who can't see it. */
function words(runs: Named[], columns: (number | null)[][]): string {
  const most = (column: (number | null)[]): number => Math.max(0, ...column.filter((one) => one !== null));
  return `At most: ${runs.map(({ label }, index) => `${label} ${number(most(columns[index] ?? []))}`).join("; ")}.`;
}

function path(column: (number | null)[], x: (minute: number) => number, y: (one: number) => number): string {
  let down = false;
  return column
    .map((one, minute) => {
      const command = down ? "L" : "M";
      down = one !== null;
      return one === null ? "" : `${command}${x(minute).toFixed(1)} ${y(one).toFixed(1)}`;
    })
    .join("");
}

/** The end of an axis that four even steps of it divide well. */
function nice(value: number): number {
  let unit = 4;
  while (unit * 5 < value) unit *= 5;
  return Math.max(1, Math.ceil(value / unit)) * unit;
}

interface BarsProps {
  title: string;
  unit: string;
  bars: { label: string; value: number | null; note?: string }[];
  guess: number | null;
}

/** One bar each, and the guess as a line through all of them. On a phone names stand above their bars. */
export function Bars({ title, unit, bars, guess }: BarsProps) {
  const isNarrow = useNarrow();
  const [width, from, bar, above] = isNarrow ? [WIDTH_NARROW, 0, 40, 16] : [WIDTH, 270, 26, 0];
  const most = Math.max(guess ?? 0, ...bars.map(({ value }) => value ?? 0), 1e-9) * 1.15;
  const x = (value: number): number => from + ((width - from - 90) * value) / most;
  const y = (index: number): number => 22 + bar * index;
  const height = y(bars.length) + 2;
  const told = bars.map(({ label, value }) => `${label} ${number(value)}`).join("; ");
  return (
    <figure class="chart lab-chart">
      <figcaption><h3>{title}</h3> <span class="unit">{unit}</span></figcaption>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`${title}, ${unit}. ${told}.${guess === null ? "" : ` Your guess: ${number(guess)}.`}`}>
        {bars.map(({ label, value }, index) => (
          <g key={label}>
            {isNarrow ? <text x={0} y={y(index) + 11}>{label}</text> : <text x={from - 8} y={y(index) + 13} text-anchor="end">{label}</text>}
            <rect class="lab-bar" x={from} y={y(index) + above} width={Math.max(1, x(value ?? 0) - from)} height={18} />
          </g>
        ))}
        {guess !== null && (
          <g>
            <line class="guess-line" x1={x(guess)} x2={x(guess)} y1={14} y2={height} />
            <text class="guess-label" x={x(guess)} y={11} text-anchor={x(guess) < 60 ? "start" : "middle"}>your guess: {number(guess)}</text>
          </g>
        )}
        {bars.map(({ label, value, note }, index) => (
          <text key={label} class="lab-value" x={x(value ?? 0) + 5} y={y(index) + above + 13}>{number(value)}{note ? ` ${note}` : ""}</text>
        ))}
      </svg>
    </figure>
  );
}
