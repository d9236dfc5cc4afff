/** The lab's charts: lines over minutes, and bars with the guess drawn in. Told apart by dash and words, not by colour alone. */
import type { RunOf } from "../../lab/answer";
import { number } from "../../format";

const WIDTH = 720;
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
  const columns = runs.map(({ report }) => report.series.map(value));
  const minutes = Math.max(2, ...columns.map(({ length }) => length));
  const known = columns.flat().filter((one) => one !== null);
  const top = nice(Math.max(1, ...known));
  const x = (minute: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * minute) / (minutes - 1);
  const y = (one: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - one / top);
  const step = Math.max(5, Math.ceil(minutes / 6 / 5) * 5);
  return (
    <figure class="chart lab-chart">
      <figcaption><h3>{title}</h3> <span class="unit">{unit}</span></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}, ${unit}. ${words(runs, columns)}`}>
        {[0, 1, 2, 3, 4].map((part) => (
          <g key={part}>
            <line class="grid" x1={LEFT} x2={WIDTH - RIGHT} y1={y((top * part) / 4)} y2={y((top * part) / 4)} />
            <text x={LEFT - 6} y={y((top * part) / 4) + 4} text-anchor="end">{number((top * part) / 4)}</text>
          </g>
        ))}
        {Array.from({ length: Math.ceil(minutes / step) }, (_, index) => index * step).map((minute) => (
          <text key={minute} x={x(minute)} y={HEIGHT - 6} text-anchor="middle">{minute} min</text>
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

const BAR = 26;
const NAMES = 270;

/** One bar each, and the guess as a line through all of them. */
export function Bars({ title, unit, bars, guess }: BarsProps) {
  const most = Math.max(guess ?? 0, ...bars.map(({ value }) => value ?? 0), 1e-9) * 1.15;
  const x = (value: number): number => NAMES + ((WIDTH - NAMES - 90) * value) / most;
  const height = BAR * bars.length + 24;
  const told = bars.map(({ label, value }) => `${label} ${number(value)}`).join("; ");
  return (
    <figure class="chart lab-chart">
      <figcaption><h3>{title}</h3> <span class="unit">{unit}</span></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={`${title}, ${unit}. ${told}.${guess === null ? "" : ` Your guess: ${number(guess)}.`}`}>
        {bars.map(({ label, value, note }, index) => (
          <g key={label}>
            <text x={NAMES - 8} y={22 + BAR * index + 13} text-anchor="end">{label}</text>
            <rect class="lab-bar" x={NAMES} y={22 + BAR * index} width={Math.max(1, x(value ?? 0) - NAMES)} height={BAR - 8} />
            <text class="lab-value" x={x(value ?? 0) + 5} y={22 + BAR * index + 13}>{number(value)}{note ? ` ${note}` : ""}</text>
          </g>
        ))}
        {guess !== null && (
          <g>
            <line class="guess-line" x1={x(guess)} x2={x(guess)} y1={14} y2={height} />
            <text class="guess-label" x={x(guess)} y={11} text-anchor="middle">your guess: {number(guess)}</text>
          </g>
        )}
      </svg>
    </figure>
  );
}
