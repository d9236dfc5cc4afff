// Made from docs/reference/openapi.json by scripts/types.mjs.

/** What to change. */
export type Advice = {
  action: "raise_max_num_seqs";
  /** To this. */
  max_num_seqs: number;
  /** Then so many would do. */
  replicas: number;
  /** Then a token takes so long with every slot taken. */
  tpot_s: number;
} | {
  action: "lower_max_num_seqs";
  /** To this. */
  max_num_seqs: number;
};

/** Something else than what is configured. What is absent is as configured. */
export type Alternative = {
  /** Time from order to ready, of every start; the median of those seen unless given. */
  cold_start_s: number | null;
  /** Values for some of its knobs; its project's defaults for the others. */
  knobs: Record<string, number>;
  /** Whether replicas don't sleep, whatever is configured. */
  no_standby: boolean;
  /** Who scales, by its name in `preheat simulate`: `preheat` unless given. */
  policy: string | null;
  /** Most replicas. */
  replicas_max: number | null;
  /** Fewest replicas. */
  replicas_min: number | null;
  /** Share of requests that should be within it. */
  slo_quantile: number | null;
  /** SLO on TTFT. */
  slo_ttft_s: number | null;
  /** What a sleeping replica costs, as a share of one that is awake. */
  standby_price: number | null;
};

/** At least so many replicas should be ready for a while. */
export type Announced = {
  /** From when. */
  from_s: number;
  /** How many, within the pool's bounds. */
  replicas: number;
  /** Until when, at most seven days ahead. */
  until_s: number;
};

/** How a question's answer is found. */
export type Answer = {
  by: "figure";
  /** Which figure. */
  figure: FigureKind;
  /** Which run. */
  run: string;
} | {
  /** In percent. */
  attainment_percent_min: number;
  by: "cheapest";
} | {
  by: "formula";
  /** What it comes to. */
  value: number;
};

/** Everything that was asked and found. */
export type Answered = {
  /** What to change. */
  advice: Advice | null;
  /** Halfin and Whitt's β. */
  beta: number;
  /** Which cap binds. */
  bound_by: BoundBy;
  /** Slots of a replica that are of use. */
  concurrency: number;
  /** How uneven the traffic is. */
  dispersion: number;
  /** What only a profile says. */
  engine: Engine | null;
  /** Slots beside those that the load keeps busy. */
  headroom_slots: number;
  /** Requests in flight if none waits. */
  offered_load: number;
  /** What to configure. */
  plan: Plan | null;
  /** Requests per second. */
  qps: number;
  /** What a replica serves with every slot taken. */
  replica_qps: number;
  /** Time in a slot with all of them busy. */
  service_time_s: number;
  /** SLO on TTFT. */
  slo_ttft_s: number;
  /** What the SLO on TTFT leaves for waiting. */
  wait_max_s: number;
  /** Target. */
  wait_probability: number;
  /** As many as keep the target. */
  with_headroom: Staffed;
  /** As many as the load alone needs. */
  without_headroom: Staffed;
};

/** Which cap binds. */
export type BoundBy = "max_num_seqs" | "kv_memory" | "slo_tpot";

/** A question to answer from memory. */
export type Card = {
  /** The answer. */
  back: string;
  /** The question. */
  front: string;
};

/** A line in place of the file's. */
export type Change = {
  /** The key at the begin of the line. */
  key: string;
  /** What stands after it. */
  value: string;
};

/** A setting that is another one. */
export type ChangedSetting = {
  /** What it is; absent where it is not set any more. */
  after: string | null;
  /** What it was; absent where it was not set. */
  before: string | null;
  /** Its key, or the order: `paused`, `pinned`. */
  setting: string;
};

/** What operators have ordered of a pool for a while, whatever the policy would do. It is read and written whole. */
export type Controls = {
  /** Demand that is known to come. */
  announced: Announced[];
  /** Nothing is started, woken or given up; what drains goes on to its end. */
  paused: boolean;
  /** A count that stands whatever is needed. */
  pinned: Pinned | null;
};

/** One decision with everything that led to it. */
export type Decision = {
  /** The way there in words, one sentence each, as `preheat why` tells it. */
  details: string[];
  /** Every number on the way there, as in the journal; `null` when it broke an invariant. */
  explanation: unknown;
  /** What was to be done, as in the journal. */
  plan: unknown;
  /** In a line. */
  summary: DecisionSummary;
  /** The invariant that it broke, if it did. */
  violation: ViolationRecord | null;
};

/** How often one kind of decision was made. */
export type DecisionCount = {
  /** How often. */
  count: number;
  /** What it did to the number of replicas. */
  direction: Direction;
  /** Why. */
  reason: string;
};

/** Decisions, newest first. */
export type DecisionLog = {
  /** Newest first. */
  decisions: DecisionSummary[];
  /** Pass this as `before` for those that came earlier; absent when there are none. */
  next_before: number | null;
  /** Which pool. */
  pool: string;
};

/** The numbers behind the last decision. */
export type DecisionNumbers = {
  /** Requests per second. */
  arrival_rate: number;
  /** Share of requests that this rule would have kept inside the SLO on the pool's own traffic. */
  attainment_expected: number;
  /** Requests queued in engines or held at the gateway. */
  backlog: number;
  /** Median cold start. */
  cold_start_p50_s: number;
  /** 90th percentile of it. */
  cold_start_p90_s: number;
  /** Cold starts that were seen to end. */
  cold_starts_seen: number;
  /** Slots per replica. */
  concurrency_cap: number;
  /** How far ahead a start must be decided. */
  lead_time_s: number;
  /** Erlangs. */
  offered_load: number;
  /** Time in a batch slot. */
  service_time_s: number;
  /** Slots that the rule which is followed holds. */
  slots_held: number;
  /** Replicas before limits. */
  target: number;
  /** The largest target that the stabilization window remembers. */
  target_stabilized: number;
  /** In flight ÷ slots, where known. */
  utilization: number | null;
};

/** One decision in a line. */
export type DecisionSummary = {
  /** When. */
  at_s: number;
  /** Replicas that should be ready or on their way, after it. */
  desired: number;
  /** What it did to the number of replicas. */
  direction: Direction;
  /** What was done and why, in words. */
  headline: string;
  /** Ready when it was made. */
  ready: number;
  /** Why; absent when the decision broke an invariant. */
  reason: string | null;
  /** Its number in the journal. */
  seq: number;
  /** Starting when it was made. */
  starting: number;
  /** Its tick. */
  tick: number;
};

/** One slider. */
export type Dial = {
  /** What it moves. */
  label: string;
  /** Where it can stand; the first is the file's. */
  stops: KnobOption[];
};

/** Sliders that write one line together; the first of the runs is run anew as they are dragged. */
export type Dials = {
  /** What they stand for. */
  about: string;
  /** What stands after these. */
  after: string;
  /** What stands after it, before the parts that the sliders write. */
  before: string;
  /** The sliders; the parts of those that write any are joined by commas. */
  dials: Dial[];
  /** A switch that stands in place of all of them, and what it writes. */
  instead: KnobOption;
  /** The key at the begin of the line. */
  key: string;
  /** What one does with them. */
  title: string;
};

/** What a plan does to the number of replicas that serve or will. */
export type Direction = "up" | "down" | "hold";

/** What only a profile says. */
export type Engine = {
  /** Mean requests that fit. */
  cap_kv_memory: number;
  /** The engine's setting. */
  cap_max_num_seqs: number;
  /** Requests at which TPOT meets its SLO. */
  cap_slo_tpot: number | null;
  /** GPUs of a replica. */
  gpus_per_replica: number;
  /** Mean prompt. */
  input_tokens: number;
  /** Mean answer. */
  output_tokens: number;
  /** Its name. */
  profile: string;
  /** SLO on TPOT. */
  slo_tpot_s: number | null;
  /** Mean, with every slot busy. */
  tpot_s: number;
  /** TTFT without a queue. */
  ttft_unqueued_s: number;
};

/** Why there is no answer. */
export type Error = {
  /** What happened. */
  error: string;
  /** What to do next. */
  hint: string | null;
};

/** A scenario, and under whom it is run. */
export type Experiment = {
  /** What is offered to drag. */
  dials: Dials | null;
  /** The minute that the question is about. */
  event_minute: number;
  /** What is offered to change. */
  knobs: Knob[];
  /** What is compared. */
  runs: Run[];
  /** The scenario's file below `scenarios/lab`, without its ending. */
  scenario: string;
  /** What is in it. */
  text: string;
};

/** One figure of a run. */
export type FigureKind = "attainment_percent" | "gpu_hours" | "minutes_to_ready" | "missed_until_ready" | "direction_changes";

/** Every pool, without its replicas. */
export type Fleet = {
  /** Model time. */
  clock: ModelClock;
  /** What the gateway counted over all pools; absent without a gateway. */
  gateway: GatewayTotals | null;
  /** Whether decisions are being recorded; absent when no journal is kept, and for a journal. */
  journal: JournalHealth | null;
  /** Whether this is a running preheat; `false` when it is a journal after the fact. */
  live: boolean;
  /** By name. */
  pools: PoolSummary[];
  /** Since this process started; absent for a journal. */
  uptime_s: number | null;
  /** Version of preheat. */
  version: string;
};

/** What the gateway sees of one pool. */
export type GatewayStatus = {
  /** Requests that arrived since this process started. */
  arrivals: number;
  /** Requests answered completely. */
  completions: number;
  /** Requests that failed after an engine had begun. */
  failures: number;
  /** Requests held now. */
  held: number;
  /** Age of the oldest of them. */
  held_oldest_s: number | null;
  /** Gaps between successive streamed events. */
  itl: LatencyStatus;
  /** Requests turned away. */
  rejections: number;
  /** Arrival → first token. */
  ttft: LatencyStatus;
};

/** What the gateway counted over all pools since this process started. */
export type GatewayTotals = {
  /** Requests whose client left before their end; neither completed nor failed. */
  cancelled: number;
  /** Client connections accepted. */
  connections: number;
  /** Attempts repeated because an engine broke off before it began to answer. */
  retries_closed: number;
  /** Attempts repeated because a replica could not be reached. */
  retries_connect: number;
  /** Attempts repeated because an engine refused. */
  retries_refused: number;
  /** Requests turned away before a pool was known: malformed, too large, too slow, unknown model. */
  unroutable: number;
};

/** What was measured. */
export type Happened = {
  /** Share of first tokens within the SLO on TTFT; absent where the history does not tell. */
  attainment: number | null;
  /** GPU-hours. */
  gpu_hours: number;
  /** Most replicas at once. */
  replicas_peak: number;
};

/** What happened to a pool, in steps of equal width. */
export type History = {
  /** From here on everything is in it. When this is later than `from_s`, more was to be read than one request may: ask again, and it reaches further back. */
  complete_from_s: number;
  /** Start of the first step. */
  from_s: number;
  /** Which pool. */
  pool: string;
  /** When the pool was told to do otherwise, as its decisions were recorded; by time. Of many the newest. */
  reconfigurations: Reconfiguration[];
  /** How many there were before these. */
  reconfigurations_left_out: number;
  /** One value per step, in columns of equal length. */
  series: Series;
  /** End of the last. */
  until_s: number;
  /** Width of each. */
  width_s: number;
};

/** What keeps the journal from being written. */
export type JournalFailure = {
  /** What went wrong. */
  error: string;
  /** What to do about it. */
  hint: string | null;
  /** Time of the first entry that could not be stored; absent when it failed before any came. */
  since: number | null;
};

/** Whether decisions are being recorded. */
export type JournalHealth = {
  /** Entries lost by this process because they could not be stored in time. */
  dropped_records: number;
  /** What keeps it from being written, if anything does. */
  failure: JournalFailure | null;
  /** The file. */
  path: string;
  /** Entries stored by this process. */
  written_records: number;
};

/** The same in another picture. */
export type Kitchen = {
  /** How it ends. */
  close: string;
  /** How it begins. */
  lead: string;
  /** What stands for what. */
  pairs: Term[];
};

/** Something to change by choosing. */
export type Knob = {
  /** The key at the begin of the line that it changes. */
  key: string;
  /** Its name. */
  label: string;
  /** What can be chosen; the first is the file's. */
  options: KnobOption[];
};

/** One choice. */
export type KnobOption = {
  /** Its name. */
  label: string;
  /** What stands after the key. */
  value: string;
};

/** Quantiles of a latency. */
export type LatencyQuantiles = {
  /** Median. */
  p50_s: number | null;
  /** 90th percentile. */
  p90_s: number | null;
  /** 99th percentile. */
  p99_s: number | null;
};

/** A latency: totals since this process started, and quantiles of the last tick that had any. */
export type LatencyStatus = {
  /** Measurements. */
  count: number;
  /** Median. */
  p50_s: number | null;
  /** 90th percentile. */
  p90_s: number | null;
  /** 99th percentile. */
  p99_s: number | null;
  /** Their sum. */
  sum_s: number;
};

/** All of it. */
export type Lesson = {
  /** Questions to answer from memory. */
  cards: Card[];
  /** Words and what they mean. */
  glossary: Term[];
  /** The same in another picture. */
  kitchen: Kitchen;
  /** What it is, paragraph by paragraph. */
  lead: string[];
  /** What to read next. */
  next: Link[];
  /** Its parts, in order. */
  steps: Step[];
  /** What to explain to a colleague. */
  teach_back: TeachBack;
  /** Its name. */
  title: string;
};

/** Where to go on. */
export type Link = {
  /** A command or a document. */
  what: string;
  /** What is found there. */
  why: string;
};

/** One start that was measured. */
export type MeasuredStart = {
  /** The phase in which it was given up, and so would have been for longer; absent when it became ready. */
  given_up_in: string | null;
  /** Time in each phase: 0 in one that it skipped; one of which nobody knows, or that it did not reach, is left out. */
  phases_s: Record<string, number>;
  /** From its order, or the crash before it, until it was ready or given up. */
  took_s: number;
};

/** Model time, and how fast it runs. */
export type ModelClock = {
  /** Now. */
  now_s: number;
  /** Seconds of model time per second of wall time. */
  scale: number;
};

/** One policy with one setting on one workload. */
export type Outcome = {
  /** Share of all requests that were answered within the SLO. */
  attainment: number;
  /** How often growing turned into shrinking or back. */
  direction_changes: number;
  /** Requests that got no complete answer. */
  failed: number;
  /** GPU-hours, from the moment a start is ordered. */
  gpu_hours: number;
  /** Knobs that were set; empty for the policy's own defaults. */
  knobs: Record<string, number>;
  /** Most replicas at once. */
  replicas_peak: number;
  /** Replicas ordered. */
  starts: number;
  /** Answers cut after their first token. */
  streams_cut: number;
  /** 99th percentile of TPOT, in seconds. */
  tpot_p99_s: number | null;
  /** Median TTFT, in seconds. */
  ttft_p50_s: number | null;
  /** 99th percentile of TTFT, in seconds. */
  ttft_p99_s: number | null;
};

/** A pool's past in the figures that `preheat size` takes, under the same names. What is `null` nobody told. */
export type PastFigures = {
  /** Time from an order to a ready replica. */
  cold_start_s: number | null;
  /** The largest rise from one minute to the next, in requests per second. */
  growth_qps_per_min: number | null;
  /** Mean prompt tokens of a request. */
  input_tokens: number | null;
  /** Mean time of a request in a slot. */
  latency_s: number | null;
  /** Most requests in the batch of a replica. */
  max_num_seqs: number | null;
  /** Where each comes from, and what is not in this past, in words. */
  notes: string[];
  /** Mean generated tokens of a request. */
  output_tokens: number | null;
  /** Whose past it is. */
  pool: string;
  /** Engine profile. */
  profile: string | null;
  /** Requests that arrived per second in the busiest minute. */
  qps: number | null;
  /** Those that a tenth of the minutes is below. */
  quiet_qps: number | null;
  /** SLO on TTFT. */
  slo_ttft_s: number | null;
};

/** How long one phase of a start takes. */
export type PhaseStatus = {
  /** Median of those that do not skip it. */
  p50_s: number;
  /** 90th percentile of the same. */
  p90_s: number;
  /** Which. */
  phase: string;
  /** Starts that were seen to pass it. */
  seen: number;
  /** Starts that were given up in it, or are in it. */
  unfinished: number;
};

/** So many replicas are to be ready, whatever is needed. */
export type Pinned = {
  /** How many, within the pool's bounds. */
  replicas: number;
  /** Until when, at most seven days ahead. */
  until_s: number;
};

/** What to configure. */
export type Plan = {
  /** Time from an order to a ready replica. */
  cold_start_s: number;
  /** Requests in flight per replica to aim at, for an autoscaler that has a target for them. */
  concurrency_target: number;
  /** A file for `preheat up`. */
  config: string;
  /** A resource for `kubectl apply -f`. */
  manifest: string;
  /** Replicas that the quiet load needs, with headroom. */
  quiet_replicas: number;
  /** As many as the busiest load needs with headroom, and a quarter more for what piles up while replicas start. */
  replicas_max: number;
  /** Both together, at most `replicas_max`: the warm baseline. */
  replicas_min: number;
  /** A file for `preheat scenario`: this load for half an hour; absent without a profile. */
  scenario: string | null;
  /** Replicas that must be there already for what may come within one cold start. */
  spare_replicas: number;
};

/** One pool with its replicas. */
export type Pool = {
  /** Model time. */
  clock: ModelClock;
  /** How long each phase of a start takes, in the order in which they are passed through. */
  cold_start_phases: PhaseStatus[];
  /** Starts that were measured and are remembered, at most 64 of the newest, oldest first. Of a journal, those that were remembered at its last checkpoint. */
  cold_starts: MeasuredStart[];
  /** What operators have ordered; absent where no orders are taken. */
  controls: Controls | null;
  /** What the gateway saw of it since this process started; absent without one, and for a journal. */
  gateway: GatewayStatus | null;
  /** Whether this is a running preheat. */
  live: boolean;
  /** First and last moment that the journal has of this pool; absent without a journal. */
  recorded: Span | null;
  /** By id. */
  replicas: ReplicaStatus[];
  /** What is announced, has not ended, and begins within a day; by its begin. */
  scheduled: Scheduled[];
  /** Age of the oldest value of each signal, over ready replicas. */
  signal_age_s: Record<string, number>;
  /** Seconds from `summary.last_tick_s` until each start should be ready, soonest first. */
  starts_ready_in_s: number[];
  /** The pool in a line. */
  summary: PoolSummary;
  /** What it came to since this process started; absent for a journal. */
  totals: PoolTotals | null;
};

/** One pool in a line. */
export type PoolSummary = {
  /** The numbers behind it. */
  decision: DecisionNumbers | null;
  /** Replicas that should be ready or on their way, after every limit. */
  desired: number;
  /** Finishing their last requests. */
  draining: number;
  /** Accelerators × seconds since this process started; absent for a journal. */
  gpu_seconds: number | null;
  /** The same in words, with what was done. */
  headline: string | null;
  /** Requests held at the gateway; absent without one. */
  held: number | null;
  /** Requests in a batch slot. */
  in_flight: number | null;
  /** Gaps between successive streamed events, of the last tick that had any. */
  itl: LatencyQuantiles;
  /** When the last decision was made. */
  last_tick_s: number | null;
  /** What clients may ask for by name. */
  model_names: string[];
  /** Seconds from `last_tick_s` until the next start should be ready; absent when none is under way. */
  next_ready_in_s: number | null;
  /** Its name. */
  pool: string;
  /** Requests waiting in engines. */
  queue_depth: number | null;
  /** What other pools leave to it of the GPUs that they share; absent where it shares none. */
  quota: QuotaStatus | null;
  /** May serve. */
  ready: number;
  /** Why the last plan was as it was, as in journals; absent before the first tick. */
  reason: string | null;
  /** Upper bound of that. */
  replicas_max: number;
  /** Lower bound of that. */
  replicas_min: number;
  /** Restarts after crashes, over the replicas that exist. */
  restarts: number;
  /** Age of the oldest signal that was believed or missed. */
  signal_age_max_s: number | null;
  /** What it is held to; absent where a journal does not tell. */
  slo: SloStatus | null;
  /** What its last day cost beside the optimum; absent until it was worked out, which begins when somebody looks, and where no journal is kept. */
  spent: Spent | null;
  /** Kept for a short wake. */
  standby: number;
  /** On their way to ready, wakes included. */
  starting: number;
  /** Arrival → first token, of the last tick that had any. */
  ttft: LatencyQuantiles;
  /** The invariant that the last plan broke, if it did: the pool is held as it is. */
  violation: ViolationRecord | null;
};

/** Totals of one pool since this process started. */
export type PoolTotals = {
  /** Decisions by direction and reason. */
  decisions: DecisionCount[];
  /** Times that growing followed shrinking, or the reverse. */
  direction_changes: number;
  /** Replicas drained. */
  drains: number;
  /** Accelerators × seconds, standby counted in full. */
  gpu_seconds: number;
  /** The same by phase. */
  gpu_seconds_by_phase: Record<string, number>;
  /** Most replicas that existed at one tick. */
  replicas_peak: number;
  /** Draining replicas given their traffic back. */
  resumes: number;
  /** Replicas put to standby. */
  sleeps: number;
  /** Replicas ordered. */
  starts: number;
  /** Replicas ordered, by the plan's reason. */
  starts_by_reason: Record<string, number>;
  /** Replicas stopped. */
  stops: number;
  /** Replicas stopped, by what allowed it. */
  stops_by_reason: Record<string, number>;
  /** Ticks, held ones included. */
  ticks: number;
  /** Plans dropped because they broke an invariant, by its id. */
  violations: Record<string, number>;
  /** Replicas woken from standby. */
  wakes: number;
};

/** Something to guess. */
export type Question = {
  /** How the answer is found. */
  answer: Answer;
  /** In the browser's memory. */
  id: string;
  /** What a guess is. */
  kind: QuestionKind;
  /** As it is asked. */
  text: string;
};

/** What a guess is. */
export type QuestionKind = {
  kind: "run";
} | {
  kind: "number";
  /** No guess is larger. */
  max: number;
  /** What it counts. */
  unit: string;
};

/** What a pool may hold of GPUs that it shares with others. */
export type QuotaStatus = {
  /** At most so many replicas, those that drain left out. */
  replicas_allowed: number;
  /** Until what it lacks is taken from pools that come after it, if it is needed for so long. */
  settles_in_s: number | null;
  /** Pools that come before this one and have more than their minimum, while this one lacks something. */
  taken_by: string[];
};

/** What a pool was told to do otherwise from one tick on: by its configuration, or by an operator. */
export type Reconfiguration = {
  /** Demand that was announced: by a schedule that is new or another, or by an operator. */
  announced: Announced[];
  /** The tick's moment: the first that was decided so. */
  at_s: number;
  /** Settings and orders that differ from before. */
  settings: ChangedSetting[];
  /** Demand that was announced before and is no more, though it had not ended. */
  withdrawn: Announced[];
};

/** One replica. */
export type ReplicaStatus = {
  /** Where it listens; a world that knows fills it in. */
  address: string | null;
  /** What it counts for while it is ready, a whole one as 1: less for one that is slower than its pool. */
  capacity: number | null;
  /** Which one. */
  id: number;
  /** Requests in a batch slot. */
  in_flight: number | null;
  /** Share of KV blocks in use. */
  kv_utilization: number | null;
  /** What went wrong last; a world that knows fills it in. */
  last_error: string | null;
  /** The machine that it is on; a world that has several fills it in. */
  node: string | null;
  /** Requests that the gateway gave to it and that have not ended. */
  outstanding: number | null;
  /** Its phase. */
  phase: string;
  /** Time in that phase. */
  phase_age_s: number;
  /** Its process; a world that has processes fills it in. */
  pid: number | null;
  /** Requests waiting for one. */
  queue_depth: number | null;
  /** How often it was restarted after a crash. */
  restarts: number;
};

/** One run of a scenario. */
export type Run = {
  /** What is different from the file. */
  changes: Change[];
  /** What answers call it. */
  id: string;
  /** What people call it. */
  label: string;
  /** Who scales. */
  policy: string;
  /** How that is set up. */
  settings: Setting[];
};

/** Demand that was announced: at least so many replicas should be ready. */
export type Scheduled = {
  /** From when. */
  from_s: number;
  /** The schedule's name. */
  name: string;
  /** At least how many. */
  replicas: number;
  /** Until when. */
  until_s: number;
};

/** Columns of a history. A step without a tick has `null` everywhere but in counts. */
export type Series = {
  /** Requests per second, mean. */
  arrival_rate: (number | null)[];
  /** Start of the step. */
  at_s: number[];
  /** Replicas after limits, mean. */
  desired: (number | null)[];
  /** Requests that failed after an engine had begun. */
  failures: number[];
  /** Replicas drained, or given up while they were starting or in standby. */
  given_up: number[];
  /** Requests held at the gateway, the most. */
  held: (number | null)[];
  /** Requests in a batch slot, mean. */
  in_flight: (number | null)[];
  /** ITL as the engines count it, mean over ready replicas. */
  itl_mean_s: (number | null)[];
  /** Median ITL as clients see it, mean over ticks by their gaps. */
  itl_p50_s: (number | null)[];
  /** 99th percentile of ITL, the largest of any tick. */
  itl_p99_s: (number | null)[];
  /** Share of KV blocks in use over ready replicas, mean. */
  kv_utilization: (number | null)[];
  /** Erlangs, mean. */
  offered_load: (number | null)[];
  /** Erlangs, the largest. */
  offered_load_max: (number | null)[];
  /** Requests waiting in engines, the most. */
  queue_depth: (number | null)[];
  /** Requests turned away. */
  rejections: number[];
  /** Replicas by phase, mean: times the width, the time spent in it. */
  replicas: Record<string, (number | null)[]>;
  /** Slots that the rule which is followed holds, mean. */
  slots_held: (number | null)[];
  /** Slots of ready replicas, mean. */
  slots_ready: (number | null)[];
  /** Replicas started, woken or given their traffic back. */
  started: number[];
  /** Replicas before limits, mean. */
  target: (number | null)[];
  /** Ticks in it. */
  ticks: number[];
  /** Median TTFT, mean over ticks by their requests. */
  ttft_p50_s: (number | null)[];
  /** 90th percentile of TTFT, the largest of any tick. */
  ttft_p90_s: (number | null)[];
  /** 99th percentile of TTFT, the largest of any tick. */
  ttft_p99_s: (number | null)[];
  /** In flight ÷ slots, mean. */
  utilization: (number | null)[];
  /** Decisions dropped because they broke an invariant. */
  violations: number[];
};

/** A knob of a policy. */
export type Setting = {
  /** Its name. */
  knob: string;
  /** What it is set to. */
  value: number;
};

/** What so many modelled replicas did. */
export type Simulated = {
  /** Whether no more requests missed the SLO than may wait. */
  agrees: boolean;
  /** Share inside the SLOs. */
  attainment: number;
  /** How long requests arrived. */
  duration_s: number;
  /** Requests. */
  requests: number;
  /** TPOT. */
  tpot_p99_s: number | null;
  /** TTFT. */
  ttft_p99_s: number | null;
};

/** A scenario, or a pool's past, that is run, will be, or was. */
export type Simulation = {
  /** Why it failed. */
  error: string | null;
  /** Where to ask for it. */
  id: number;
  /** Share of the work that is done. */
  progress: number;
  /** Of a scenario what `preheat scenario --json` prints of it, of a pool's past a `WhatIfAnswer`; absent until it is done. */
  result: unknown;
  /** How far it is. */
  state: SimulationState;
};

/** A scenario to run. */
export type SimulationRequest = {
  /** Values for some of that policy's knobs. */
  knobs: Record<string, number>;
  /** Who scales, by its name there. */
  policy: string;
  /** A scenario file, as `preheat scenario` takes it. */
  scenario: string;
  /** Whether to report minute by minute. */
  series: boolean;
};

/** How far a simulation is. */
export type SimulationState = "queued" | "running" | "done" | "failed" | "cancelled";

/** What is asked over HTTP; the names are those of the flags of `preheat size`, with units. */
export type SizingRequest = {
  /** Time from an order to a ready replica: 180 unless given. */
  cold_start_s: number | null;
  /** Variance over mean of the requests in flight: 1 unless given. */
  dispersion: number | null;
  /** By how many requests per second the traffic may grow within a minute: 0 unless given. */
  growth_qps_per_min: number | null;
  /** Mean prompt tokens; with `profile`. */
  input_tokens: number | null;
  /** Mean time from a request's start to its end without queueing; or `profile`. */
  latency_s: number | null;
  /** Most requests in the batch of a replica. */
  max_num_seqs: number | null;
  /** Mean generated tokens; with `profile`. */
  output_tokens: number | null;
  /** Engine profile, in place of `latency_s`. */
  profile: string | null;
  /** Requests that arrive per second, at the busiest. */
  qps: number;
  /** Requests per second when it is quiet: `qps` unless given. */
  quiet_qps: number | null;
  /** SLO on TPOT; with `profile`. */
  slo_tpot_s: number | null;
  /** SLO on TTFT: 2 unless given. */
  slo_ttft_s: number | null;
  /** Share of requests that may find every slot taken: 0.05 unless given. */
  wait_probability: number | null;
};

/** What a pool is held to. */
export type SloStatus = {
  /** What is measured: `ttft`. */
  metric: string;
  /** Share of requests that must be within the threshold. */
  quantile: number;
  /** The bound. */
  threshold_s: number;
};

/** From one moment to another. */
export type Span = {
  /** The first. */
  from_s: number;
  /** The last. */
  until_s: number;
};

/** What the last 24 hours of a pool cost, or as much of them as its journal has, beside what an autoscaler that knew the future would have spent on the same requests. */
export type Spent = {
  /** Share of first tokens within the SLO; absent where nobody told. */
  attainment: number | null;
  /** GPU-hours; absent where nobody told of replicas. */
  gpu_hours: number | null;
  /** GPU-hours that no plan of the slot model undercuts at the attainment that the SLO asks for. */
  optimum_gpu_hours: number | null;
  /** Why that is absent, in words. */
  optimum_missing: string | null;
  /** Which time; absent where it could not be read. */
  over: Span | null;
};

/** What so many replicas come to. */
export type Staffed = {
  /** Replicas. */
  replicas: number;
  /** What a simulation found, where one was asked for. */
  simulated: Simulated | null;
  /** Slots of all of them. */
  slots: number;
  /** Share of slots that are busy. */
  utilization: number;
  /** Of waiting longer than `wait_max_s`. */
  wait_beyond_slo_probability: number;
  /** Share that waits. */
  wait_probability: number;
};

/** One part: told, asked, revealed. */
export type Step = {
  /** What reveals the answers; absent where nothing is asked. */
  experiment: Experiment | null;
  /** In the address. */
  id: string;
  /** Before the questions. */
  lead: string[];
  /** What to guess. */
  questions: Question[];
  /** After the answers. */
  reveal: string[];
  /** Its name. */
  title: string;
  /** What to change and run again. */
  tries: string[];
};

/** What to explain in one's own words. */
export type TeachBack = {
  /** An answer to compare with. */
  model: string[];
  /** The task. */
  task: string;
};

/** A word. */
export type Term = {
  /** What it means. */
  meaning: string;
  /** The word. */
  word: string;
};

/** How far a history can be believed. Field names are stable. */
export type Trust = {
  /** Share of steps at whose end a request or more waited for each ready replica: what would have come to a larger fleet is not known, only what came to this one. */
  clipped_share: number;
  /** Starts that were seen whole. */
  cold_starts_seen: number;
  /** Share of them of which arrivals are not known; they are taken as the steps around them. */
  gap_share: number;
  /** In words. */
  notes: string[];
  /** Counters that were set back, by restarts. */
  resets: number;
  /** Seconds of a step: what happened within one is not known. */
  step_s: number;
  /** Steps. */
  steps: number;
};

/** A broken invariant, as stored. */
export type ViolationRecord = {
  /** As in `INVARIANTS.md`. */
  id: string;
  /** What was seen. */
  seen: string;
};

/** What there was, and what would have been. */
export type WhatIfAnswer = {
  /** In the order in which they were asked for. */
  alternatives: WhatIfRun[];
  /** preheat as configured. */
  configured: WhatIfRun;
  /** When the past begins, in seconds since the world's origin. */
  from_s: number;
  /** What was measured at the time; absent where nobody told of replicas. */
  happened: Happened | null;
  /** Slots of a replica in every run. */
  max_num_seqs: number;
  /** What was measured, minute by minute. */
  minutes: WhatIfMinutes;
  /** Which pool. */
  pool: string;
  /** The engine profile of every run. */
  profile: string;
  /** The fleet as it was, in the model: beside `happened`, how good the model is. */
  replayed: Outcome | null;
  /** Requests in it. */
  requests: number;
  /** How far it can be believed. */
  trust: Trust;
  /** When it ends. */
  until_s: number;
};

/** What can be asked, and how the pool is configured. */
export type WhatIfChoices = {
  /** Most alternatives. */
  alternatives_max: number;
  /** What it was last decided by. */
  configured: WhatIfSettings;
  /** Longest past. */
  last_s_max: number;
  /** Slots of a replica; absent where no engine tells, and then the profile's. */
  max_num_seqs: number | null;
  /** Names of the policies; `static` wants a number after a colon, as in `static:4`. */
  policies: string[];
  /** Which pool. */
  pool: string;
  /** The one that is taken unless another is asked for. */
  profile: string;
  /** Names of the engine profiles. */
  profiles: string[];
  /** Most replicas. */
  replicas_max: number;
};

/** Columns of minutes. */
export type WhatIfMinutes = {
  /** Requests that came. */
  arrivals: (number | null)[];
  /** When each begins, in seconds since the world's origin. */
  at_s: number[];
  /** Share of its first tokens that were within the pool's own SLO on TTFT. */
  attainment: (number | null)[];
  /** Replicas that existed at its end, sleeping ones left out. */
  replicas: (number | null)[];
};

/** What is asked of a pool's past. */
export type WhatIfRequest = {
  /** From 1 to 4. */
  alternatives: Alternative[];
  /** How long before `until_s` the past begins: 21600 unless given, at most 86400. */
  last_s: number;
  /** Slots of a replica; as the engines tell unless given. */
  max_num_seqs: number | null;
  /** Engine profile; the one whose KV cache is as large as the engines tell unless given. */
  profile: string | null;
  /** When it ends, in seconds since the world's origin; with the journal unless given. */
  until_s: number | null;
};

/** One run on the past. */
export type WhatIfRun = {
  /** Share of each minute's requests that were answered within the SLO. */
  attainment: (number | null)[];
  /** No plan is cheaper at this SLO in this pool, in the slot model; absent where the past is more than can be planned. */
  optimum_gpu_hours: number | null;
  /** What it came to. */
  outcome: Outcome;
  /** Replicas that exist at the end of each minute, sleeping ones left out. */
  replicas: (number | null)[];
  /** How the pool was scaled in it. */
  settings: WhatIfSettings;
};

/** How a pool is scaled in one of the runs. */
export type WhatIfSettings = {
  /** Time from order to ready. Before a run, what the configuration says of it. */
  cold_start_s: number;
  /** Knobs that are set; the others are as its project ships them. */
  knobs: Record<string, number>;
  /** Who scales. */
  policy: string;
  /** Most replicas. */
  replicas_max: number;
  /** Fewest replicas. */
  replicas_min: number;
  /** Share of requests that should be within it. */
  slo_quantile: number;
  /** SLO on TTFT. */
  slo_ttft_s: number;
  /** Price of a sleeping replica; absent where none sleeps. */
  standby_price: number | null;
};
