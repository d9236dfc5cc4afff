/** What is drawn over a chart: the SLO, scale events, starts under way, and now. */
import type uPlot from "uplot";
import type { ChartProps } from "./Chart";
import { clusters, type Marker } from "./spec";
import { css } from "./theme";

/** Closer marks, in CSS pixels, are drawn as one. */
const MARK_GAP = 16;

export function annotate(plot: uPlot, { spec, now }: ChartProps): void {
  const pen = plot.ctx;
  const ratio = devicePixelRatio || 1;
  pen.save();
  pen.beginPath();
  pen.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  pen.clip();
  pen.font = `${11 * ratio}px system-ui`;
  pen.lineWidth = ratio;
  threshold(plot, spec, ratio);
  marks(plot, spec, ratio);
  expected(plot, spec, now, ratio);
  pen.restore();
}

function upright(plot: uPlot, at: number, colour: string, dash: number[]): number {
  const x = plot.valToPos(at, "x", true);
  plot.ctx.strokeStyle = colour;
  plot.ctx.setLineDash(dash);
  plot.ctx.beginPath();
  plot.ctx.moveTo(x, plot.bbox.top);
  plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
  plot.ctx.stroke();
  return x;
}

function threshold(plot: uPlot, spec: ChartProps["spec"], ratio: number): void {
  if (!spec.threshold) return;
  const pen = plot.ctx;
  const y = plot.valToPos(spec.threshold.value, "y", true);
  pen.strokeStyle = pen.fillStyle = css("bad");
  pen.lineWidth = 1.5 * ratio;
  pen.setLineDash([10 * ratio, 4 * ratio]);
  pen.beginPath();
  pen.moveTo(plot.bbox.left, y);
  pen.lineTo(plot.bbox.left + plot.bbox.width, y);
  pen.stroke();
  pen.textAlign = "left";
  pen.fillText(spec.threshold.label, plot.bbox.left + 6 * ratio, y - 5 * ratio);
}

function marks(plot: uPlot, spec: ChartProps["spec"], ratio: number): void {
  const pen = plot.ctx;
  pen.textAlign = "center";
  for (const { x, parts } of together(plot, spec, ratio)) {
    upright(plot, plot.posToVal((x - plot.bbox.left) / ratio, "x"), css("mark"), [2 * ratio, 3 * ratio]);
    const total = (of: (marker: Marker) => number): number => parts.reduce((sum, marker) => sum + of(marker), 0);
    const [up, down, broken] = [total(({ up }) => up), total(({ down }) => down), total(({ broken }) => broken)];
    const rows = [broken ? `✕${broken}` : "", up ? `▲${up}` : "", down ? `▼${down}` : ""].filter(Boolean);
    pen.fillStyle = broken ? css("bad") : css("text");
    // One at the left edge is told in full.
    const inside = Math.max(x, plot.bbox.left + 11 * ratio);
    rows.forEach((text, row) => pen.fillText(text, inside, plot.bbox.top + (12 + 12 * row) * ratio));
  }
}

function together(plot: uPlot, spec: ChartProps["spec"], ratio: number): { x: number; parts: Marker[] }[] {
  const found = clusters(spec.markers.map(({ at }) => plot.valToPos(at, "x", true)), MARK_GAP * ratio);
  let taken = 0;
  return found.map(({ x, count }) => ({ x, parts: spec.markers.slice(taken, (taken += count)) }));
}

function expected(plot: uPlot, spec: ChartProps["spec"], now: number | null, ratio: number): void {
  const pen = plot.ctx;
  if (now !== null && spec.expected.length > 0) upright(plot, now, css("quiet"), []);
  // To the left: the last one is at the right edge.
  pen.textAlign = "right";
  pen.fillStyle = css("text");
  const place = (at: number): number => plot.valToPos(at, "x", true);
  const together = clusters(spec.expected.map(place), MARK_GAP * ratio);
  for (const { x, count } of together) {
    upright(plot, plot.posToVal((x - plot.bbox.left) / ratio, "x"), css("tone-starting"), [3 * ratio, 3 * ratio]);
    pen.fillText(`+${count}`, x - 3 * ratio, plot.bbox.top + 12 * ratio);
  }
}
