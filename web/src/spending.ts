/** What a pool's last day cost beside the optimum, in words. Pure: nothing here draws. */
import type { PoolSummary } from "./api/types";
import { duration, number, percent, UNKNOWN } from "./format";

export interface Spending {
  gpuHours: string;
  /** The optimum beside it, and what was attained. */
  beside: string;
  /** The whole of it in a sentence or two. */
  about: string;
}

export function spending({ spent, slo }: Pick<PoolSummary, "spent" | "slo">): Spending {
  if (!spent) return { gpuHours: UNKNOWN, beside: "", about: "Not worked out yet: it is when somebody looks, and needs a journal." };
  const { over, gpu_hours, attainment, optimum_gpu_hours, optimum_missing } = spent;
  const gpuHours = number(gpu_hours);
  const length = over ? duration(Math.round(over.until_s - over.from_s)) : "";
  const beside = [
    length && `in ${length}`,
    optimum_gpu_hours !== null ? `optimum ${number(optimum_gpu_hours)}` : "no optimum yet",
    attainment !== null && `${percent(attainment)} in time`,
  ].filter(Boolean).join(" · ");
  const kept = attainment === null ? "How many first tokens were in time is not known." : `${percent(attainment)} of the first tokens were within the SLO.`;
  const optimum = optimum_gpu_hours !== null
    ? `An autoscaler that knew the future would have spent ${number(optimum_gpu_hours)} at ${percent(slo?.quantile)}, in a model of the slots.`
    : `What an autoscaler that knew the future would have spent is not known: ${optimum_missing ?? ""}.`;
  return { gpuHours, beside, about: `${gpuHours} GPU-hours in the last ${length || "day"}. ${kept} ${optimum}` };
}
