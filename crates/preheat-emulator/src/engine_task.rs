//! The one task that owns the engine: takes commands, passes model time, hands tokens out.
//!
//! Above real time it wakes at a bounded rate and puts the tokens of several steps into one
//! event; first tokens and ends go out at once, and metrics keep the model's own times.
//!
//! **Invariant:** nothing here knows of HTTP or JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::Instant;
use preheat_engine::{Engine, EngineEvent, EngineRequest, RequestId, SleepLevel, SleepState};
use preheat_runtime::clock::{Clock, TimeScale};
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answer, End};
use crate::api_error::ApiError;
use crate::engine_metrics::{EngineMetrics, FinishReason, RequestRecord, SleepOperation};
use crate::exposition::Exposition;

/// What the HTTP side asks for. The channel needs no bound of its own: each connection has at
/// most one request under way, and connections are bounded.
#[derive(Debug)]
pub(crate) enum Command {
    /// A completion request.
    Submit { work: Work, answer: Answer, admitted: oneshot::Sender<Result<RequestId, ApiError>> },
    /// Its client hung up.
    Cancel(RequestId),
    /// `/metrics`.
    Scrape(oneshot::Sender<Scrape>),
    /// `/sleep`; answered when the engine sleeps.
    Sleep { level: SleepLevel, mode: SleepMode, done: oneshot::Sender<()> },
    /// `/wake_up`; answered when the engine serves.
    Wake(oneshot::Sender<()>),
    /// `/is_sleeping`.
    IsSleeping(oneshot::Sender<bool>),
    /// No new requests; answered when none is left inside, after `timeout` at the latest.
    ShutDown { timeout: Duration, done: oneshot::Sender<()> },
}

/// The engine's part of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) max_tokens: u32,
}

/// What becomes of requests inside when the engine is sent to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SleepMode {
    /// They end with finish reason `abort`.
    Abort,
    /// The engine sleeps when they have finished; newer ones hang.
    Wait,
}

/// The engine's families, around the place where the HTTP ones belong.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) before_http: String,
    pub(crate) after_http: String,
}

/// Settings of the task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) max_num_queued_reqs: Option<u32>,
}

/// Owns the engine.
#[derive(Debug)]
pub(crate) struct EngineTask {
    clock: Clock,
    engine: Engine,
    metrics: EngineMetrics,
    admission: Admission,
    live: BTreeMap<RequestId, Live>,
    id_next: u64,
    events: Vec<EngineEvent>,
    flush_at: Instant,
    wake_earliest_at: Instant,
    sleeping: Vec<SleepCall>,
    sleep_pending: Option<SleepLevel>,
    drain: Option<Drain>,
}

/// A request inside.
#[derive(Debug)]
struct Live {
    work: Work,
    answer: Answer,
    is_held: bool,
    arrived_at: Instant,
    scheduled_at: Instant,
    first_token_at: Instant,
    /// Tokens given to `answer`.
    delivered: u32,
    /// Tokens made and not given yet.
    pending: u32,
    preemptions: u32,
}

#[derive(Debug)]
struct SleepCall {
    operation: SleepOperation,
    began_at: Instant,
    done: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Drain {
    until: Instant,
    done: Option<oneshot::Sender<()>>,
}

/// Above real time, wall time between two wakes: clients see first tokens and ends this late.
const WAKE_PERIOD: Duration = Duration::from_millis(2);
/// Above real time, wall time between two events of one stream, if streams are few.
const FLUSH_PERIOD_MIN: Duration = Duration::from_millis(20);
/// The same if streams are many.
const FLUSH_PERIOD_MAX: Duration = Duration::from_millis(100);
/// Each stream adds so much to the period: at most 4000 events a second, about a twentieth of a
/// core.
const FLUSH_PERIOD_PER_STREAM: Duration = Duration::from_micros(250);
/// Commands taken between two looks at the clock.
const COMMANDS_MAX: usize = 64;

impl EngineTask {
    pub(crate) fn new(
        clock: Clock,
        engine: Engine,
        metrics: EngineMetrics,
        admission: Admission,
    ) -> Self {
        Self {
            clock,
            engine,
            metrics,
            admission,
            live: BTreeMap::new(),
            id_next: 0,
            events: Vec::new(),
            flush_at: Instant::default(),
            wake_earliest_at: Instant::default(),
            sleeping: Vec::new(),
            sleep_pending: None,
            drain: None,
        }
    }

    /// Runs until every sender of commands is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut batch = Vec::with_capacity(COMMANDS_MAX);
        loop {
            let wake_at = self.wake_at();
            let clock = self.clock.clone();
            let wake = async {
                match wake_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                count = commands.recv_many(&mut batch, COMMANDS_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = wake => {
                    let period = self.period(WAKE_PERIOD);
                    self.wake_earliest_at = self.clock.now().saturating_add(period);
                }
            }
            let now = self.clock.now();
            self.pass(now);
            if !batch.is_empty() {
                for command in batch.drain(..) {
                    self.take(now, command);
                }
                self.pass(now);
            }
            self.settle(now);
        }
    }

    /// When there is something to do without a command.
    fn wake_at(&self) -> Option<Instant> {
        let engine = self.engine.next_event_at().map(|at| at.max(self.wake_earliest_at));
        let drain = self.drain.as_ref().filter(|drain| drain.done.is_some());
        let drain = drain.map(|drain| drain.until);
        [engine, drain].into_iter().flatten().min()
    }

    /// `wall` in model time above real time, nothing at real time or below.
    fn period(&self, wall: Duration) -> Duration {
        if self.clock.scale().get() > TimeScale::REAL.get() {
            self.clock.to_model(wall)
        } else {
            Duration::ZERO
        }
    }

    /// Passes model time up to `now`.
    fn pass(&mut self, now: Instant) {
        let mut events = std::mem::take(&mut self.events);
        self.engine.advance(now, &mut events);
        for event in events.drain(..) {
            self.happened(event);
        }
        self.events = events;
        if now >= self.flush_at {
            self.flush(now);
        }
    }

    fn flush(&mut self, now: Instant) {
        let streams = u32::try_from(self.live.len()).unwrap_or(u32::MAX);
        let period = FLUSH_PERIOD_PER_STREAM
            .saturating_mul(streams)
            .clamp(FLUSH_PERIOD_MIN, FLUSH_PERIOD_MAX);
        self.flush_at = now.saturating_add(self.period(period));
        for live in self.live.values_mut().filter(|live| live.pending > 0) {
            live.deliver();
        }
    }

    fn happened(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Scheduled { id, at } => {
                if let Some(live) = self.live.get_mut(&id) {
                    live.scheduled_at = at;
                    self.metrics.scheduled(live.work.prompt_tokens);
                }
            }
            EngineEvent::FirstToken { id, at } => {
                if let Some(live) = self.live.get_mut(&id) {
                    live.first_token_at = at;
                    live.pending += 1;
                    live.deliver();
                    self.metrics.first_token(at.since(live.arrived_at));
                }
            }
            EngineEvent::Tokens { id, count, .. } => {
                if let Some(live) = self.live.get_mut(&id) {
                    live.pending += count;
                }
            }
            EngineEvent::Preempted { id, .. } => {
                if let Some(live) = self.live.get_mut(&id) {
                    live.preemptions += 1;
                }
            }
            EngineEvent::Finished { id, at, tokens } => self.finished(id, at, tokens),
            EngineEvent::Aborted { id, at } => {
                if let Some(live) = self.live.remove(&id) {
                    let record = live.record(FinishReason::Abort, at, live.made());
                    self.metrics.finished(&record);
                    live.answer.end(live.pending, End::Finished(FinishReason::Abort));
                }
            }
            EngineEvent::Step { started_at, at, steps, tokens, decode_seqs } => {
                self.metrics.steps(at.since(started_at), steps, tokens, decode_seqs);
            }
            // Calls of the other kind were overtaken by a later call.
            EngineEvent::Slept { at } | EngineEvent::Woke { at } => {
                self.answer_sleep_calls(at, SleepOperation::Sleep);
                self.answer_sleep_calls(at, SleepOperation::Wake);
            }
            EngineEvent::Resumed { .. } => {}
        }
    }

    fn finished(&mut self, id: RequestId, at: Instant, tokens: u32) {
        let Some(live) = self.live.remove(&id) else { return };
        let reason = live.work.finish_reason();
        self.metrics.finished(&live.record(reason, at, tokens));
        live.answer.end(tokens.saturating_sub(live.delivered), End::Finished(reason));
    }

    fn take(&mut self, now: Instant, command: Command) {
        match command {
            Command::Submit { work, answer, admitted } => {
                let result = self.submit(now, work, answer);
                let id = result.as_ref().ok().copied();
                if admitted.send(result).is_err() {
                    // The client hung up before it was let in.
                    if let Some(id) = id {
                        self.cancel(now, id);
                    }
                }
            }
            Command::Cancel(id) => self.cancel(now, id),
            Command::Scrape(reply) => {
                let _ = reply.send(self.scrape());
            }
            Command::Sleep { level, mode, done } => self.sleep(now, level, mode, done),
            Command::Wake(done) => self.wake(now, done),
            Command::IsSleeping(reply) => {
                let is_asleep = self.sleep_pending.is_none() && self.engine.stats().is_asleep();
                let _ = reply.send(is_asleep);
            }
            Command::ShutDown { timeout, done } => {
                let until = now.saturating_add(timeout);
                self.drain = Some(Drain { until, done: Some(done) });
            }
        }
    }

    fn submit(&mut self, now: Instant, work: Work, answer: Answer) -> Result<RequestId, ApiError> {
        if self.drain.is_some() {
            return Err(ApiError::ShuttingDown);
        }
        if let Some(limit) = self.admission.max_num_queued_reqs
            && self.live.len() >= limit as usize
        {
            self.metrics.rejected();
            return Err(ApiError::QueueFull(limit));
        }
        let id = RequestId(self.id_next);
        self.id_next += 1;
        let is_held = self.sleep_pending.is_some();
        if !is_held {
            self.engine
                .submit(now, work.request(id))
                .map_err(|error| ApiError::invalid(error.to_string()))?;
        }
        let live = Live {
            work,
            answer,
            is_held,
            arrived_at: now,
            scheduled_at: now,
            first_token_at: now,
            delivered: 0,
            pending: 0,
            preemptions: 0,
        };
        self.live.insert(id, live);
        Ok(id)
    }

    fn cancel(&mut self, now: Instant, id: RequestId) {
        if self.live.remove(&id).is_some_and(|live| !live.is_held) {
            self.engine.cancel(now, id);
        }
    }

    fn scrape(&self) -> Scrape {
        let mut before_http = Exposition::new();
        self.metrics.write(&self.engine.stats(), &mut before_http);
        let mut after_http = Exposition::new();
        self.metrics.write_sleep(&mut after_http);
        Scrape { before_http: before_http.finish(), after_http: after_http.finish() }
    }

    fn sleep(
        &mut self,
        now: Instant,
        level: SleepLevel,
        mode: SleepMode,
        done: oneshot::Sender<()>,
    ) {
        self.begin_sleep_call(now, SleepOperation::Sleep, done);
        if let SleepState::Asleep(_) = self.engine.sleep_state() {
            self.answer_sleep_calls(now, SleepOperation::Sleep);
            return;
        }
        match mode {
            SleepMode::Abort => {
                self.release_held(now);
                self.engine.sleep(now, level);
            }
            SleepMode::Wait => self.sleep_pending = Some(level),
        }
    }

    fn wake(&mut self, now: Instant, done: oneshot::Sender<()>) {
        self.begin_sleep_call(now, SleepOperation::Wake, done);
        if self.sleep_pending.is_some() {
            self.release_held(now);
            self.answer_sleep_calls(now, SleepOperation::Sleep);
        }
        self.engine.wake(now);
        if self.engine.sleep_state() == SleepState::Awake {
            self.answer_sleep_calls(now, SleepOperation::Wake);
        }
    }

    /// Ends a wait for sleep: requests that were kept from the engine go into it.
    fn release_held(&mut self, now: Instant) {
        self.sleep_pending = None;
        let engine = &mut self.engine;
        self.live.retain(|id, live| {
            let is_taken = !live.is_held || engine.submit(now, live.work.request(*id)).is_ok();
            live.is_held = false;
            if !is_taken {
                live.answer.end(0, End::Cut);
            }
            is_taken
        });
    }

    fn begin_sleep_call(
        &mut self,
        now: Instant,
        operation: SleepOperation,
        done: oneshot::Sender<()>,
    ) {
        self.metrics.sleep_began(operation);
        self.sleeping.push(SleepCall { operation, began_at: now, done });
    }

    fn answer_sleep_calls(&mut self, at: Instant, operation: SleepOperation) {
        let calls = std::mem::take(&mut self.sleeping);
        for call in calls {
            if call.operation == operation {
                self.metrics.sleep_ended(operation, at.since(call.began_at));
                let _ = call.done.send(());
            } else {
                self.sleeping.push(call);
            }
        }
    }

    /// Ends what waits for requests to be gone: sleep in mode wait, and shutdown.
    fn settle(&mut self, now: Instant) {
        if let Some(level) = self.sleep_pending
            && self.live.values().all(|live| live.is_held)
        {
            self.engine.sleep(now, level);
            self.release_held(now);
        }
        let Some(drain) = &mut self.drain else { return };
        if now >= drain.until {
            for (id, live) in std::mem::take(&mut self.live) {
                live.answer.end(live.pending, End::Cut);
                self.engine.cancel(now, id);
            }
        }
        if self.live.is_empty()
            && let Some(done) = drain.done.take()
        {
            let _ = done.send(());
        }
    }
}

impl Work {
    fn request(&self, id: RequestId) -> EngineRequest {
        let Self { prompt_tokens, output_tokens, .. } = *self;
        EngineRequest { id, prompt_tokens, output_tokens }
    }

    fn finish_reason(&self) -> FinishReason {
        if self.output_tokens < self.max_tokens { FinishReason::Stop } else { FinishReason::Length }
    }
}

impl Live {
    /// Tokens made so far.
    fn made(&self) -> u32 {
        self.delivered + self.pending
    }

    fn deliver(&mut self) {
        let tokens = std::mem::take(&mut self.pending);
        self.delivered += tokens;
        self.answer.add(tokens);
    }

    fn record(&self, finish: FinishReason, at: Instant, output_tokens: u32) -> RequestRecord {
        RequestRecord {
            finish,
            prompt_tokens: self.work.prompt_tokens,
            output_tokens,
            max_tokens: self.work.max_tokens,
            preemptions: self.preemptions,
            queued: self.scheduled_at.since(self.arrived_at),
            prefill: self.first_token_at.since(self.scheduled_at),
            decode: at.since(self.first_token_at),
            end_to_end: at.since(self.arrived_at),
        }
    }
}

#[cfg(test)]
mod tests;
