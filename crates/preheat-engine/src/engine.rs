//! The engine as its caller sees it: submit, cancel, advance, sleep, wake. How a step is planned
//! is in `plan`, how many steps are passed at once in `jump`.
//!
//! **Invariant:** results depend on requests and their times only, not on how finely
//! [`Engine::advance`] is called, nor on [`Stepping`]. One exception: requests that reach an idle
//! engine at one instant enter one step when no `advance` comes between them, as real ones do
//! when they reach the engine in one message.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::{Instant, Utilization};

use crate::config::EngineConfig;
use crate::decode::DecodeGroup;
use crate::event::{EngineEvent, EngineStats, EventDetail};
use crate::fine::FineInstant;
use crate::plan::{Chunk, Step};
use crate::request::{EngineRequest, RequestId, SubmitError};
use crate::sleep::{SleepLevel, SleepState};
use crate::store::{Slot, Stage, Store};

/// Cancelled requests that the queue may hold beside those that wait.
const GONE_MAX: usize = 64;

/// Whether runs of decode steps are passed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepping {
    /// Steps between two changes of the batch are passed at once. Exact.
    Jump,
    /// Each step on its own: the reference that `Jump` is tested against.
    EachStep,
}

/// One inference engine.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) detail: EventDetail,
    pub(crate) stepping: Stepping,
    pub(crate) store: Store,
    pub(crate) decodes: DecodeGroup,
    /// Waiting requests, first come first; cancelled ones stay until they are first.
    pub(crate) queue: VecDeque<Slot>,
    /// Those in `queue` that are not cancelled.
    pub(crate) waiting: u32,
    /// Prefill chunks of the step under way.
    pub(crate) chunks: Vec<Chunk>,
    /// The one request whose prompt did not fit the last step: always the last of the batch.
    pub(crate) partial: Option<Slot>,
    /// Requests whose end the plan under way has not seen yet (async scheduling).
    pub(crate) leaving: Vec<Slot>,
    /// Cancelled requests of the batch, until the step under way ends.
    pub(crate) cancelled: Vec<RequestId>,
    pub(crate) blocks_free: u64,
    pub(crate) blocks_total: u64,
    /// End of the last step, or start of the first after an idle time.
    pub(crate) clock: FineInstant,
    pub(crate) step: Option<Step>,
    pub(crate) admissions: u64,
    pub(crate) counters: Counters,
    power: Power,
    /// Events made outside `advance`.
    outbox: Vec<EngineEvent>,
}

/// What only grows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: u64,
    pub(crate) finished: u64,
    pub(crate) cancelled: u64,
    pub(crate) aborted: u64,
    pub(crate) preemptions: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) generation_tokens: u64,
    pub(crate) steps: u64,
    pub(crate) step_tokens: u64,
}

/// Sleep state with its deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Awake,
    FallingAsleep { level: SleepLevel, until: Instant },
    Asleep { level: SleepLevel },
    Waking { until: Instant },
}

impl Engine {
    /// An idle engine that reports everything ([`EventDetail::Tokens`]).
    ///
    /// # Panics
    /// When [`EngineConfig::check`] finds fault with `config`.
    pub fn new(config: EngineConfig) -> Self {
        assert_eq!(config.check(), Ok(()), "the caller checks settings that come from outside");
        let blocks_total = config.kv_capacity_tokens / u64::from(config.block_size);
        Self {
            config,
            detail: EventDetail::Tokens,
            stepping: Stepping::Jump,
            store: Store::default(),
            decodes: DecodeGroup::new(config.block_size),
            queue: VecDeque::new(),
            waiting: 0,
            chunks: Vec::new(),
            partial: None,
            leaving: Vec::new(),
            cancelled: Vec::new(),
            blocks_free: blocks_total,
            blocks_total,
            clock: FineInstant::default(),
            step: None,
            admissions: 0,
            counters: Counters::default(),
            power: Power::Awake,
            outbox: Vec::new(),
        }
    }

    /// The same engine, telling as much as `detail` says.
    #[must_use]
    pub fn with_detail(mut self, detail: EventDetail) -> Self {
        self.detail = detail;
        self
    }

    /// The same engine, stepping as `stepping` says.
    #[must_use]
    pub fn with_stepping(mut self, stepping: Stepping) -> Self {
        self.stepping = stepping;
        self
    }

    /// Its settings.
    pub const fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Takes a request that arrives at `now`; calls come in order of time. It is scheduled by a
    /// later [`Engine::advance`]; while the engine is not awake it hangs.
    ///
    /// # Errors
    /// Says why the request can't ever be served, or that its id is in use.
    pub fn submit(&mut self, now: Instant, request: EngineRequest) -> Result<(), SubmitError> {
        let EngineRequest { id, prompt_tokens, output_tokens } = request;
        if prompt_tokens == 0 || output_tokens == 0 {
            return Err(SubmitError::Empty);
        }
        let tokens = u64::from(prompt_tokens) + u64::from(output_tokens);
        let max_model_len = self.config.max_model_len;
        if tokens > u64::from(max_model_len) {
            return Err(SubmitError::ContextTooLong { tokens, max_model_len });
        }
        let block_size = u64::from(self.config.block_size);
        if tokens.div_ceil(block_size) > self.blocks_total {
            let kv_capacity_tokens = self.blocks_total * block_size;
            return Err(SubmitError::KvTooSmall { tokens, kv_capacity_tokens });
        }
        if self.store.slot(id).is_some() {
            return Err(SubmitError::DuplicateId(id));
        }
        let slot = self.store.insert(request, now.as_nanos());
        self.queue.push_back(slot);
        self.waiting += 1;
        self.counters.submitted += 1;
        Ok(())
    }

    /// The client of `id` hung up; false when no such request is inside. Call `advance(now)`
    /// first. A request in the batch leaves when the step under way ends, as in vLLM, and its id
    /// stays in use until then; no event follows.
    pub fn cancel(&mut self, now: Instant, id: RequestId) -> bool {
        debug_assert!(self.next_event_at().is_none_or(|at| at >= now), "advance first");
        let Some(slot) = self.store.slot(id) else { return false };
        let entry = self.store.get_mut(slot);
        if entry.is_cancelled || entry.stage == Stage::Leaving {
            return false;
        }
        entry.is_cancelled = true;
        match entry.stage {
            Stage::Waiting => {
                self.waiting -= 1;
                self.store.forget(slot);
                self.sweep_queue();
            }
            Stage::Prefilling | Stage::Decoding | Stage::Leaving => self.cancelled.push(id),
        }
        self.counters.cancelled += 1;
        true
    }

    /// When [`Engine::advance`] will next have something to do: the end of the step under way,
    /// the start of the next one, or the end of falling asleep or waking. `None` when idle.
    pub fn next_event_at(&self) -> Option<Instant> {
        if let Some(event) = self.outbox.first() {
            return Some(event.at());
        }
        match self.power {
            Power::FallingAsleep { until, .. } | Power::Waking { until } => Some(until),
            Power::Asleep { .. } => None,
            Power::Awake => match self.step {
                Some(step) => Some(step.ends.ceil()),
                None => self.idle_start().map(FineInstant::ceil),
            },
        }
    }

    /// Processes all that happens up to and including `now`, in order, and appends it to `events`.
    pub fn advance(&mut self, now: Instant, events: &mut Vec<EngineEvent>) {
        events.append(&mut self.outbox);
        self.pass_power(now, events);
        if self.power != Power::Awake {
            return;
        }
        loop {
            if let Some(step) = self.step {
                if step.ends.ceil() > now {
                    break;
                }
                self.complete(step, events);
                self.go_on(step.started, now, events);
            } else {
                let start = self.idle_start().filter(|start| start.ceil() <= now);
                let Some(start) = start else { break };
                self.clock = start;
                self.plan(start, events);
            }
        }
        if self.detail >= EventDetail::Tokens {
            self.report_tokens(events);
        }
    }

    /// What its metrics say, as of the last [`Engine::advance`].
    pub fn stats(&self) -> EngineStats {
        let is_awake = self.power == Power::Awake;
        let kv_blocks_used = self.blocks_total - self.blocks_free;
        EngineStats {
            running: self.store.batch_len() + self.leaving.len() as u32,
            waiting: if is_awake { self.waiting } else { 0 },
            hanging: if is_awake { 0 } else { self.waiting },
            kv_utilization: Utilization::saturating(
                kv_blocks_used as f64 / self.blocks_total as f64,
            ),
            kv_blocks_used,
            kv_blocks_total: self.blocks_total,
            submitted_total: self.counters.submitted,
            finished_total: self.counters.finished,
            cancelled_total: self.counters.cancelled,
            aborted_total: self.counters.aborted,
            preemptions_total: self.counters.preemptions,
            prompt_tokens_total: self.counters.prompt_tokens,
            generation_tokens_total: self.counters.generation_tokens,
            steps_total: self.counters.steps,
            step_tokens_total: self.counters.step_tokens,
            step_tokens: self.step.map_or(0, |step| step.load.tokens()),
            sleep_state: self.sleep_state(),
        }
    }

    /// Tokens that `id` has generated; `None` when it is not inside.
    pub fn tokens_generated(&self, id: RequestId) -> Option<u32> {
        let entry = self.store.get(self.store.slot(id)?);
        Some(match entry.stage {
            Stage::Decoding => self.decodes.generated(entry),
            Stage::Waiting | Stage::Prefilling | Stage::Leaving => entry.generated,
        })
    }

    /// Whether it sleeps, as of the last [`Engine::advance`].
    pub const fn sleep_state(&self) -> SleepState {
        match self.power {
            Power::Awake => SleepState::Awake,
            Power::FallingAsleep { level, .. } => SleepState::FallingAsleep(level),
            Power::Asleep { level } => SleepState::Asleep(level),
            Power::Waking { .. } => SleepState::Waking,
        }
    }

    /// Sends the engine to sleep and returns how long that takes. Everything inside is aborted,
    /// as vLLM's default mode does: drain first. Call `advance(now)` first. An engine that sleeps
    /// already, or is about to, keeps its level.
    pub fn sleep(&mut self, now: Instant, level: SleepLevel) -> Duration {
        match self.power {
            Power::FallingAsleep { until, .. } => return until.since(now),
            Power::Asleep { .. } => return Duration::ZERO,
            Power::Awake | Power::Waking { .. } => {}
        }
        for id in self.store.drain() {
            self.counters.aborted += 1;
            self.outbox.push(EngineEvent::Aborted { id, at: now });
        }
        self.decodes = DecodeGroup::new(self.config.block_size);
        self.queue.clear();
        self.waiting = 0;
        self.chunks.clear();
        self.partial = None;
        self.leaving.clear();
        self.cancelled.clear();
        self.blocks_free = self.blocks_total;
        self.step = None;
        let duration = self.config.sleep.to_sleep(level);
        self.power = Power::FallingAsleep { level, until: now.saturating_add(duration) };
        duration
    }

    /// Wakes the engine and returns how long it takes until it serves: what is left of falling
    /// asleep, then the wake itself. Zero when it is awake.
    pub fn wake(&mut self, now: Instant) -> Duration {
        let (level, from) = match self.power {
            Power::Awake => return Duration::ZERO,
            Power::Waking { until } => return until.since(now),
            Power::FallingAsleep { level, until } => (level, until.max(now)),
            Power::Asleep { level } => (level, now),
        };
        let until = from.saturating_add(self.config.sleep.to_wake(level));
        self.power = Power::Waking { until };
        until.since(now)
    }

    /// Lets out cancelled requests when they are first or most of the queue.
    fn sweep_queue(&mut self) {
        if self.queue_first().is_none() || self.queue.len() < 2 * self.waiting as usize + GONE_MAX {
            return;
        }
        let store = &mut self.store;
        self.queue.retain(|slot| {
            let is_cancelled = store.get(*slot).is_cancelled;
            if is_cancelled {
                store.free_slot(*slot);
            }
            !is_cancelled
        });
    }

    /// Passes the ends of falling asleep and waking.
    fn pass_power(&mut self, now: Instant, events: &mut Vec<EngineEvent>) {
        match self.power {
            Power::FallingAsleep { level, until } if until <= now => {
                self.power = Power::Asleep { level };
                events.push(EngineEvent::Slept { at: until });
            }
            Power::Waking { until } if until <= now => {
                self.power = Power::Awake;
                self.clock = FineInstant::from_instant(until);
                events.push(EngineEvent::Woke { at: until });
            }
            Power::FallingAsleep { .. }
            | Power::Waking { .. }
            | Power::Asleep { .. }
            | Power::Awake => {}
        }
    }

    /// When an engine without a step under way starts one.
    fn idle_start(&self) -> Option<FineInstant> {
        // Whoever is first is not cancelled: cancelling and admitting both see to that.
        let first = *self.queue.front()?;
        let arrived_at = Instant::from_nanos(self.store.get(first).arrived_at_nanos);
        let arrived = FineInstant::from_instant(arrived_at);
        Some(if self.clock.has_reached(arrived_at) { self.clock } else { arrived })
    }

    /// Reports the tokens of the requests in the batch.
    fn report_tokens(&mut self, events: &mut Vec<EngineEvent>) {
        let at = self.clock;
        let mut next = self.store.batch_first();
        while let Some(slot) = next {
            self.report_tokens_of(slot, at, events);
            next = self.store.batch_next(slot);
        }
    }

    /// Reports the tokens of one request, the first one and those reported before left out.
    pub(crate) fn report_tokens_of(
        &mut self,
        slot: Slot,
        at: FineInstant,
        events: &mut Vec<EngineEvent>,
    ) {
        if self.detail < EventDetail::Tokens {
            return;
        }
        let entry = self.store.get_mut(slot);
        let generated = match entry.stage {
            Stage::Decoding => self.decodes.generated(entry),
            Stage::Waiting | Stage::Prefilling | Stage::Leaving => entry.generated,
        };
        let count = generated - entry.reported;
        if count > 0 && !entry.is_cancelled {
            entry.reported = generated;
            events.push(EngineEvent::Tokens { id: entry.request.id, at: at.ceil(), count });
        }
    }
}
