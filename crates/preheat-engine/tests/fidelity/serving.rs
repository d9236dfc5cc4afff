//! vLLM under a closed loop of clients, as it was measured, and the engine model under the same.
//!
//! **Invariant:** nothing but [`preheat_engine::HostTime`] is fitted to these rows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use preheat_core::Instant;
use preheat_engine::{
    Engine, EngineConfig, EngineEvent, EngineProfile, EngineRequest, EventDetail, RequestId,
};

use crate::rows::{self, Row, RowError};

/// Answers that a run waits for before it measures, and that it measures, per client.
const WARM_UP_ROUNDS: u64 = 3;
const ROUNDS: u64 = 8;

/// One row of `serving_rows.csv`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    /// Clients, each of which sends its next request when it has its answer.
    pub(crate) concurrency: u32,
    pub(crate) ttft_ms: f64,
    pub(crate) tpot_ms: f64,
}

/// Means over the answers of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modelled {
    pub(crate) ttft_ms: f64,
    pub(crate) tpot_ms: f64,
}

/// How the clients of a loop begin. Answers of equal length keep them as they began for ever in an
/// exact model; real ones drift, so that what is measured lies somewhere between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// One after the other, over the time of one answer.
    Spread,
    /// All at once.
    Together,
}

/// The rows of a profile.
pub(crate) fn of(profile: &EngineProfile) -> Result<Vec<Served>, RowError> {
    rows::of(include_str!("../data/serving_rows.csv"), profile.name)?
        .iter()
        .map(Served::read)
        .collect()
}

impl Served {
    fn read(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self {
            prompt_tokens: row.number("prompt_tokens")?,
            output_tokens: row.number("output_tokens")?,
            concurrency: row.number("concurrency")?,
            ttft_ms: row.number("ttft_ms")?,
            tpot_ms: row.number("tpot_ms")?,
        })
    }

    /// Whether the clients' requests fit the KV cache at once: where they don't, what is measured
    /// is the length of a queue.
    pub(crate) fn fits(&self, profile: &EngineProfile) -> bool {
        let tokens = u64::from(self.prompt_tokens) + u64::from(self.output_tokens);
        u64::from(self.concurrency) * tokens <= profile.kv_capacity_tokens
    }

    /// The same loop on an engine as it is configured.
    pub(crate) fn model(&self, config: EngineConfig, begin: Begin) -> Modelled {
        let clients = u64::from(self.concurrency);
        let (skipped, wanted) = (clients * WARM_UP_ROUNDS, clients * (WARM_UP_ROUNDS + ROUNDS));
        let mut engine = Engine::new(config).with_detail(EventDetail::Requests);
        let mut sent: BTreeMap<RequestId, (Instant, Instant)> = BTreeMap::new();
        let (mut next_id, mut finished) = (0_u64, 0_u64);
        let (mut ttft_s, mut tpot_s) = (0.0, 0.0);
        let mut events = Vec::new();
        let first = |client| match begin {
            Begin::Spread => self.first_of(client),
            Begin::Together => Instant::ORIGIN,
        };
        let mut due: VecDeque<Instant> = (0..clients).map(first).collect();
        while finished < wanted {
            let next = due.front().copied().into_iter().chain(engine.next_event_at()).min();
            let Some(now) = next else { break };
            engine.advance(now, &mut events);
            while due.front().is_some_and(|at| *at <= now) {
                due.pop_front();
                let id = RequestId(next_id);
                next_id += 1;
                let (prompt_tokens, output_tokens) = (self.prompt_tokens, self.output_tokens);
                let request = EngineRequest { id, prompt_tokens, output_tokens };
                if engine.submit(now, request).is_ok() {
                    sent.insert(id, (now, now));
                }
            }
            for event in events.drain(..) {
                if let EngineEvent::FirstToken { id, at } = event {
                    if let Some((_, first_token_at)) = sent.get_mut(&id) {
                        *first_token_at = at;
                    }
                } else if let EngineEvent::Finished { id, at, tokens } = event {
                    let Some((sent_at, first_token_at)) = sent.remove(&id) else { continue };
                    finished += 1;
                    due.push_back(at);
                    if finished > skipped {
                        ttft_s += first_token_at.since(sent_at).as_secs_f64();
                        tpot_s += at.since(first_token_at).as_secs_f64() / f64::from(tokens - 1);
                    }
                }
            }
        }
        let measured = finished.saturating_sub(skipped).max(1) as f64;
        Modelled { ttft_ms: ttft_s / measured * 1e3, tpot_ms: tpot_s / measured * 1e3 }
    }

    /// When a client begins, as its share of an answer's time.
    fn first_of(&self, client: u64) -> Instant {
        let answer_s = f64::from(self.output_tokens) * self.tpot_ms / 1e3;
        let share = client as f64 / f64::from(self.concurrency);
        Instant::ORIGIN.saturating_add(Duration::from_secs_f64(answer_s * share))
    }
}
