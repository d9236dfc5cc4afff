/** A recorded journal, a `preheat dashboard` that serves it, and a headless Chromium that looks. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server as Listener } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import type { Controls, Pool } from "../src/api/types";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/** The browser's program: `CHROMIUM`, or what the path has. */
export function browserProgram(): string | null {
  const folders = (process.env["PATH"] ?? "").split(":");
  const found = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((path) => existsSync(path));
  return process.env["CHROMIUM"] ?? found ?? null;
}

/** The program under test: `PREHEAT`, or what `cargo build` made last. */
export function preheatProgram(): string {
  const target = process.env["CARGO_TARGET_DIR"] ?? join(ROOT, "target");
  const built = ["debug", "release"].map((profile) => join(target, profile, "preheat")).find((path) => existsSync(path));
  const program = process.env["PREHEAT"] ?? built;
  if (!program) throw new Error("there is no preheat; build it with `cargo build -p preheat`, or set PREHEAT");
  return program;
}

export interface Stage {
  url: string;
  journal: string;
  browser: Browser;
  /** Serves the same journal at another address, or at one that was served before. */
  serve: (options?: { listen?: string; token?: string }) => Promise<Server>;
  stop: () => Promise<void>;
}

export interface Server {
  url: string;
  /** Resolves when it has ended. */
  end: () => Promise<void>;
}

/** Twenty minutes of traffic, simulated in a second or two, or played by the demo in a minute; or a week, decided every three minutes. */
const RECORDINGS = {
  simulated: (journal: string) => ["simulate", "--trace", "azure-mix", "--until", "20m", "--cold-start", "140s", "--max-num-seqs", "64", "--max-replicas", "8", "--journal", journal],
  week: (journal: string) => ["simulate", "--trace", weekOfTraffic(dirname(journal)), "--tick-interval", "3m", "--cold-start", "140s", "--max-num-seqs", "4", "--max-replicas", "8", "--journal", journal],
  demo: (journal: string) => ["demo", "--duration", "65s", "--json", "--state-dir", dirname(journal)],
};

/** Days and nights of a week, as a trace in `folder`: from one request in four minutes to one a minute. */
function weekOfTraffic(folder: string): string {
  const rows = ["arrival_s,input_tokens,output_tokens"];
  for (let at = 0; at < 7 * 86_400; ) {
    rows.push(`${at.toFixed(1)},300,60`);
    const busy = (1 - Math.cos((2 * Math.PI * at) / 86_400)) / 2;
    at += 1 / (1 / 240 + busy * (1 / 60 - 1 / 240));
  }
  const trace = join(folder, "week.csv");
  writeFileSync(trace, rows.join("\n"));
  return trace;
}

/** Records traffic, serves the journal, and starts the browser. */
export async function stage(recording: keyof typeof RECORDINGS = "simulated"): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), "preheat-page-"));
  const journal = join(folder, "journal.db");
  const program = preheatProgram();
  execFileSync(program, RECORDINGS[recording](journal), { stdio: "ignore" });
  const serve: Stage["serve"] = ({ listen = "127.0.0.1:0", token } = {}) => {
    const tokenFile = join(folder, "token");
    if (token) writeFileSync(tokenFile, token);
    return dashboard(journal, "--listen", listen, ...(token ? ["--token-file", tokenFile] : []));
  };
  const server = await serve();
  const browser = await launch();
  const stop = async (): Promise<void> => {
    await browser.close();
    await server.end();
    rmSync(folder, { recursive: true });
  };
  return { url: server.url, journal, browser, serve, stop };
}

/** `preheat dashboard` of a journal. */
async function dashboard(journal: string, ...more: string[]): Promise<Server> {
  const child = spawn(preheatProgram(), ["dashboard", journal, ...more], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await firstLine(child);
  return { url, end: () => ended(child) };
}

/** Ends a process of ours, and waits until it has. */
function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill();
  });
}

async function launch(): Promise<Browser> {
  const executablePath = browserProgram();
  if (!executablePath) throw new Error("there is no Chromium; set CHROMIUM to one");
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** `preheat lab`, and the browser. */
export async function lab(...more: string[]): Promise<Pick<Stage, "url" | "browser" | "stop">> {
  const child = spawn(preheatProgram(), ["lab", "--listen", "127.0.0.1:0", ...more], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await firstLine(child);
  const browser = await launch();
  const stop = async (): Promise<void> => {
    await browser.close();
    child.kill();
  };
  return { url, browser, stop };
}

/** A Prometheus that has scraped one engine of vLLM's for an hour: two requests a second, eight inside. */
export async function prometheus(): Promise<{ url: string; stop: () => void }> {
  const told: Record<string, (at: number) => number> = {
    "vllm:request_success_total": (at) => 2 * at,
    "vllm:prompt_tokens_total": (at) => 2 * 500 * at,
    "vllm:generation_tokens_total": (at) => 2 * 80 * at,
    "vllm:num_requests_running": () => 8,
    "vllm:num_requests_waiting": () => 0,
  };
  const server = createHttpServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on("end", () => {
      const form = new URLSearchParams(text);
      const start = Number(form.get("start"));
      const query = form.get("query") ?? "";
      // Scraped every 30 s: twenty times in ten minutes.
      const answers: [string, (at: number) => number][] = query.startsWith("max(count_over_time(") ? [["", () => 20]] : Object.entries(told);
      const result = answers.filter(([name]) => query.includes(name)).slice(0, 1).map(([name, value]) => ({
        metric: { __name__: name, instance: "r0", model_name: "m" },
        values: Array.from({ length: 121 }, (_, step) => [start + 30 * step, String(value(30 * step))]),
      }));
      response.end(JSON.stringify({ status: "success", data: { resultType: "matrix", result } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("it has no port");
  return { url: `http://127.0.0.1:${address.port}`, stop: () => server.close() };
}

/** What axe finds wrong, by rule. Canvases are described by labels. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const axe = Reflect.get(window, "axe") as { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  });
}

export const overflow = (page: Page): Promise<number> => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

function firstLine(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    server.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.split("\n")[0] ?? "");
    });
    server.on("exit", (code) => reject(new Error(`preheat ended with ${code}`)));
  });
}

export interface Watched {
  page: Page;
  /** Errors in the console, exceptions, failed requests, and requests that leave the origin. */
  troubles: string[];
  close: () => Promise<void>;
}

/** A new page that notes whatever is wrong with it. */
export async function watched({ url, browser }: Pick<Stage, "url" | "browser">, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: "UTC", locale: "en-US", ...options });
  const page = await context.newPage();
  // Reached only by a test that fails, on however busy a machine.
  page.setDefaultTimeout(120_000);
  const troubles: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") troubles.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol !== "data:" && to.origin !== new URL(url).origin) troubles.push(`leaves the origin: ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) troubles.push(`${response.status()}: ${response.url()}`);
  });
  return { page, troubles, close: () => context.close() };
}

/** What operators of a running pool show. */
export const CONTROL_TOKEN = "control-0123456789abcdef";

export interface Running extends Pick<Stage, "url" | "browser" | "stop"> {
  gateway: string;
  /** What is told of its pool. */
  pool: () => Promise<Pool>;
  /** Orders so much of its pool, and nothing else. */
  order: (controls: Partial<Controls>) => Promise<void>;
  /** Ends preheat and begins it again, with a part of its configuration replaced. */
  restart: (from: string, to: string) => Promise<void>;
  /** Ends preheat and serves its journal after the fact. */
  afterTheFact: () => Promise<Server>;
}

/** A running pool of emulated engines whose operators may order, and the browser. */
export async function running(): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), "preheat-up-"));
  const [token, config, state] = [join(folder, "control.token"), join(folder, "preheat.yaml"), join(folder, "state")];
  writeFileSync(token, CONTROL_TOKEN);
  const first = await freePorts(5);
  const [gateway, admin] = [first, first + 1];
  writeFileSync(config, `
stateDir: '${state}'
timeScale: 20
gateway: {listen: '127.0.0.1:${gateway}'}
admin: {listen: '127.0.0.1:${admin}', controlTokenFile: '${token}'}
pools:
- {name: chat, modelName: m, minReplicas: 0, maxReplicas: 3, coldStart: {p50: 20s, p90: 20s}, engine: {ports: ${first + 2}-${first + 4}, emulated: {}}}
`);
  const url = `http://127.0.0.1:${admin}/`;
  let child: ChildProcess = await up(config, url);
  const browser = await launch();
  const stop = async (): Promise<void> => {
    await browser.close();
    if (child.exitCode === null && child.signalCode === null) await ended(child);
    rmSync(folder, { recursive: true });
  };
  const path = `${url}api/v1/pools/chat`;
  const pool = async (): Promise<Pool> => (await (await fetch(path)).json()) as Pool;
  const order = async (controls: Partial<Controls>): Promise<void> => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${CONTROL_TOKEN}` };
    const { status } = await fetch(`${path}/controls`, { method: "PUT", headers, body: JSON.stringify(controls) });
    if (status !== 200) throw new Error(`the order was answered with ${status}`);
  };
  const restart = async (from: string, to: string): Promise<void> => {
    await ended(child);
    writeFileSync(config, readFileSync(config, "utf8").replace(from, to));
    child = await up(config, url);
  };
  const afterTheFact = async (): Promise<Server> => {
    await ended(child);
    return dashboard(join(state, "journal.db"), "--listen", "127.0.0.1:0");
  };
  return { url, gateway: `http://127.0.0.1:${gateway}/`, pool, order, restart, afterTheFact, browser, stop };
}

/** `preheat up`, once its admin server answers at `url`. */
async function up(config: string, url: string): Promise<ChildProcess> {
  const child = spawn(preheatProgram(), ["up", config], { stdio: ["ignore", "ignore", "ignore"] });
  while (!(await fetch(`${url}healthz`).then(({ ok }) => ok, () => false))) {
    if (child.exitCode !== null) throw new Error(`preheat up ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return child;
}

/** The first of so many neighbouring ports that nobody has now. */
async function freePorts(count: number): Promise<number> {
  const listens = (port: number): Promise<Listener | null> => new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const servers = await Promise.all(Array.from({ length: count }, (_, index) => listens(first + index)));
    await Promise.all(servers.map((server) => server && new Promise((resolve) => server.close(resolve))));
    if (servers.every((server) => server !== null)) return first;
  }
}
