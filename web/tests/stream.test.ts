import { expect, test, vi } from "vitest";
import { backoffMs, EventParser, stream, type StreamEvent } from "../src/api/stream";

test("events come whole, however the text is cut", () => {
  const text = ": comment\n\nevent: pool\ndata: {\"a\":\ndata: 1}\n\nid: 7\r\nevent: decision\r\ndata:x\r\n\r\n";
  const expected: StreamEvent[] = [
    { event: "pool", id: null, data: "{\"a\":\n1}" },
    { event: "decision", id: "7", data: "x" },
  ];
  // A line's end is never cut in two by this server.
  for (const size of [3, 10, 1000]) {
    const parser = new EventParser();
    const parts = text.replaceAll("\r\n", "\n").match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
    expect(parts.flatMap((part) => parser.push(part))).toEqual(expected);
  }
});

test("tries come further apart, up to a limit", () => {
  expect([0, 1, 2, 10].map(backoffMs)).toEqual([500, 1000, 2000, 8000]);
});

test("it comes back by itself and tells what it knew last", async () => {
  vi.useFakeTimers();
  vi.stubGlobal("sessionStorage", { getItem: () => "a-token" });
  const asked: Record<string, string>[] = [];
  const answers = [
    () => new Response("id: 7\nevent: decision\ndata: x\n\n"),
    () => Promise.reject(new TypeError("connection refused")),
    () => Response.json({ error: "this needs the token", hint: "send it" }, { status: 401 }),
    () => new Response("event: pool\ndata: y\n\n"),
  ];
  vi.stubGlobal("fetch", (_: string, { headers }: { headers: Record<string, string> }) => {
    asked.push(headers);
    return answers[asked.length - 1]?.() ?? new Promise(() => {});
  });
  const abort = new AbortController();
  const events: string[] = [];
  const states: string[] = [];
  void stream("x", abort.signal, ({ data }) => events.push(data), (state) => states.push(state.state === "lost" ? state.error.message : "open"));
  await vi.advanceTimersByTimeAsync(20_000);
  abort.abort();
  expect(events).toEqual(["x", "y"]);
  expect(states).toEqual(["open", "preheat does not answer", "this needs the token", "open"]);
  expect(asked.map((headers) => headers["last-event-id"])).toEqual([undefined, "7", "7", "7", "7"]);
  expect(asked[0]?.["authorization"]).toBe("Bearer a-token");
  vi.useRealTimers();
});
