/** Colours and textures of charts, from the page's own. Textures tell areas apart without colour. */
import type { Texture, Tone } from "./spec";

export function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export const colour = (tone: Tone): string => css(`tone-${tone}`);

const SIZE = 8;

/** What fills an area: opaque, so that a stack can be painted from the top down. */
export function fill(context: CanvasRenderingContext2D, tone: Tone, texture: Texture): CanvasPattern | string {
  const base = css("surface");
  const ink = colour(tone);
  const tile = document.createElement("canvas");
  const scale = window.devicePixelRatio || 1;
  tile.width = tile.height = SIZE * scale;
  const pen = tile.getContext("2d");
  if (!pen) return ink;
  pen.scale(scale, scale);
  pen.fillStyle = base;
  pen.fillRect(0, 0, SIZE, SIZE);
  pen.globalAlpha = texture === "solid" ? 0.55 : 0.16;
  pen.fillStyle = ink;
  pen.fillRect(0, 0, SIZE, SIZE);
  pen.globalAlpha = 0.75;
  pen.strokeStyle = ink;
  pen.lineWidth = 1.5;
  pen.beginPath();
  if (texture === "rising" || texture === "cross") diagonal(pen, 1);
  if (texture === "falling" || texture === "cross") diagonal(pen, -1);
  pen.stroke();
  if (texture === "dots") {
    pen.beginPath();
    pen.arc(SIZE / 2, SIZE / 2, 1.4, 0, 2 * Math.PI);
    pen.fill();
  }
  return context.createPattern(tile, "repeat") ?? ink;
}

/** A line through the tile and its two neighbours, so that tiles join. */
function diagonal(pen: CanvasRenderingContext2D, direction: 1 | -1): void {
  for (const shift of [-SIZE, 0, SIZE]) {
    const [from, to] = direction === 1 ? [SIZE, 0] : [0, SIZE];
    pen.moveTo(shift, from);
    pen.lineTo(shift + SIZE, to);
  }
}
