//! Planning a step and completing it, after vLLM V1's scheduler: the batch first in admission
//! order, then the queue; a token budget with chunked prefill; KV blocks; preemption of the last
//! admitted by recompute.
//!
//! Async scheduling plans a step while the one before it runs. That is modelled as planning at
//! the step's start, with arrivals up to the start of the step before, and with the slots and
//! blocks of requests that ended in that step still taken. They do not decode once more: vLLM
//! leaves out requests that it knows to be at their length limit.
//!
//! **Invariant:** blocks in use never exceed the blocks there are. At most one request is
//! part-way through its prompt, and it is the last of the batch.

use preheat_core::Instant;

use crate::engine::Engine;
use crate::event::{EngineEvent, EventDetail};
use crate::fine::FineInstant;
use crate::step::StepLoad;
use crate::store::{Slot, Stage};

/// The part of a prompt that one step computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    slot: Slot,
    tokens: u32,
}

/// The step under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) started: FineInstant,
    pub(crate) ends: FineInstant,
    pub(crate) load: StepLoad,
}

impl Engine {
    /// At the end of a step that started at `started`: passes decode steps that end by `now`,
    /// then plans the next.
    pub(crate) fn go_on(
        &mut self,
        started: FineInstant,
        now: Instant,
        events: &mut Vec<EngineEvent>,
    ) {
        let started = self.jump(started, now, events);
        let seen = if self.config.async_scheduling { started } else { self.clock };
        let planned = self.plan(seen, events);
        self.release_leaving();
        if !planned {
            // The engine ran dry, so it waits for the outputs and plans with all in view.
            self.plan(self.clock, events);
        }
    }

    /// Plans a step that starts at the clock and sees arrivals up to `seen`. False when there is
    /// nothing to compute.
    pub(crate) fn plan(&mut self, seen: FineInstant, events: &mut Vec<EngineEvent>) -> bool {
        let preemptions_before = self.counters.preemptions;
        let blocks_needed = self.decodes.blocks_needed();
        if blocks_needed <= self.blocks_free {
            self.blocks_free -= blocks_needed;
        } else {
            self.allocate_in_order(events);
        }
        let mut load = StepLoad {
            decode_seqs: self.decodes.len(),
            decode_context: self.decodes.context(),
            ..StepLoad::default()
        };
        self.continue_partial(&mut load, events);
        if self.counters.preemptions == preemptions_before {
            self.admit(seen, &mut load, events);
        }
        if load.tokens() == 0 {
            self.step = None;
            return false;
        }
        let femtos = self.config.profile.step_femtos(&load);
        self.step = Some(Step { started: self.clock, ends: self.clock.plus(femtos), load });
        true
    }

    /// Gives decodes their blocks one by one, preempting the last of the batch when none is left.
    fn allocate_in_order(&mut self, events: &mut Vec<EngineEvent>) {
        let mut next = self.store.batch_first();
        while let Some(slot) = next {
            let entry = self.store.get(slot);
            if entry.stage == Stage::Decoding && self.decodes.needs_block(entry) {
                while self.blocks_free == 0 {
                    let Some(last) = self.store.batch_last() else { return };
                    self.preempt(last, events);
                    if last == slot {
                        return;
                    }
                }
                self.blocks_free -= 1;
            }
            next = self.store.batch_next(slot);
        }
    }

    /// Goes on with the prompt that did not fit the step before.
    fn continue_partial(&mut self, load: &mut StepLoad, events: &mut Vec<EngineEvent>) {
        let Some(slot) = self.partial else { return };
        let entry = self.store.get(slot);
        let budget = self.config.max_num_batched_tokens - load.tokens();
        let tokens = (entry.target - entry.computed).min(budget);
        let blocks = self.blocks_for(entry.computed + tokens) - self.blocks_for(entry.computed);
        if blocks > self.blocks_free {
            self.preempt(slot, events);
            return;
        }
        *load = load.with_prefill(entry.computed, tokens);
        self.blocks_free -= blocks;
        self.chunks.push(Chunk { slot, tokens });
    }

    /// Admits from the queue until the first that has to wait.
    fn admit(&mut self, seen: FineInstant, load: &mut StepLoad, events: &mut Vec<EngineEvent>) {
        let budget_max = self.config.max_num_batched_tokens;
        while load.tokens() < budget_max {
            let Some(slot) = self.queue_first() else { return };
            let entry = self.store.get(slot);
            let arrived_at = Instant::from_nanos(entry.arrived_at_nanos);
            if !seen.has_reached(arrived_at) || self.is_blocked(slot) {
                return;
            }
            let tokens = entry.target.min(budget_max - load.tokens());
            *load = load.with_prefill(0, tokens);
            self.blocks_free -= self.blocks_for(tokens);
            self.chunks.push(Chunk { slot, tokens });
            self.queue.pop_front();
            self.waiting -= 1;
            self.store.batch_push(slot);
            self.admissions += 1;
            let (admission, at) = (self.admissions, self.clock.ceil());
            let entry = self.store.get_mut(slot);
            entry.stage = Stage::Prefilling;
            entry.admission = admission;
            let id = entry.request.id;
            events.push(if std::mem::replace(&mut entry.was_scheduled, true) {
                EngineEvent::Resumed { id, at }
            } else {
                EngineEvent::Scheduled { id, at }
            });
        }
    }

    /// First of the queue; cancelled ones before it are let out.
    pub(crate) fn queue_first(&mut self) -> Option<Slot> {
        loop {
            let slot = *self.queue.front()?;
            if !self.store.get(slot).is_cancelled {
                return Some(slot);
            }
            self.queue.pop_front();
            self.store.free_slot(slot);
        }
    }

    /// Whether a waiting request has no slot, or its whole prompt no blocks.
    pub(crate) fn is_blocked(&self, slot: Slot) -> bool {
        let seqs = self.store.batch_len() + self.leaving.len() as u32;
        let blocks = self.blocks_for(self.store.get(slot).target);
        seqs >= self.config.max_num_seqs.get() || blocks > self.blocks_free
    }

    /// Throws a request out of the batch, to the front of the queue.
    fn preempt(&mut self, slot: Slot, events: &mut Vec<EngineEvent>) {
        self.report_tokens_of(slot, self.clock, events);
        self.leave_batch(slot);
        self.blocks_free += self.blocks_for(self.store.get(slot).computed);
        if self.partial == Some(slot) {
            self.partial = None;
        }
        let entry = self.store.get_mut(slot);
        entry.stage = Stage::Waiting;
        entry.computed = 0;
        entry.target = entry.request.prompt_tokens + entry.generated;
        events.push(EngineEvent::Preempted { id: entry.request.id, at: self.clock.ceil() });
        self.queue.push_front(slot);
        self.waiting += 1;
        self.counters.preemptions += 1;
        self.decodes.sweep(&self.store);
    }

    /// Takes a request out of the batch; it keeps its blocks.
    fn leave_batch(&mut self, slot: Slot) {
        self.store.batch_remove(slot);
        let entry = self.store.get_mut(slot);
        if entry.stage == Stage::Decoding {
            self.decodes.leave(entry);
        }
        entry.stage = Stage::Leaving;
    }

    /// Ends the step under way: tokens come out, requests finish or begin to decode, and clients
    /// that hung up are let go.
    pub(crate) fn complete(&mut self, step: Step, events: &mut Vec<EngineEvent>) {
        self.clock = step.ends;
        self.step = None;
        self.pass_decodes(1);
        self.report_steps(step.started, 1, &step.load, events);
        self.finish_due(events);
        self.complete_chunks(events);
        while let Some(id) = self.cancelled.pop() {
            if let Some(slot) = self.store.slot(id) {
                if self.partial == Some(slot) {
                    self.partial = None;
                }
                if self.store.get(slot).stage != Stage::Leaving {
                    self.leave_batch(slot);
                    self.release(slot);
                }
            }
        }
        self.decodes.sweep(&self.store);
    }

    /// Passes `steps` steps of the decodes.
    pub(crate) fn pass_decodes(&mut self, steps: u32) {
        self.decodes.pass(steps);
        let tokens = u64::from(steps) * u64::from(self.decodes.len());
        self.counters.generation_tokens += tokens;
    }

    /// Counts and reports steps that ended at the clock.
    pub(crate) fn report_steps(
        &mut self,
        started: FineInstant,
        steps: u32,
        load: &StepLoad,
        events: &mut Vec<EngineEvent>,
    ) {
        let tokens = load.tokens();
        self.counters.steps += u64::from(steps);
        self.counters.step_tokens += u64::from(steps) * u64::from(tokens);
        if self.detail >= EventDetail::Steps {
            let (started_at, at) = (started.ceil(), self.clock.ceil());
            let decode_seqs = load.decode_seqs;
            events.push(EngineEvent::Step { started_at, at, steps, tokens, decode_seqs });
        }
    }

    /// Ends the decodes that generated their last token.
    pub(crate) fn finish_due(&mut self, events: &mut Vec<EngineEvent>) {
        while let Some(slot) = self.decodes.pop_finished(&self.store) {
            self.finish(slot, events);
        }
    }

    fn finish(&mut self, slot: Slot, events: &mut Vec<EngineEvent>) {
        self.report_tokens_of(slot, self.clock, events);
        self.leave_batch(slot);
        let entry = self.store.get(slot);
        if !entry.is_cancelled {
            let (id, tokens) = (entry.request.id, entry.generated);
            self.counters.finished += 1;
            events.push(EngineEvent::Finished { id, at: self.clock.ceil(), tokens });
        }
        self.release(slot);
    }

    /// Ends the prefill chunks of the step: whole prompts yield a token.
    fn complete_chunks(&mut self, events: &mut Vec<EngineEvent>) {
        self.partial = None;
        let chunks = std::mem::take(&mut self.chunks);
        for Chunk { slot, tokens } in &chunks {
            let (slot, at) = (*slot, self.clock.ceil());
            let entry = self.store.get_mut(slot);
            entry.computed += tokens;
            if entry.computed < entry.target {
                self.partial = Some(slot);
                continue;
            }
            entry.generated += 1;
            self.counters.generation_tokens += 1;
            let is_last = entry.generated == entry.request.output_tokens;
            if entry.generated == 1 {
                entry.reported = 1;
                self.counters.prompt_tokens += u64::from(entry.request.prompt_tokens);
                if !entry.is_cancelled {
                    events.push(EngineEvent::FirstToken { id: entry.request.id, at });
                }
            }
            if is_last {
                self.finish(slot, events);
            } else {
                self.decodes.join(slot, self.store.get_mut(slot));
            }
        }
        self.chunks = chunks;
        self.chunks.clear();
    }

    /// Gives back the slot and blocks of a request that left the batch: at once, or when the next
    /// step is planned.
    fn release(&mut self, slot: Slot) {
        if self.config.async_scheduling {
            self.leaving.push(slot);
        } else {
            self.let_out(slot);
        }
    }

    /// Gives back the slots and blocks of all that left.
    pub(crate) fn release_leaving(&mut self) {
        while let Some(slot) = self.leaving.pop() {
            self.let_out(slot);
        }
    }

    fn let_out(&mut self, slot: Slot) {
        self.blocks_free += self.blocks_for(self.store.get(slot).computed);
        self.store.remove(slot);
    }

    /// Blocks that hold `tokens` tokens.
    fn blocks_for(&self, tokens: u32) -> u64 {
        u64::from(tokens.div_ceil(self.config.block_size))
    }
}
