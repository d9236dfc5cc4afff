/** Numbers, durations and moments as people read them. What is not known is a dash. */

export const UNKNOWN = "–";

/** Three digits are enough to act on: `0.35`, `9.8`, `152`, `12,400`. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return value.toLocaleString("en-US");
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.01 || size === 0) return value.toFixed(2);
  return value.toPrecision(2);
}

/** `250 ms`, `1.35 s`, `43 s`, `2 min 20 s`, `15 min`, `2.5 h`, `3.2 d`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  const size = Math.abs(seconds);
  if (size < 120 && Number.isInteger(seconds)) return `${seconds} s`;
  if (size < 1) return `${Math.round(seconds * 1000)} ms`;
  if (size < 10) return `${seconds.toFixed(2)} s`;
  if (size < 120) return `${Math.round(seconds)} s`;
  if (size < 600) return minutesAndSeconds(Math.round(seconds));
  if (size < 5400) return `${Math.round(seconds / 60)} min`;
  if (size < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}

function minutesAndSeconds(seconds: number): string {
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)} min${rest === 0 ? "" : ` ${rest} s`}`;
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return UNKNOWN;
  const value = share * 100;
  return `${value >= 99.95 || value < 10 ? trimmed(value.toFixed(1)) : value >= 99 ? value.toFixed(1) : Math.round(value)} %`;
}

function trimmed(text: string): string {
  return text.replace(/\.0$/, "");
}

/** A simulation's time begins at zero; that of a live world at 1970. */
const SIMULATED_MAX_S = 366 * 86_400;

export function isSimulated(seconds: number): boolean {
  return seconds < SIMULATED_MAX_S;
}

const pad = (value: number): string => String(value).padStart(2, "0");

/** A moment: the time of day here, with the date unless it is today's; in a simulation, the time since it began. */
export function moment(seconds: number, today: number | null = null): string {
  if (isSimulated(seconds)) return elapsed(seconds);
  const at = new Date(seconds * 1000);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  const isToday = today !== null && new Date(today * 1000).toDateString() === at.toDateString();
  return isToday ? time : `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

/** `0:43`, `12:05`, `1:02:03`. */
export function elapsed(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/** `StartsUnderWay` as `starts under way`. */
export function reason(name: string): string {
  return name.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter}`).toLowerCase();
}

export function plural(count: number, word: string): string {
  return `${number(count)} ${word}${count === 1 ? "" : "s"}`;
}
