//! The engine of a replica that is up, with what its metrics will say and with a lower bound of
//! when a request in it will end.
//!
//! A cluster that looked at every engine at every arrival would spend its time on looking. Nobody
//! but the metrics needs to know of first tokens at once; the router must know of ends. So an
//! engine is left alone until the first moment at which a request could end.
//!
//! **Invariant:** no request ends before [`Serving::wake_at`]. It is checked: an end that is seen
//! late stops the run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use preheat_core::{FirstTokens, Instant, ReplicaId};
use preheat_engine::{
    Engine, EngineConfig, EngineEvent, EventDetail, RequestId, Stepping, SubmitError,
};

use super::requests::{Request, Requests};
use super::step_floor::StepFloor;
use crate::report::{Answer, Tally};
use crate::run::SimulationError;
use crate::view::{EngineMetrics, TTFT_BOUNDS_SECS};

/// Never.
pub(crate) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// Cores that an engine keeps turning while a request is inside: its core process runs a busy loop,
/// says vLLM's documentation ("CPU Resources for GPU Deployments"), and waits for the GPU in it.
const LOOP_CORES: f64 = 1.0;
/// CPU time of a generated token in the server's process: detokenizing and streaming. An assumption,
/// with which one such process would be full at 20,000 tokens a second; at an engine's hundreds to
/// few thousand it is a tenth of a core at most, so that little depends on it.
const TOKEN_CPU_SECS: f64 = 50e-6;

/// An engine at work.
#[derive(Debug)]
pub(crate) struct Serving {
    replica: ReplicaId,
    /// When its last start or wake was over.
    ready_since: Instant,
    engine: Engine,
    floor: StepFloor,
    /// Lower bound of the next end of a request.
    wake_at: Instant,
    /// Lower bound of a step until then.
    step_floor: u64,
    /// KV blocks that are left for requests that are still to come before one in the batch could be
    /// thrown out before [`Self::wake_at`].
    blocks_spare: i64,
    /// Requests inside.
    outstanding: u32,
    /// Those of them that decode, one token in each step.
    decodes: Decodes,
    /// Those that have no first token yet.
    pending: Pending,
    /// Requests that lost their blocks and wait again.
    preempted: u32,
    totals: Totals,
}

/// Sums over decoding requests.
#[derive(Clone, Debug, Default)]
struct Decodes {
    count: u32,
    prompt_tokens: u64,
    /// Sum of the steps from which each decodes.
    from: u64,
    /// The step in which each ends at the earliest, soonest first; those that have ended are left
    /// in until they are first.
    ends: BinaryHeap<Reverse<(u64, RequestId)>>,
}

/// Sums over requests without a first token.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    count: u32,
    /// Fewest output tokens of any since there last was none.
    output_min: u32,
    /// Blocks of their prompts.
    blocks: u64,
}

/// What its metrics are made of.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    ttft_nanos: u128,
    ttft_count: u64,
    /// First tokens in each bucket of its histogram, those of others left out.
    ttft_buckets: [u32; TTFT_BOUNDS_SECS.len()],
    /// First token to last, of requests that have ended.
    streamed_nanos: u128,
    /// Requests between first token and last, and the sum of their first tokens' times.
    streaming: u32,
    streaming_since_nanos: u128,
    /// Time with a request inside, up to `busy_since`, if it is.
    busy: Duration,
    busy_since: Option<Instant>,
    /// At the last look at the gauges.
    gauge_busy: Duration,
    gauge_tokens: u64,
    gauge_at: Instant,
}

impl Totals {
    fn busy_at(&self, now: Instant) -> Duration {
        self.busy + self.busy_since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

impl Serving {
    /// An engine that is up at `now`.
    pub(crate) fn new(
        replica: ReplicaId,
        config: EngineConfig,
        stepping: Stepping,
        now: Instant,
    ) -> Self {
        let mut floor = StepFloor::new(&config);
        let step_floor = floor.femtos(1, 0);
        let engine = Engine::new(config).with_detail(EventDetail::Requests).with_stepping(stepping);
        Self {
            replica,
            ready_since: now,
            engine,
            floor,
            wake_at: NEVER,
            step_floor,
            blocks_spare: 0,
            outstanding: 0,
            decodes: Decodes::default(),
            pending: Pending::default(),
            preempted: 0,
            totals: Totals { gauge_at: now, ..Totals::default() },
        }
    }

    /// It is back from standby.
    pub(crate) const fn woke(&mut self, now: Instant) {
        self.ready_since = now;
    }

    pub(crate) const fn wake_at(&self) -> Instant {
        self.wake_at
    }

    pub(crate) const fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Requests in the queue of the engine, as of its last [`Self::advance`].
    pub(crate) fn queued(&self) -> u32 {
        let stats = self.engine.stats();
        stats.waiting + stats.hanging
    }

    /// Takes a request in.
    pub(crate) fn submit(&mut self, now: Instant, request: &Request) -> Result<(), SubmitError> {
        self.engine.submit(now, request.for_engine())?;
        let blocks = self.blocks(request.prompt_tokens);
        if self.outstanding == 0 {
            self.totals.busy_since = Some(now);
        }
        self.outstanding += 1;
        let pending = &mut self.pending;
        let before = if pending.count == 0 { u32::MAX } else { pending.output_min };
        pending.output_min = before.min(request.output_tokens);
        pending.count += 1;
        pending.blocks += blocks;
        let all_blocks = blocks + self.blocks(request.output_tokens);
        self.blocks_spare -= i64::try_from(all_blocks).unwrap_or(i64::MAX);
        let ends = self.floor.after(now, u64::from(request.output_tokens), self.step_floor, 0);
        self.wake_at = self.wake_at.min(if self.blocks_spare < 0 { now } else { ends });
        Ok(())
    }

    /// Passes all that happens up to `now`.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        requests: &mut Requests,
        tally: &mut Tally,
        events: &mut Vec<EngineEvent>,
    ) -> Result<(), SimulationError> {
        self.engine.advance(now, events);
        let steps = self.engine.stats().steps_total;
        for event in events.drain(..) {
            match event {
                EngineEvent::FirstToken { id, at } => {
                    self.first_token(id, at, steps, requests, tally)?;
                }
                EngineEvent::Finished { id, at, .. } => {
                    if at < now {
                        return Err(SimulationError::SeenLate { replica: self.replica, at, now });
                    }
                    self.finished(id, at, requests, tally)?;
                }
                EngineEvent::Preempted { id, at } => {
                    let request = requests.get_mut(id).ok_or_else(|| self.unknown(at))?;
                    self.preempted += 1;
                    self.decodes.leave(request);
                }
                EngineEvent::Resumed { .. } => self.preempted = self.preempted.saturating_sub(1),
                EngineEvent::Scheduled { .. }
                | EngineEvent::Tokens { .. }
                | EngineEvent::Aborted { .. }
                | EngineEvent::Step { .. }
                | EngineEvent::Slept { .. }
                | EngineEvent::Woke { .. } => {}
            }
        }
        self.look_ahead(now, requests)
    }

    fn first_token(
        &mut self,
        id: RequestId,
        at: Instant,
        steps: u64,
        requests: &mut Requests,
        tally: &mut Tally,
    ) -> Result<(), SimulationError> {
        let request = requests.get_mut(id).ok_or_else(|| self.unknown(at))?;
        request.first_token_at = Some(at);
        let after_start = at.since(self.ready_since) < FirstTokens::AFTER_START;
        tally.first_token(at.since(request.arrived_at), after_start);
        let totals = &mut self.totals;
        let ttft = at.since(request.sent_at);
        totals.ttft_nanos += ttft.as_nanos();
        totals.ttft_count += 1;
        let bucket = TTFT_BOUNDS_SECS.partition_point(|bound| *bound < ttft.as_secs_f64());
        if let Some(bucket) = totals.ttft_buckets.get_mut(bucket) {
            *bucket += 1;
        }
        totals.streaming += 1;
        totals.streaming_since_nanos += u128::from(at.as_nanos());
        self.pending.count -= 1;
        let blocks = self.blocks(request.prompt_tokens);
        self.pending.blocks -= blocks;
        // Whoever ended in the same call decodes no more.
        let Some(generated) = self.engine.tokens_generated(id) else { return Ok(()) };
        let from = steps.saturating_sub(u64::from(generated));
        request.decodes_from = Some(from);
        self.decodes.count += 1;
        self.decodes.prompt_tokens += u64::from(request.prompt_tokens);
        self.decodes.from += from;
        self.decodes.ends.push(Reverse((from + u64::from(request.output_tokens), id)));
        Ok(())
    }

    fn finished(
        &mut self,
        id: RequestId,
        at: Instant,
        requests: &mut Requests,
        tally: &mut Tally,
    ) -> Result<(), SimulationError> {
        let mut request = requests.remove(id).ok_or_else(|| self.unknown(at))?;
        self.decodes.leave(&mut request);
        let first_token_at = request.first_token_at.ok_or_else(|| self.unknown(at))?;
        let totals = &mut self.totals;
        totals.streaming -= 1;
        totals.streaming_since_nanos -= u128::from(first_token_at.as_nanos());
        totals.streamed_nanos += at.since(first_token_at).as_nanos();
        self.outstanding -= 1;
        if self.outstanding == 0 {
            self.pause_busy(at);
        }
        tally.answered(&Answer {
            arrived_at: request.arrived_at,
            first_token_at,
            finished_at: at,
            output_tokens: request.output_tokens,
        });
        Ok(())
    }

    /// Sets the lower bound of the next end of a request anew.
    fn look_ahead(&mut self, now: Instant, requests: &mut Requests) -> Result<(), SimulationError> {
        let stats = self.engine.stats();
        let (used, total) = (stats.kv_blocks_used, stats.kv_blocks_total);
        if used > total {
            let replica = self.replica;
            return Err(SimulationError::KvOvercommitted { replica, used, total, at: now });
        }
        let next = self.engine.next_event_at().filter(|_| self.outstanding > 0);
        let Some(step_ends) = next else {
            self.wake_at = NEVER;
            self.step_floor = self.floor.femtos(1, 0);
            self.blocks_spare = i64::try_from(total).unwrap_or(i64::MAX);
            return Ok(());
        };
        let steps = stats.steps_total;
        let decode_steps = self.steps_to_end(steps, requests);
        let full = self.decodes.count >= self.engine.config().max_num_seqs.get();
        let pending_steps =
            (self.pending.count > 0 && !full).then_some(u64::from(self.pending.output_min).max(1));
        let soonest = decode_steps.into_iter().chain(pending_steps).min();
        // Requests that lost their blocks can end without either: look at each step.
        let soonest = soonest.unwrap_or(1);
        self.spare_blocks(soonest, stats.running, total - used);
        // Where one may be thrown out of the batch, all but one may.
        let (seqs, context) = if self.blocks_spare < 0 || self.preempted > 0 {
            (0, 0)
        } else {
            (self.decodes.count, self.decodes.context(steps))
        };
        self.step_floor = self.floor.femtos(seqs, context);
        // The step under way is one of them.
        self.wake_at = self.floor.after(step_ends, soonest - 1, self.step_floor, seqs);
        Ok(())
    }

    /// Steps after which a request that decodes, or did, can end; at least one.
    fn steps_to_end(&mut self, steps: u64, requests: &mut Requests) -> Option<u64> {
        loop {
            let &Reverse((end, id)) = self.decodes.ends.peek()?;
            let Some(request) = requests.get_mut(id) else {
                self.decodes.ends.pop();
                continue;
            };
            if end > steps {
                return Some(end - steps);
            }
            // It was thrown out of the batch since, and has so many tokens still to go.
            self.decodes.ends.pop();
            let generated = self.engine.tokens_generated(id).unwrap_or(0);
            let left = request.output_tokens.saturating_sub(generated).max(1);
            self.decodes.ends.push(Reverse((steps + u64::from(left), id)));
        }
    }

    /// Blocks that stay free for newcomers if everything inside grows for so many steps.
    fn spare_blocks(&mut self, steps: u64, running: u32, free: u64) {
        let block_size = u64::from(self.engine.config().block_size);
        let each = steps / block_size + 2;
        let growing = (u64::from(running) + u64::from(self.pending.count)).saturating_mul(each);
        let taken = growing.saturating_add(self.pending.blocks);
        let taken = i64::try_from(taken).unwrap_or(i64::MAX);
        self.blocks_spare = i64::try_from(free).unwrap_or(i64::MAX).saturating_sub(taken);
    }

    fn blocks(&self, tokens: u32) -> u64 {
        u64::from(tokens.div_ceil(self.engine.config().block_size))
    }

    fn pause_busy(&mut self, at: Instant) {
        if let Some(since) = self.totals.busy_since.take() {
            self.totals.busy += at.since(since);
        }
    }

    const fn unknown(&self, at: Instant) -> SimulationError {
        SimulationError::UnknownRequest { replica: self.replica, at }
    }
}

/// Each bucket with all below it, as an engine exports them.
fn cumulative(mut buckets: [u32; TTFT_BOUNDS_SECS.len()]) -> [u32; TTFT_BOUNDS_SECS.len()] {
    let mut sum = 0;
    for bucket in &mut buckets {
        sum += *bucket;
        *bucket = sum;
    }
    buckets
}

impl Decodes {
    /// Takes a request out of the sums, if it is in them.
    fn leave(&mut self, request: &mut Request) {
        if let Some(from) = request.decodes_from.take() {
            self.count -= 1;
            self.prompt_tokens -= u64::from(request.prompt_tokens);
            self.from -= from;
        }
    }

    /// Tokens that a decode step reads at least.
    fn context(&self, steps: u64) -> u64 {
        (self.prompt_tokens + u64::from(self.count) * steps).saturating_sub(self.from)
    }
}

impl Serving {
    /// Sends the engine, in which nothing is, to sleep.
    pub(crate) fn sleep(&mut self, now: Instant) {
        self.engine.sleep(now, preheat_engine::SleepLevel::WeightsOffloaded);
    }

    /// Wakes it; how long that takes.
    pub(crate) fn wake(&mut self, now: Instant) -> Duration {
        self.engine.wake(now)
    }

    /// Ends the engine, up to date at `now`, and returns the requests that were inside, first come
    /// first.
    pub(crate) fn end(mut self, now: Instant) -> Vec<RequestId> {
        self.engine.sleep(now, preheat_engine::SleepLevel::WeightsDiscarded);
        let mut events = Vec::new();
        self.engine.advance(now, &mut events);
        let aborted = events.iter().filter_map(|event| match event {
            EngineEvent::Aborted { id, .. } => Some(*id),
            EngineEvent::Scheduled { .. }
            | EngineEvent::Resumed { .. }
            | EngineEvent::FirstToken { .. }
            | EngineEvent::Tokens { .. }
            | EngineEvent::Finished { .. }
            | EngineEvent::Preempted { .. }
            | EngineEvent::Step { .. }
            | EngineEvent::Slept { .. }
            | EngineEvent::Woke { .. } => None,
        });
        aborted.collect()
    }

    /// What a scrape at `now` reads; the engine is up to date. The gauges of GPU and CPU begin anew.
    pub(crate) fn metrics(&mut self, now: Instant) -> EngineMetrics {
        let metrics = self.peek(now);
        (self.totals.gauge_busy, self.totals.gauge_at) = (self.totals.busy_at(now), now);
        self.totals.gauge_tokens = metrics.generation_tokens_total;
        metrics
    }

    /// The same, for whom it leaves as it is.
    pub(crate) fn peek(&self, now: Instant) -> EngineMetrics {
        let stats = self.engine.stats();
        let totals = &self.totals;
        let window = now.since(totals.gauge_at);
        let busy = totals.busy_at(now) - totals.gauge_busy;
        let window_secs = window.as_secs_f64().max(1e-9);
        let share = (busy.as_secs_f64() / window_secs).clamp(0.0, 1.0);
        let tokens = stats.generation_tokens_total.saturating_sub(totals.gauge_tokens) as f64;
        let open = u128::from(totals.streaming) * u128::from(now.as_nanos());
        let streamed = totals.streamed_nanos + open.saturating_sub(totals.streaming_since_nanos);
        EngineMetrics {
            at: now,
            running: stats.running,
            waiting: stats.waiting,
            kv_utilization: stats.kv_utilization.get(),
            gpu_utilization: share,
            cpu_cores: share * LOOP_CORES + tokens / window_secs * TOKEN_CPU_SECS,
            completions_total: stats.finished_total,
            prompt_tokens_total: stats.prompt_tokens_total,
            generation_tokens_total: stats.generation_tokens_total,
            preemptions_total: stats.preemptions_total,
            ttft_seconds_sum: totals.ttft_nanos as f64 / 1e9,
            ttft_count: totals.ttft_count,
            ttft_buckets: cumulative(totals.ttft_buckets),
            itl_seconds_sum: streamed as f64 / 1e9,
            itl_count: stats.generation_tokens_total.saturating_sub(totals.ttft_count),
        }
    }
}
