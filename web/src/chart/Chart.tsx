/** One chart, drawn by uPlot. Several with one `sync` share their cursor and their axis of time. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { duration, isSimulated, moment, number } from "../format";
import { annotate } from "./annotate";
import { type ChartSpec, decades, type Line } from "./spec";
import { colour, css, fill } from "./theme";
import { timeLabels } from "./time";

export interface ChartProps {
  spec: ChartSpec;
  at: number[];
  domain: [number, number];
  now: number | null;
  height: number;
  onZoom: (from: number, until: number) => void;
}

const SYNC = "pool";
const AXIS_WIDTH = 58;

export function Chart(props: ChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  // What hooks read while drawing: always the newest.
  const latest = useRef(props);
  latest.current = props;
  const { spec } = props;
  const structure = [spec.title, spec.logarithmic, ...spec.lines.map((line) => line.label)].join("|");

  useEffect(() => {
    const place = holder.current;
    if (!place) return undefined;
    const made = new uPlot(options(latest, place.clientWidth), data(latest.current), place);
    plot.current = made;
    const fit = (): void => made.setSize({ width: place.clientWidth, height: latest.current.height });
    const sizes = new ResizeObserver(fit);
    sizes.observe(place);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const recolour = (): void => made.redraw(false, true);
    scheme.addEventListener("change", recolour);
    return () => {
      scheme.removeEventListener("change", recolour);
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [structure]);

  useEffect(() => {
    plot.current?.setData(data(props));
  }, [props.at, props.spec, props.domain[0], props.domain[1]]);

  return (
    <figure class="chart">
      <figcaption>
        <h2>{spec.title}</h2> <span class="unit">{spec.unit}</span>
        <p class="about">{spec.about}</p>
      </figcaption>
      <div ref={holder} role="img" aria-label={summary(spec)} />
    </figure>
  );
}

/** The newest values in words, for those who can't see the chart. */
function summary(spec: ChartSpec): string {
  const told = spec.lines.map((line) => `${line.label} ${spec.format(newest(line))}`);
  const { ahead } = spec;
  const held = ahead ? ` For the next ${duration(Math.round(ahead.until - ahead.from))} ${number(ahead.held)} are held, which is no prediction.` : "";
  return `${spec.title}, ${spec.unit}. Now: ${told.join(", ")}.${held}`;
}

function newest(line: Line): number | null {
  return line.told.findLast((value) => value !== null) ?? null;
}

function data({ at, spec }: ChartProps): uPlot.AlignedData {
  const floor = spec.logarithmic ? (value: number | null) => (value === null ? null : Math.max(value, 1e-3)) : null;
  return [at, ...spec.lines.map((line) => (floor ? line.values.map(floor) : line.values))];
}

type Latest = { current: ChartProps };

function options(latest: Latest, width: number): uPlot.Options {
  const { spec, height, at } = latest.current;
  const simulated = isSimulated(at[0] ?? 0);
  return {
    width,
    height,
    cursor: {
      sync: { key: SYNC, setSeries: false },
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
    },
    // On the right, room for the half of a label of days that stands at the end: 168:00:00.
    padding: [8, 28, 0, 0],
    legend: {
      live: true,
      markers: {
        width: 2,
        stroke: (_, index) => colour(lineAt(latest, index)?.tone ?? "quiet"),
        fill: () => "transparent",
        dash: (_, index) => (lineAt(latest, index)?.dash.length ? "dashed" : "solid"),
      },
    },
    scales: {
      x: { time: !simulated, range: () => latest.current.domain },
      y: spec.logarithmic ? { distr: 3, log: 10, range: (_, low, high) => logRange(latest, low, high) } : { range: (_, __, high) => linearRange(latest, high) },
    },
    axes: [
      { stroke: () => css("quiet"), grid: { stroke: () => css("grid"), width: 1 }, ticks: { show: false }, size: 26, gap: 6, font: "11px system-ui", values: (_, splits, __, ___, step) => timeLabels(splits, step), ...(simulated ? { incrs: SECONDS } : {}) },
      {
        stroke: () => css("quiet"),
        grid: { stroke: () => css("grid"), width: 1 },
        ticks: { show: false },
        size: AXIS_WIDTH,
        font: "11px system-ui",
        values: (_, splits) => splits.map((value) => label(latest, value)),
        ...(spec.logarithmic ? { filter: decadesOnly, grid: { stroke: () => css("grid"), width: 1, filter: decadesOnly } } : {}),
        ...(spec.integer ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000] } : {}),
      },
    ],
    series: [
      { label: "time", value: (_, value) => (value === null ? "newest" : moment(value)) },
      ...spec.lines.map((line, index) => series(latest, line, index)),
    ],
    hooks: {
      draw: [(plot) => annotate(plot, latest.current)],
      setSelect: [
        (plot) => {
          const { left, width: selected } = plot.select;
          if (selected < 8) return;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onZoom(plot.posToVal(left, "x"), plot.posToVal(left + selected, "x"));
        },
      ],
    },
  };
}

/** Between two powers of ten a logarithmic axis has lines that nobody reads. */
const decadesOnly = (_: uPlot, splits: number[]): (number | null)[] => splits.map((value) => (Math.abs(Math.log10(value) % 1) < 1e-9 ? value : null));

/** Steps of an axis of time that begins at zero. */
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];

function series(latest: Latest, line: Line, index: number): uPlot.Series {
  const { stepped } = uPlot.paths;
  const filled = line.fill;
  return {
    label: line.label,
    stroke: () => colour(line.tone),
    width: line.width,
    dash: line.dash,
    spanGaps: line.spans,
    points: { show: (_, __, from, to) => line.spans && to - from < 40, size: 4 },
    ...(filled ? { fill: (plot: uPlot) => fill(plot.ctx, line.tone, filled) } : {}),
    ...(line.stepped && stepped ? { paths: stepped({ align: 1 }) } : {}),
    value: (_, __, ___, position) => {
      const current = lineAt(latest, index + 1);
      if (!current) return "";
      return latest.current.spec.format(position === null || position === undefined ? newest(current) : (current.told[position] ?? null));
    },
  };
}

const lineAt = (latest: Latest, index: number): Line | undefined => latest.current.spec.lines[index - 1];

function label(latest: Latest, value: number | null): string {
  if (value === null) return "";
  return latest.current.spec.format(value);
}

function linearRange(latest: Latest, high: number | null): [number, number] {
  const { spec } = latest.current;
  const top = Math.max(high ?? 0, spec.threshold?.value ?? 0, spec.ahead?.held ?? 0);
  // Room for the marks at the top.
  const room = spec.markers.length > 0 ? 1.28 : 1.06;
  return [0, top > 0 ? top * room : 1];
}

function logRange(latest: Latest, low: number | null, high: number | null): [number, number] {
  const threshold = latest.current.spec.threshold?.value;
  const values = [low, high, threshold].filter((value) => typeof value === "number" && value > 0) as number[];
  return values.length === 0 ? [0.01, 10] : decades(Math.min(...values), Math.max(...values));
}
