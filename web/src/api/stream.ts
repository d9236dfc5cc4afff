/**
 * Server-sent events over `fetch`: unlike the browser's own `EventSource`, it can show a token and
 * says why it was refused. Comes back by itself, and tells which event it knew last.
 */
import { ApiError, headers, refusal } from "./client";

export interface StreamEvent {
  event: string;
  id: string | null;
  data: string;
}

/** Takes text as it comes and gives whole events. */
export class EventParser {
  private rest = "";

  push(text: string): StreamEvent[] {
    const blocks = (this.rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(parseBlock).filter((event) => event !== null);
  }
}

function parseBlock(block: string): StreamEvent | null {
  const event: StreamEvent = { event: "message", id: null, data: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    // A line that begins with one is a comment, which keeps the connection alive.
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "event") event.event = value;
    else if (field === "id") event.id = value;
    else if (field === "data") data.push(value);
  }
  event.data = data.join("\n");
  return data.length > 0 ? event : null;
}

/** Wall time before the n-th try in a row: soon at first, then every few seconds. */
export function backoffMs(failures: number): number {
  return Math.min(500 * 2 ** failures, 8000);
}

export type Connection = { state: "open" } | { state: "lost"; error: ApiError };

/** Reads `path` until `signal` is aborted. */
export async function stream(
  path: string,
  signal: AbortSignal,
  onEvent: (event: StreamEvent) => void,
  onConnection: (connection: Connection) => void,
): Promise<void> {
  let lastId: string | null = null;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const known: Record<string, string> = lastId === null ? {} : { "last-event-id": lastId };
      const response = await fetch(path, { headers: { ...headers(), ...known }, cache: "no-store", signal });
      if (!response.ok) throw await refusal(response);
      onConnection({ state: "open" });
      failures = 0;
      await read(response, (event) => {
        if (event.id !== null) lastId = event.id;
        onEvent(event);
      });
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      const known = error instanceof ApiError ? error : new ApiError(0, "preheat does not answer", null);
      onConnection({ state: "lost", error: known });
    }
    await pause(backoffMs(failures), signal);
  }
}

async function read(response: Response, onEvent: (event: StreamEvent) => void): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parser.push(value).forEach(onEvent);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
