import { expect, test } from "vitest";
import { formatRoute, parseRoute, RANGE_DEFAULT, type Route } from "../src/route";

test.each<Route>([
  { view: "fleet", filter: "" },
  { view: "fleet", filter: "act chat & co" },
  { view: "lab", step: null },
  { view: "lab", step: "cold-start" },
  { view: "pool", pool: "chat", range: { kind: "last", seconds: 900 }, decision: null, whatIf: null },
  { view: "pool", pool: "a/b?c#d é", range: { kind: "fixed", from: 1.5, until: 20 }, decision: 7, whatIf: null },
  {
    view: "pool", pool: "chat", range: RANGE_DEFAULT, decision: null,
    whatIf: { lastS: 3600, profile: "llama3.1-8b-fp8-h100", tries: [{ policy: "static:4", max: "12", coldStart: "2.5" }, { standby: "none" }] },
  },
])("a link leads back to where it was made: %o", (route) => {
  expect(parseRoute(formatRoute(route))).toEqual(route);
});

test.each([
  ["", { view: "fleet", filter: "" }],
  ["#/nothing", { view: "fleet", filter: "" }],
  ["#/pool/", { view: "fleet", filter: "" }],
  ["#/lab/", { view: "lab", step: null }],
  ["#/pool/x?last=-1&decision=x", { view: "pool", pool: "x", range: RANGE_DEFAULT, decision: null, whatIf: null }],
  ["#/pool/x?from=9&until=3", { view: "pool", pool: "x", range: RANGE_DEFAULT, decision: null, whatIf: null }],
  ["#/pool/x?replay=soon&try=policy~preheat", { view: "pool", pool: "x", range: RANGE_DEFAULT, decision: null, whatIf: null }],
  ["#/pool/x?replay=60&try=shell~rm,max~9,min~", { view: "pool", pool: "x", range: RANGE_DEFAULT, decision: null, whatIf: { lastS: 60, profile: "", tries: [{ max: "9" }] } }],
  ["#/pool/%zz", { view: "pool", pool: "%zz", range: RANGE_DEFAULT, decision: null, whatIf: null }],
])("what can't be read is left at its default: %s", (hash, route) => {
  expect(parseRoute(hash)).toEqual(route);
});
