/** What an answer shows: rows of a table, and charts by the minute. Pure: nothing here draws. */
import type { WhatIfAnswer } from "../api/types";
import type { ChartSpec, Line, Tone, Values } from "../chart/spec";
import { number, percent } from "../format";
import { label } from "./ask";

export interface Row {
  id: string;
  name: string;
  /** Whether somebody measured it; the others are runs of the model. */
  measured: boolean;
  attainment: number | null;
  /** What it is held to. */
  slo: number | null;
  gpuHours: number;
  /** Against the pool as configured, in the model. */
  gpuHoursChange: number | null;
  peak: number;
  ttftP99: number | null;
  optimum: number | null;
}

export function rows({ happened, replayed, configured, alternatives }: WhatIfAnswer): Row[] {
  const rows: Row[] = [];
  const slo = configured.settings.slo_quantile;
  const model = { measured: false, slo: null, gpuHoursChange: null, optimum: null };
  if (happened) {
    rows.push({ ...model, id: "measured", name: "What was measured", measured: true, attainment: happened.attainment, slo, gpuHours: happened.gpu_hours, peak: happened.replicas_peak, ttftP99: null });
  }
  if (replayed) {
    rows.push({ ...model, id: "replayed", name: "The same fleet, in the model", attainment: replayed.attainment, slo, gpuHours: replayed.gpu_hours, peak: replayed.replicas_peak, ttftP99: replayed.ttft_p99_s });
  }
  const base = configured.outcome.gpu_hours;
  for (const [index, run] of [configured, ...alternatives].entries()) {
    const { outcome, settings } = run;
    rows.push({
      id: index === 0 ? "configured" : `alternative-${index}`,
      name: index === 0 ? "preheat as configured" : `${index}: ${label(settings, configured.settings)}`,
      measured: false,
      attainment: outcome.attainment,
      slo: settings.slo_quantile,
      gpuHours: outcome.gpu_hours,
      gpuHoursChange: index === 0 || base <= 0 ? null : outcome.gpu_hours / base - 1,
      peak: outcome.replicas_peak,
      ttftP99: outcome.ttft_p99_s,
      optimum: run.optimum_gpu_hours,
    });
  }
  return rows;
}

/** A line apart in colour and dash for each alternative. */
const LINES: readonly { tone: Tone; dash: number[] }[] = [
  { tone: "load", dash: [] },
  { tone: "warming", dash: [10, 4] },
  { tone: "waking", dash: [6, 2, 2, 2] },
  { tone: "draining", dash: [3, 3] },
];

function line(name: string, values: Values, tone: Tone, more: Partial<Line> = {}): Line {
  return { label: name, values, told: values, tone, width: 2, dash: [], fill: null, stepped: true, spans: false, ...more };
}

export function charts(answer: WhatIfAnswer): ChartSpec[] {
  const { configured, alternatives, minutes } = answer;
  const base = { threshold: null, logarithmic: false, integer: false, markers: [], expected: [], ahead: null, format: number };
  const others = (column: (run: typeof configured) => Values, more: Partial<Line>): Line[] =>
    alternatives.map((run, index) => {
      const { tone, dash } = LINES[index % LINES.length] ?? { tone: "load", dash: [] };
      return line(`${index + 1}: ${run.settings.policy}`, column(run), tone, { dash, ...more });
    });
  const spans = { spans: true, stepped: false };
  const specs: ChartSpec[] = [
    {
      ...base,
      title: "Replicas",
      about: "What existed at the end of each minute, starting and draining ones included",
      unit: "replicas",
      integer: true,
      lines: [
        line("what happened", minutes.replicas, "capacity", { width: 1, fill: "soft" }),
        line("as configured", configured.replicas, "held", { dash: [7, 4] }),
        ...others(({ replicas }) => replicas, {}),
      ],
    },
    {
      ...base,
      title: "Within the SLO",
      about: "Share of each minute's requests within the SLO; of what happened, of its first tokens",
      unit: "share",
      format: percent,
      threshold: { value: configured.settings.slo_quantile, label: `SLO ${percent(configured.settings.slo_quantile)}` },
      lines: [
        line("what happened", minutes.attainment, "capacity", { width: 1, fill: "soft", ...spans }),
        line("as configured", configured.attainment, "held", { dash: [7, 4], ...spans }),
        ...others(({ attainment }) => attainment, spans),
      ],
    },
  ];
  return specs.map((spec) => ({ ...spec, lines: spec.lines.filter(({ told }) => told.some((value) => value !== null)) })).filter(({ lines }) => lines.length > 0);
}
