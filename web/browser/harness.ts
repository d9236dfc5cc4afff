/** A recorded journal, a `preheat dashboard` that serves it, and a headless Chromium that looks. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer, type Server as Listener } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

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

/** Twenty minutes of traffic, simulated in a second or two, or played by the demo in a minute. */
const RECORDINGS = {
  simulated: (journal: string) => ["simulate", "--trace", "azure-mix", "--until", "20m", "--cold-start", "140s", "--max-num-seqs", "64", "--max-replicas", "8", "--journal", journal],
  demo: (journal: string) => ["demo", "--duration", "65s", "--json", "--state-dir", dirname(journal)],
};

/** Records traffic, serves the journal, and starts the browser. */
export async function stage(recording: keyof typeof RECORDINGS = "simulated"): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), "preheat-page-"));
  const journal = join(folder, "journal.db");
  const program = preheatProgram();
  execFileSync(program, RECORDINGS[recording](journal), { stdio: "ignore" });
  const serve: Stage["serve"] = async ({ listen = "127.0.0.1:0", token } = {}) => {
    const tokenFile = join(folder, "token");
    if (token) writeFileSync(tokenFile, token);
    const guarded = token ? ["--token-file", tokenFile] : [];
    const child = spawn(program, ["dashboard", journal, "--listen", listen, ...guarded], { stdio: ["ignore", "pipe", "inherit"] });
    const url = await firstLine(child);
    const end = (): Promise<void> => new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.kill();
    });
    return { url, end };
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

async function launch(): Promise<Browser> {
  const executablePath = browserProgram();
  if (!executablePath) throw new Error("there is no Chromium; set CHROMIUM to one");
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** `preheat lab`, and the browser. */
export async function lab(): Promise<Pick<Stage, "url" | "browser" | "stop">> {
  const child = spawn(preheatProgram(), ["lab", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await firstLine(child);
  const browser = await launch();
  const stop = async (): Promise<void> => {
    await browser.close();
    child.kill();
  };
  return { url, browser, stop };
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

/** A running pool of emulated engines whose operators may order, and the browser. */
export async function running(controlToken: string): Promise<Pick<Stage, "url" | "browser" | "stop">> {
  const folder = mkdtempSync(join(tmpdir(), "preheat-up-"));
  const token = join(folder, "control.token");
  const config = join(folder, "preheat.yaml");
  writeFileSync(token, controlToken);
  const first = await freePorts(5);
  const [gateway, admin] = [first, first + 1];
  writeFileSync(config, `
stateDir: '${join(folder, "state")}'
timeScale: 20
gateway: {listen: '127.0.0.1:${gateway}'}
admin: {listen: '127.0.0.1:${admin}', controlTokenFile: '${token}'}
pools:
- {name: chat, modelName: m, minReplicas: 0, maxReplicas: 3, coldStart: {p50: 20s, p90: 20s}, engine: {ports: ${first + 2}-${first + 4}, emulated: {}}}
`);
  const child = spawn(preheatProgram(), ["up", config], { stdio: ["ignore", "ignore", "ignore"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const url = `http://127.0.0.1:${admin}/`;
  while (!(await fetch(`${url}healthz`).then(({ ok }) => ok, () => false))) {
    if (child.exitCode !== null) throw new Error(`preheat up ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const browser = await launch();
  const stop = async (): Promise<void> => {
    await browser.close();
    child.kill();
    await ended;
    rmSync(folder, { recursive: true });
  };
  return { url, browser, stop };
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
