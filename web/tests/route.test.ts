import { expect, test } from "vitest";
import { formatRoute, parseRoute, RANGE_DEFAULT, type Route } from "../src/route";

test.each<Route>([
  { view: "fleet", filter: "" },
  { view: "fleet", filter: "act chat & co" },
  { view: "lab", step: null },
  { view: "lab", step: "cold-start" },
  { view: "pool", pool: "chat", range: { kind: "last", seconds: 900 }, decision: null },
  { view: "pool", pool: "a/b?c#d é", range: { kind: "fixed", from: 1.5, until: 20 }, decision: 7 },
])("a link leads back to where it was made: %o", (route) => {
  expect(parseRoute(formatRoute(route))).toEqual(route);
});

test.each([
  ["", { view: "fleet", filter: "" }],
  ["#/nothing", { view: "fleet", filter: "" }],
  ["#/pool/", { view: "fleet", filter: "" }],
  ["#/lab/", { view: "lab", step: null }],
  ["#/pool/x?last=-1&decision=x", { view: "pool", pool: "x", range: RANGE_DEFAULT, decision: null }],
  ["#/pool/x?from=9&until=3", { view: "pool", pool: "x", range: RANGE_DEFAULT, decision: null }],
  ["#/pool/%zz", { view: "pool", pool: "%zz", range: RANGE_DEFAULT, decision: null }],
])("what can't be read is left at its default: %s", (hash, route) => {
  expect(parseRoute(hash)).toEqual(route);
});
