import { expect, test } from "vitest";
import type { Dials } from "../src/api/types";
import { asInFile, dialValue } from "../src/lab/dials";

const dials: Dials = {
  title: "Drag", about: "", key: "coldStart", before: "{perNode: {", after: "}}",
  dials: [
    { label: "Image", stops: [{ label: "to pull", value: "imageBytes: 9" }, { label: "on the node", value: "" }] },
    { label: "Weights", stops: [{ label: "far", value: "weights: remote-store" }, { label: "near", value: "weights: local-nvme" }] },
  ],
  instead: { label: "Sleep mode", value: "{fixed: 5s}" },
};

test("sliders write one line together, and one that writes nothing leaves no trace", () => {
  expect(dialValue(dials, asInFile(dials))).toBe("{perNode: {imageBytes: 9, weights: remote-store}}");
  const dragged = { stops: [1, 1], isInstead: false };
  expect(dialValue(dials, dragged)).toBe("{perNode: {weights: local-nvme}}");
});

test("the switch stands for all of them", () => {
  const asleep = { stops: [1, 0], isInstead: true };
  expect(dialValue(dials, asleep)).toBe("{fixed: 5s}");
});
