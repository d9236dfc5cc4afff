import { expect, test } from "vitest";
import { ownFigures } from "../src/lab/own";
import { series, summary } from "./fixtures";

const history = (rates: (number | null)[]) => ({ series: series(rates.map(() => 1), { arrival_rate: rates }), width_s: 60 });

test("a pool's own figures are its busiest minute, its quiet, its largest rise, and what its last decision knew", () => {
  const rates = [1, 1.1, 1.2, 1, 2, 8.123, 8, 7, null, 6, 5];
  expect(ownFigures(summary(), history(rates))).toEqual({
    qps: "8.12", quiet_qps: "1", growth_qps_per_min: "6.12", cold_start_s: "140", slo_ttft_s: "2", max_num_seqs: "64", latency_s: "10",
  });
  // Steps of two minutes rise half as fast.
  expect(ownFigures(summary(), { ...history(rates), width_s: 120 })["growth_qps_per_min"]).toBe("3.06");
  expect(ownFigures(summary({ slo: null }), history(rates))).not.toHaveProperty("slo_ttft_s");
});

test("of a pool to which nothing came there is nothing to take", () => {
  expect(ownFigures(summary(), history([0, null, 0]))).toEqual({});
  expect(ownFigures(summary({ decision: null }), history([1]))).toEqual({});
});
