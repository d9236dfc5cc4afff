/** Labels of an axis of time. */
import { elapsed, isSimulated } from "../format";

const pad = (value: number): string => String(value).padStart(2, "0");

/** Times of day here, with the date where one begins; in a simulation, the time since it began. */
export function timeLabels(splits: readonly number[], stepS: number): string[] {
  return splits.map((second) => {
    if (isSimulated(second)) return elapsed(second);
    const at = new Date(second * 1000);
    const [hours, minutes, seconds] = [at.getHours(), at.getMinutes(), at.getSeconds()];
    if (stepS >= 86_400 || (hours === 0 && minutes === 0 && seconds === 0)) {
      return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    }
    return stepS < 60 ? `${pad(hours)}:${pad(minutes)}:${pad(seconds)}` : `${pad(hours)}:${pad(minutes)}`;
  });
}
