import { expect, test } from "vitest";
import type { Reconfiguration } from "../src/api/types";
import { changeLines } from "../src/reconfigured";

const change = (at_s: number, more: Partial<Reconfiguration>): Reconfiguration => ({ at_s, settings: [], announced: [], withdrawn: [], ...more });

test("each setting, order and announcement is a line, the newest first", () => {
  const demand = { replicas: 6, from_s: 3600, until_s: 7200 };
  const lines = changeLines([
    change(60, { settings: [{ setting: "maxReplicas", before: "8", after: "12" }, { setting: "slo.tpot", before: null, after: "50ms" }] }),
    change(120, { settings: [{ setting: "pinned", before: null, after: "4" }], announced: [demand] }),
    change(180, { withdrawn: [demand] }),
  ]);
  expect(lines.map(({ atS, what, before, after }) => [atS, what, before, after])).toEqual([
    [180, "announced", "6 replicas from 1:00:00 until 2:00:00", "taken back"],
    [120, "replicas pinned by an operator", "–", "4"],
    [120, "announced", "–", "6 replicas from 1:00:00 until 2:00:00"],
    [60, "maxReplicas", "8", "12"],
    [60, "slo.tpot", "–", "50ms"],
  ]);
});

test("what was not told is not there", () => {
  expect(changeLines([])).toEqual([]);
});
