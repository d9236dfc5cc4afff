/** What is drawn over a chart: the SLO, scale events, what is held ahead, starts under way, and now. */
import type uPlot from "uplot";
import type { ChartProps } from "./Chart";
import { elapsed } from "../format";
import { type Ahead, clusters, type Marker } from "./spec";
import { css, fill } from "./theme";

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
  if (spec.ahead) held(plot, spec.ahead, ratio);
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
    const [silent, changed] = [total(({ silent }) => silent), total(({ changed }) => changed)];
    const rows = [silent ? "◌" : "", broken ? `✕${broken}` : "", changed ? `◆${changed}` : "", up ? `▲${up}` : "", down ? `▼${down}` : ""].filter(Boolean);
    pen.fillStyle = broken || silent ? css("bad") : css("text");
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

/** A band from the load to what is held for it, as far as the horizon, which it names where that fits. */
function held(plot: uPlot, { from, until, load, held }: Ahead, ratio: number): void {
  const pen = plot.ctx;
  const [left, right] = [plot.valToPos(from, "x", true), plot.valToPos(until, "x", true)];
  const [floor, top] = [plot.valToPos(load, "y", true), plot.valToPos(held, "y", true)];
  pen.fillStyle = fill(pen, "held", "rising");
  pen.fillRect(left, Math.min(top, floor), right - left, Math.abs(floor - top));
  pen.lineWidth = 1.5 * ratio;
  for (const [y, tone, dash] of [[top, "tone-held", [7, 4]], [floor, "tone-load", [2, 3]]] as const) {
    pen.strokeStyle = css(tone);
    pen.setLineDash(dash.map((length) => length * ratio));
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
  }
  pen.lineWidth = ratio;
  upright(plot, from, css("quiet"), []);
  upright(plot, until, css("tone-held"), [6 * ratio, 3 * ratio]);
  const edge = Math.min(right, plot.bbox.left + plot.bbox.width);
  const bottom = plot.bbox.top + plot.bbox.height;
  // The axis may end before the horizon.
  const lines = ["held", `+${elapsed(until - from)}${right > edge + 1 ? " →" : ""}`];
  const width = Math.max(...lines.map((text) => pen.measureText(text).width)) + 6 * ratio;
  if (width > edge - left) return;
  // On a ground of its own: the texture would cut the letters up.
  pen.fillStyle = css("surface");
  pen.fillRect(edge - width - ratio, bottom - 30 * ratio, width, 29 * ratio);
  pen.textAlign = "right";
  pen.fillStyle = css("text");
  lines.forEach((text, row) => pen.fillText(text, edge - 4 * ratio, bottom - (18 - 13 * row) * ratio));
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
