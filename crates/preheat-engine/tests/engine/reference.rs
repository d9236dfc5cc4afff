//! The engine against a naive model of the same scheduler: one loop over the batch per step,
//! nothing lazy, nothing closed-form. Both must agree to the nanosecond.

use std::collections::VecDeque;

use preheat_core::Instant;
use preheat_engine::{
    Engine, EngineConfig, EngineEvent, EngineRequest, EventDetail, RequestId, StepLoad, Stepping,
};
use proptest::prelude::*;

use crate::common::{Action, advance_all, config, run, workload};

const FEMTOS_PER_NANO: u128 = 1_000_000;

#[derive(Clone, Debug)]
struct Request {
    request: EngineRequest,
    arrived_at: u128,
    generated: u32,
    computed: u32,
    blocks: u64,
    was_scheduled: bool,
    is_cancelled: bool,
    has_ended: bool,
    /// Its prompt is computed: one token a step.
    is_decoding: bool,
    chunk: u32,
}

/// The naive scheduler. Times are femtoseconds.
struct Reference {
    config: EngineConfig,
    queue: VecDeque<Request>,
    batch: Vec<Request>,
    /// Ended, not seen to have ended by the plan yet.
    ended: Vec<Request>,
    blocks_free: u64,
    clock: u128,
    /// Start and end of the step under way.
    step: Option<(u128, u128)>,
    events: Vec<EngineEvent>,
}

impl Reference {
    fn new(config: EngineConfig) -> Self {
        Self {
            blocks_free: config.kv_capacity_tokens / u64::from(config.block_size),
            config,
            queue: VecDeque::new(),
            batch: Vec::new(),
            ended: Vec::new(),
            clock: 0,
            step: None,
            events: Vec::new(),
        }
    }

    fn at(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.clock.div_ceil(FEMTOS_PER_NANO)).unwrap())
    }

    fn blocks(&self, tokens: u32) -> u64 {
        u64::from(tokens).div_ceil(u64::from(self.config.block_size))
    }

    fn submit(&mut self, now: Instant, request: EngineRequest) {
        self.queue.push_back(Request {
            request,
            arrived_at: u128::from(now.as_nanos()) * FEMTOS_PER_NANO,
            generated: 0,
            computed: 0,
            blocks: 0,
            was_scheduled: false,
            is_cancelled: false,
            has_ended: false,
            is_decoding: false,
            chunk: 0,
        });
    }

    fn cancel(&mut self, id: RequestId) {
        self.queue.retain(|r| r.request.id != id);
        for r in &mut self.batch {
            r.is_cancelled |= r.request.id == id;
        }
    }

    fn advance(&mut self, now: Instant) {
        let now = u128::from(now.as_nanos()) * FEMTOS_PER_NANO;
        loop {
            if let Some((started, ends)) = self.step {
                if ends > now {
                    return;
                }
                self.clock = ends;
                self.complete();
                let seen = if self.config.async_scheduling { started } else { ends };
                let planned = self.plan(seen);
                for ended in std::mem::take(&mut self.ended) {
                    self.blocks_free += ended.blocks;
                }
                if !planned {
                    self.plan(self.clock);
                }
            } else {
                let Some(first) = self.queue.front() else { return };
                let start = first.arrived_at.max(self.clock);
                if start > now {
                    return;
                }
                self.clock = start;
                self.plan(start);
            }
        }
    }

    fn complete(&mut self) {
        let at = self.at();
        self.step = None;
        for r in &mut self.batch {
            if r.chunk == 0 {
                continue;
            }
            r.computed += r.chunk;
            r.chunk = 0;
            if r.computed < r.request.prompt_tokens + r.generated {
                continue;
            }
            r.generated += 1;
            r.is_decoding = true;
            let id = r.request.id;
            if r.generated == 1 && !r.is_cancelled {
                self.events.push(EngineEvent::FirstToken { id, at });
            }
            if r.generated == r.request.output_tokens {
                r.has_ended = true;
                if !r.is_cancelled {
                    let tokens = r.generated;
                    self.events.push(EngineEvent::Finished { id, at, tokens });
                }
            }
        }
        let (ended, batch): (Vec<_>, Vec<_>) = std::mem::take(&mut self.batch)
            .into_iter()
            .partition(|r| r.has_ended || r.is_cancelled);
        self.batch = batch;
        if self.config.async_scheduling {
            self.ended = ended;
        } else {
            self.blocks_free += ended.iter().map(|r| r.blocks).sum::<u64>();
        }
    }

    fn preempt_last(&mut self) {
        let Some(mut last) = self.batch.pop() else { return };
        self.blocks_free += last.blocks;
        last.blocks = 0;
        last.computed = 0;
        last.is_decoding = false;
        let at = self.at();
        self.events.push(EngineEvent::Preempted { id: last.request.id, at });
        self.queue.push_front(last);
    }

    fn plan(&mut self, seen: u128) -> bool {
        let mut load = StepLoad::default();
        let mut budget = self.config.max_num_batched_tokens;
        let mut preempted = false;
        let mut i = 0;
        'batch: while i < self.batch.len() {
            let r = &self.batch[i];
            let known = r.request.prompt_tokens + r.generated;
            let tokens = (known - r.computed).min(budget);
            let blocks = self.blocks(r.computed + tokens) - r.blocks;
            while blocks > self.blocks_free {
                self.preempt_last();
                preempted = true;
                if i == self.batch.len() {
                    break 'batch;
                }
            }
            self.blocks_free -= blocks;
            budget -= tokens;
            let r = &mut self.batch[i];
            r.blocks += blocks;
            r.chunk = tokens;
            if r.is_decoding {
                load.decode_seqs += 1;
                load.decode_context += u64::from(known);
            } else {
                load = load.with_prefill(r.computed, tokens);
            }
            i += 1;
        }
        while !preempted && budget > 0 {
            let seqs = self.batch.len() + self.ended.len();
            let Some(first) = self.queue.front() else { break };
            let known = first.request.prompt_tokens + first.generated;
            if first.arrived_at > seen
                || seqs >= self.config.max_num_seqs.get() as usize
                || self.blocks(known) > self.blocks_free
            {
                break;
            }
            let Some(mut r) = self.queue.pop_front() else { break };
            r.chunk = known.min(budget);
            r.blocks = self.blocks(r.chunk);
            self.blocks_free -= r.blocks;
            budget -= r.chunk;
            load = load.with_prefill(0, r.chunk);
            let (id, at) = (r.request.id, self.at());
            self.events.push(if r.was_scheduled {
                EngineEvent::Resumed { id, at }
            } else {
                EngineEvent::Scheduled { id, at }
            });
            r.was_scheduled = true;
            self.batch.push(r);
        }
        if load.tokens() == 0 {
            return false;
        }
        let femtos = u128::from(self.config.profile.step_femtos(&load));
        self.step = Some((self.clock, self.clock + femtos));
        true
    }
}

fn run_reference(config: EngineConfig, actions: &[(Instant, Action)]) -> Vec<EngineEvent> {
    let mut reference = Reference::new(config);
    for (at, action) in actions {
        reference.advance(*at);
        match action {
            Action::Submit(request) => reference.submit(*at, *request),
            Action::Cancel(id) => reference.cancel(*id),
            Action::Nothing => {}
        }
    }
    reference.advance(advance_all());
    reference.events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_engine_equals_the_naive_model(
        config in config(),
        actions in workload(60),
    ) {
        let expected = run_reference(config, &actions);
        for stepping in [Stepping::EachStep, Stepping::Jump] {
            let engine = Engine::new(config).with_stepping(stepping);
            let (_, events) = run(engine.with_detail(EventDetail::Requests), &actions);
            prop_assert_eq!(&events, &expected, "{:?}", stepping);
        }
    }
}
