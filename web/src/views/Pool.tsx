/** One pool: what it does, did, and why. */
import { useEffect, useMemo } from "preact/hooks";
import type { History, Pool, PoolSummary } from "../api/types";
import { attention, sloRatio, ttftOfSlo, waiting } from "../attention";
import { Chart } from "../chart/Chart";
import { ahead, charts, domain, replicaHours } from "../chart/spec";
import { duration, moment, number, percent, reason } from "../format";
import { isTyping } from "../keys";
import { type Range, RANGES, type Route } from "../route";
import { spending } from "../spending";
import { useHistory, useNow, usePool } from "../state/hooks";
import { ColdStart } from "./ColdStart";
import { ControlsPanel } from "./Controls";
import { Decisions } from "./Decisions";
import { ConnectionState, Figure, LevelSign, Problem, ReplicaBoxes } from "./parts";
import { Reconfigured } from "./Reconfigured";
import { Replicas } from "./Replicas";
import { WhatIfPanel } from "./WhatIf";

type PoolRoute = Extract<Route, { view: "pool" }>;

interface Props {
  route: PoolRoute;
  attempt: number;
  go: (to: Route, replace?: boolean) => void;
  onToken: (token: string) => void;
}

/** Steps of a chart: about one for two pixels of a wide screen. */
const POINTS = 600;
const HEIGHTS: Record<string, number> = { "Load and slots": 240, Replicas: 220 };
const HEIGHT = 160;

export function PoolView({ route, attempt, go, onToken }: Props) {
  const { value: pool, connection, decided, epoch } = usePool(route.pool, attempt);
  const live = pool?.live ?? false;
  const now = useNow(pool?.clock ?? null, live);
  const show = (range: Range): void => go({ ...route, range });
  const [from, until] = bounds(route.range, pool, now);
  useRangeKeys(route.range, from, until, show);

  return (
    <>
      <header>
        <h1><a class="brand" href="#/">preheat</a> <span aria-hidden="true">/</span> {route.pool}</h1>
        <ConnectionState connection={connection} live={pool?.live ?? true} scale={pool?.clock.scale ?? 1} />
        {now !== null && <time class="now">{moment(now)}</time>}
      </header>
      <main>
        {connection?.state === "lost" && <Problem error={connection.error} onToken={onToken} />}
        {pool && <State summary={pool.summary} now={live && connection?.state === "open" ? now : null} />}
        {pool && <Announced pool={pool} />}
        {pool && <ControlsPanel pool={pool} />}
        {pool && <Figures pool={pool} />}
        <Ranges range={route.range} from={from} until={until} show={show} />
        {pool && <Charts pool={pool} range={route.range} from={from} until={until} now={now} show={show} />}
        {pool && pool.recorded && <WhatIfPanel pool={route.pool} asked={route.whatIf} onAsk={(whatIf) => go({ ...route, whatIf }, true)} onZoom={(a, b) => show({ kind: "fixed", from: Math.floor(a), until: Math.ceil(b) })} />}
        {pool && <ColdStart pool={pool} />}
        {pool && <Replicas pool={pool} />}
        <Decisions pool={route.pool} decided={decided} epoch={epoch} now={now} open={route.decision} onOpen={(decision) => go({ ...route, decision }, true)} />
      </main>
    </>
  );
}

/** From and until in model time. The last so-long of a journal ends with it, and nothing begins before it. */
export function bounds(range: Range, pool: Pool | null, now: number | null): [number | null, number | null] {
  if (range.kind === "fixed") return [range.from, range.until];
  if (!pool || now === null) return [null, null];
  // In steps of a second of wall time, so that not every drawing asks anew.
  const step = Math.max(1, Math.round(pool.clock.scale));
  const until = pool.live ? Math.ceil(now / step) * step : Math.ceil(pool.recorded?.until_s ?? now) + 1;
  return [Math.max(until - range.seconds, Math.floor(pool.recorded?.from_s ?? 0)), until];
}

function useRangeKeys(range: Range, from: number | null, until: number | null, show: (range: Range) => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (isTyping(event.target) || event.metaKey || event.ctrlKey || event.altKey) return;
      const preset = RANGES[Number(event.key) - 1];
      if (preset) show({ kind: "last", seconds: preset.seconds });
      else if (event.key === "l" && range.kind === "fixed") show({ kind: "last", seconds: Math.round(range.until - range.from) });
      else if ((event.key === "[" || event.key === "]") && from !== null && until !== null) {
        const shift = ((until - from) / 2) * (event.key === "[" ? -1 : 1);
        show({ kind: "fixed", from: Math.max(0, Math.round(from + shift)), until: Math.round(until + shift) });
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}

function State({ summary, now }: { summary: PoolSummary; now: number | null }) {
  const { level, notes } = attention(summary, now);
  return (
    <section class={`verdict verdict-${level}`} aria-label="State">
      <p><LevelSign level={level} /> {notes.length > 0 && <b>{notes.join(" · ")}</b>}</p>
      <p class="why">{summary.headline ?? "Nothing has been decided yet."} {summary.reason && <span class="tag">{reason(summary.reason)}</span>}</p>
    </section>
  );
}

/** Demand that somebody announced, soonest first. */
function Announced({ pool }: { pool: Pool }) {
  const { scheduled, clock } = pool;
  if (scheduled.length === 0) return null;
  const shown = scheduled.slice(0, 3).map(({ name, replicas, from_s, until_s }) => {
    const begins = from_s <= clock.now_s ? "since" : "from";
    return `${name}: ${number(replicas)} ${begins} ${moment(from_s, clock.now_s)} until ${moment(until_s, from_s)}`;
  });
  const more = scheduled.length - shown.length;
  return <p class="sums"><b>Announced</b> {shown.join("; ")}{more > 0 && ` and ${number(more)} more`}</p>;
}

function Figures({ pool: { summary } }: { pool: Pool }) {
  const { decision, slo } = summary;
  const ratio = sloRatio(summary);
  const ready = decision ? summary.ready * decision.concurrency_cap : null;
  const spent = spending(summary);
  return (
    <dl class="figures">
      <Figure name="Ready / desired" note={`from ${number(summary.replicas_min)} to ${number(summary.replicas_max)}`}>
        <ReplicaBoxes pool={summary} />
      </Figure>
      <Figure name={slo ? `TTFT p${number(slo.quantile * 100)}` : "TTFT p99"} bad={ratio !== null && ratio > 1} note={slo ? `SLO ${duration(slo.threshold_s)}` : undefined}>
        {duration(ttftOfSlo(summary))}
      </Figure>
      <Figure name="Waiting" bad={waiting(summary) > 0} note={`${number(summary.queue_depth)} in engines, ${number(summary.held)} held`}>
        {number(waiting(summary))}
      </Figure>
      <Figure name="Arrivals" note={decision ? `each holds a slot of a full replica for ${duration(decision.service_time_s)}` : undefined}>
        {decision ? `${number(decision.arrival_rate)}/s` : number(null)}
      </Figure>
      <Figure name="Offered load" note={decision ? `${number(decision.slots_held)} slots held, ${number(ready)} ready` : undefined}>
        {number(decision?.offered_load)}
      </Figure>
      <Figure name="Lead time" note={decision ? `a start takes ${duration(decision.cold_start_p50_s)}` : undefined}>
        {duration(decision?.lead_time_s)}
      </Figure>
      <Figure name="GPU-hours" note={<span title={spent.about}>{spent.beside}</span>}>
        {spent.gpuHours}
      </Figure>
      <Figure name="Expected in time" note="by the rule that is followed, on its own traffic">{percent(decision?.attainment_expected)}</Figure>
    </dl>
  );
}

function Ranges({ range, from, until, show }: { range: Range; from: number | null; until: number | null; show: (range: Range) => void }) {
  return (
    <nav class="ranges" aria-label="Range of time">
      {RANGES.map(({ label, seconds }, index) => (
        <button key={label} type="button" title={`Key ${index + 1}`} aria-pressed={range.kind === "last" && range.seconds === seconds} onClick={() => show({ kind: "last", seconds })}>
          {label}
        </button>
      ))}
      {range.kind === "fixed" && <button type="button" onClick={() => show({ kind: "last", seconds: Math.round(range.until - range.from) })}>to the newest</button>}
      {from !== null && until !== null && <span class="quiet">{moment(from)} – {moment(until, from)}</span>}
    </nav>
  );
}

function Charts({ pool, range, from, until, now, show }: { pool: Pool; range: Range; from: number | null; until: number | null; now: number | null; show: (range: Range) => void }) {
  // Live, the range moves on by itself, about as often as a step of the chart is wide.
  const stepS = from === null || until === null ? 1 : Math.max((until - from) / POINTS, 1.5 * pool.clock.scale);
  const moved = until === null ? null : Math.floor(until / stepS);
  const [shownFrom, shownUntil] = useMemo(() => [from, until], [moved, range, from === null]);
  const { history, error, loading } = useHistory(pool.summary.pool, shownFrom, shownUntil, POINTS, 0);
  const lastTick = pool.summary.last_tick_s;
  const expected = useMemo(() => (lastTick === null || range.kind === "fixed" ? [] : pool.starts_ready_in_s.map((inS) => lastTick + inS)), [pool, range]);
  const next = useMemo(() => (range.kind === "fixed" ? null : ahead(pool.summary)), [pool, range]);
  const built = useMemo(() => history && charts(history, { sloThreshold: pool.summary.slo?.threshold_s ?? null, expected, ahead: next }), [history, expected, next, pool.summary.slo?.threshold_s]);
  if (error && !history) return <Problem error={error} />;
  if (!history || !built) return <p class="note" role="status">Reading the journal …</p>;
  if (built.charts.length === 0) return <p class="note">{loading ? "Reading the journal …" : "The journal has nothing of this time."}</p>;
  const span = domain(history.from_s, Math.min(history.until_s, shownUntil ?? history.until_s), expected, next?.until ?? null);
  const hours = replicaHours(history);
  // Until what was asked for is there, the charts show what was asked for before.
  const isOther = !error && shownFrom !== null && shownUntil !== null && isFar(history, shownFrom, shownUntil);
  const zoom = (a: number, b: number): void => show({ kind: "fixed", from: Math.floor(a), until: Math.ceil(b) });
  return (
    <section aria-label="Charts">
      <p class="sums">
        <b>{number(hours.hours)} replica-hours</b>, {percent(hours.readyShare)} of them ready
        {isOther && <span role="status"> · reading another time</span>}
        {!isOther && loading && history.complete_from_s > history.from_s && <span role="status"> · reading back, now at {moment(history.complete_from_s)}</span>}
        {error && <span class="level level-2"> · {error.message}</span>}
      </p>
      <Reconfigured history={history} now={now} onZoom={zoom} />
      <div class="charts">
        {built.charts.map((spec) => <Chart key={spec.title} spec={spec} at={built.at} domain={span} now={now} height={HEIGHTS[spec.title] ?? HEIGHT} onZoom={zoom} />)}
      </div>
    </section>
  );
}

/** Whether a history is of another time: not just moved on by some steps, or widened to whole ones. */
function isFar({ from_s, until_s }: History, from: number, until: number): boolean {
  return Math.max(Math.abs(from_s - from), Math.abs(until_s - until)) > (until - from) / 10;
}
