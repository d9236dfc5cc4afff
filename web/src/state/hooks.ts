/** What views are drawn from: the route, streams, and the moment in model time. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, ApiError, poolPath } from "../api/client";
import { type Connection, stream } from "../api/stream";
import type { DecisionSummary, Fleet, History, ModelClock, Pool } from "../api/types";
import { formatRoute, parseRoute, type Route } from "../route";

/** The route, and how to go somewhere else. */
export function useRoute(): [Route, (to: Route, replace?: boolean) => void] {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const follow = (): void => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const go = (to: Route, replace = false): void => {
    const hash = formatRoute(to);
    if (replace) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    setRoute(to);
  };
  return [route, go];
}

/** Whether anybody looks; a page in the background asks for nothing. */
function useVisible(): boolean {
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const follow = (): void => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", follow);
    return () => document.removeEventListener("visibilitychange", follow);
  }, []);
  return visible;
}

/** As narrow as a phone held upright. */
const NARROW = "(max-width: 600px)";

/** Whether there is little room beside each other. */
export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const media = matchMedia(NARROW);
    const follow = (): void => setNarrow(media.matches);
    media.addEventListener("change", follow);
    return () => media.removeEventListener("change", follow);
  }, []);
  return narrow;
}

export interface Streamed<T> {
  value: T | null;
  connection: Connection | null;
}

/** The newest of what a stream tells; `attempt` opens it anew. */
function useStream<T>(path: string, name: string, attempt: number, onOther?: (event: string, data: string) => void): Streamed<T> {
  const [value, setValue] = useState<T | null>(null);
  const [connection, setConnection] = useState<Connection | null>(null);
  const visible = useVisible();
  const other = useRef(onOther);
  other.current = onOther;
  useEffect(() => setValue(null), [path]);
  useEffect(() => {
    if (!visible) return undefined;
    const abort = new AbortController();
    const take = ({ event, data }: { event: string; data: string }): void => {
      if (event === name) setValue(JSON.parse(data) as T);
      else other.current?.(event, data);
    };
    void stream(path, abort.signal, take, setConnection);
    return () => abort.abort();
  }, [path, name, visible, attempt]);
  return { value, connection };
}

export function useFleet(attempt: number): Streamed<Fleet> {
  return useStream("api/v1/events", "fleet", attempt);
}

export interface PoolStream extends Streamed<Pool> {
  /** Decisions that were told since the page was opened, newest first. */
  decided: DecisionSummary[];
  /** Changes when the log must be read anew. */
  epoch: number;
}

export function usePool(pool: string, attempt: number): PoolStream {
  const [decided, setDecided] = useState<DecisionSummary[]>([]);
  const [epoch, setEpoch] = useState(0);
  useEffect(() => setDecided([]), [pool, epoch]);
  const streamed = useStream<Pool>(`${poolPath(pool)}/events`, "pool", attempt, (event, data) => {
    if (event === "decision") {
      const decision = JSON.parse(data) as DecisionSummary;
      setDecided((known) => (known.some(({ seq }) => seq === decision.seq) ? known : [decision, ...known]));
    } else {
      // `caught-up` of a new stream and `reset`: something may have happened in between.
      setEpoch((known) => known + 1);
    }
  });
  return { ...streamed, decided, epoch };
}

/** The moment in model time, which goes on between two events of a live preheat. */
export function useNow(clock: ModelClock | null, live: boolean): number | null {
  const [, tick] = useState(0);
  const received = useMemo(() => performance.now(), [clock]);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [live]);
  if (!clock) return null;
  return live ? clock.now_s + ((performance.now() - received) / 1000) * clock.scale : clock.now_s;
}

export interface HistoryState {
  history: History | null;
  error: ApiError | null;
  loading: boolean;
}

/** Most requests for one range: each reads back as far as it may. */
const REQUESTS_MAX = 60;

/** A pool's history between two moments; `refresh` reads it anew. */
export function useHistory(pool: string, from: number | null, until: number | null, points: number, refresh: number): HistoryState {
  const [state, setState] = useState<HistoryState>({ history: null, error: null, loading: true });
  useEffect(() => setState({ history: null, error: null, loading: true }), [pool]);
  useEffect(() => {
    if (from === null || until === null || until <= from) return undefined;
    const abort = new AbortController();
    void (async () => {
      let reached = Number.POSITIVE_INFINITY;
      for (let request = 0; request < REQUESTS_MAX; request += 1) {
        try {
          const history = await api.history(pool, from, until, points, abort.signal);
          const isWhole = history.complete_from_s <= history.from_s || history.complete_from_s >= reached;
          setState({ history, error: null, loading: !isWhole });
          if (isWhole) return;
          reached = history.complete_from_s;
        } catch (error) {
          if (abort.signal.aborted) return;
          const known = error instanceof ApiError ? error : new ApiError(0, String(error), null);
          setState(({ history }) => ({ history, error: known, loading: false }));
          return;
        }
      }
    })();
    return () => abort.abort();
  }, [pool, from, until, points, refresh]);
  return state;
}
