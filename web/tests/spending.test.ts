import { expect, test } from "vitest";
import { spending } from "../src/spending";

const slo = { metric: "ttft", quantile: 0.99, threshold_s: 2 };
const known = { over: { from_s: 1000, until_s: 1000 + 6 * 3600 }, gpu_hours: 12.42, attainment: 0.996, optimum_gpu_hours: 9.5, optimum_missing: null };

test("what was spent is told beside the optimum and what was attained", () => {
  const told = spending({ spent: known, slo });
  expect(told.gpuHours).toBe("12.4");
  expect(told.beside).toBe("in 6.0 h · optimum 9.50 · 99.6 % in time");
  expect(told.about).toContain("9.50 at 99.0 %");
});

test("what is not known is said, with the reason", () => {
  expect(spending({ spent: null, slo }).gpuHours).toBe("–");
  const short = spending({ spent: { ...known, attainment: null, optimum_gpu_hours: null, optimum_missing: "the journal has less than 10 minutes of it" }, slo });
  expect(short.beside).toBe("in 6.0 h · no optimum yet");
  expect(short.about).toContain("is not known: the journal has less than 10 minutes of it.");
  const unread = spending({ spent: { ...known, over: null, gpu_hours: null, attainment: null, optimum_gpu_hours: null, optimum_missing: "the journal is locked" }, slo });
  expect([unread.gpuHours, unread.beside]).toEqual(["–", "no optimum yet"]);
});
