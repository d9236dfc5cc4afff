import { expect, test } from "vitest";
import type { PastFigures } from "../src/api/types";
import { tellsLatency, typed } from "../src/lab/own";

const figures = (changes: Partial<PastFigures> = {}): PastFigures => ({
  pool: "chat", qps: 8.1234, quiet_qps: 1, growth_qps_per_min: 0, input_tokens: 1023.4, output_tokens: null, cold_start_s: null,
  slo_ttft_s: 2, max_num_seqs: 256, latency_s: 10, profile: null, notes: ["load: counted"], ...changes,
});

test("figures are typed with three digits, and what the past does not tell is not typed", () => {
  expect(typed(figures())).toEqual({
    qps: "8.12", quiet_qps: "1", growth_qps_per_min: "0", input_tokens: "1020", slo_ttft_s: "2", max_num_seqs: "256", latency_s: "10",
  });
});

test("a latency says what a replica can do only with the slots that it was measured in", () => {
  expect(tellsLatency(figures())).toBe(true);
  expect(tellsLatency(figures({ max_num_seqs: null }))).toBe(false);
  expect(tellsLatency(figures({ latency_s: null }))).toBe(false);
  // Somebody chose a profile.
  expect(tellsLatency(figures({ profile: "qwen-27b-fp8-h100" }))).toBe(false);
});
