//! Step times that were not computed here, and what the engine model makes of the same steps.
//! Shared by the tests beside it and by the examples.
//! Host time is left out of both.
//!
//! **Invariant:** what the engine can be brought into by requests alone is timed on a running
//! [`Engine`]; only what it can't (a cached prefix, a chosen mix) is asked of its [`StepLoad`].

use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_engine::{
    Engine, EngineConfig, EngineEvent, EngineProfile, EngineRequest, EventDetail, RequestId,
    StepLoad,
};

use crate::rows::{self, RowError};

/// What a step is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// One token of each sequence: its time is the TPOT at this batch and context.
    Decode,
    /// Whole prompts on an idle engine: its time is their TTFT.
    Prompt,
    /// A chunk of a prompt behind a part that is computed already.
    Chunk,
    /// A prompt beside decodes.
    Mixed,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Decode, Self::Prompt, Self::Chunk, Self::Mixed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Prompt => "prompt",
            Self::Chunk => "chunk",
            Self::Mixed => "mixed",
        }
    }
}

/// One row of a table of points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) kind: Kind,
    pub(crate) prefill_seqs: u32,
    /// Of each sequence in prefill.
    pub(crate) prompt_tokens: u32,
    /// Of each sequence in prefill, computed already.
    pub(crate) cached_tokens: u32,
    pub(crate) decode_seqs: u32,
    /// Of each sequence that decodes.
    pub(crate) context: u32,
    pub(crate) ms: f64,
}

/// The points of a profile in a table; none of one that is derived from another.
pub(crate) fn of(profile: &EngineProfile, table: &str) -> Result<Vec<Point>, RowError> {
    let name = profile.origin.split(' ').next().unwrap_or_default();
    rows::of(table, name)?.iter().map(Point::read).collect()
}

impl Point {
    fn read(row: &rows::Row<'_>) -> Result<Self, RowError> {
        let prefill_seqs = row.number("prefill_seqs")?;
        let new_tokens: u32 = row.number("new_prefill_tokens")?;
        let cached_tokens = row.number("prefix_tokens_per_seq")?;
        let decode_seqs = row.number("decode_seqs")?;
        let kind = match (prefill_seqs, cached_tokens, decode_seqs) {
            (0, ..) => Kind::Decode,
            (_, 0, 0) => Kind::Prompt,
            (_, _, 0) => Kind::Chunk,
            _ => Kind::Mixed,
        };
        Ok(Self {
            kind,
            prefill_seqs,
            prompt_tokens: new_tokens / prefill_seqs.max(1),
            cached_tokens,
            decode_seqs,
            context: row.number("kv_tokens_per_decode_seq")?,
            ms: row.number("step_ms")?,
        })
    }

    /// What the model makes of it, as a share of the point: 0.02 is 2 % too long.
    pub(crate) fn error(&self, profile: &EngineProfile) -> f64 {
        let took = match self.kind {
            Kind::Decode => step_of_engine(profile, self.decode_seqs, self.context - 1, true),
            Kind::Prompt => step_of_engine(profile, self.prefill_seqs, self.prompt_tokens, false),
            Kind::Chunk | Kind::Mixed => profile.step.step_time(&self.load()),
        };
        took.as_secs_f64() * 1e3 / self.ms - 1.0
    }

    pub(crate) fn load(&self) -> StepLoad {
        let decode_context = u64::from(self.decode_seqs) * u64::from(self.context);
        let decodes =
            StepLoad { decode_seqs: self.decode_seqs, decode_context, ..StepLoad::default() };
        (0..self.prefill_seqs)
            .fold(decodes, |load, _| load.with_prefill(self.cached_tokens, self.prompt_tokens))
    }

    /// What it is a point of, in words.
    pub(crate) fn describe(&self) -> String {
        let Self { prefill_seqs, prompt_tokens, cached_tokens, decode_seqs, context, .. } = self;
        match self.kind {
            Kind::Decode => format!("{decode_seqs} sequences of {context}"),
            Kind::Prompt => format!("{prefill_seqs} prompts of {prompt_tokens}"),
            Kind::Chunk => format!("{prefill_seqs} × {prompt_tokens} behind {cached_tokens}"),
            Kind::Mixed => format!("prompt of {prompt_tokens}, {decode_seqs} decodes at {context}"),
        }
    }
}

/// The time of the step that makes first tokens of `seqs` prompts, or of the one after it, on an
/// engine without other limits.
fn step_of_engine(
    profile: &EngineProfile,
    seqs: u32,
    prompt_tokens: u32,
    second: bool,
) -> Duration {
    /// Above all points.
    const TOKENS_MAX: u32 = 1 << 26;
    let max_num_seqs = Concurrency::new(seqs).unwrap_or(profile.max_num_seqs);
    let mut engine = Engine::new(EngineConfig {
        max_num_seqs,
        max_num_batched_tokens: TOKENS_MAX,
        kv_capacity_tokens: TOKENS_MAX.into(),
        max_model_len: TOKENS_MAX,
        profile: profile.step,
        ..EngineConfig::for_profile(profile)
    })
    .with_detail(EventDetail::Requests);
    for id in 0..seqs {
        let id = RequestId(id.into());
        let taken =
            engine.submit(Instant::ORIGIN, EngineRequest { id, prompt_tokens, output_tokens: 2 });
        debug_assert_eq!(taken, Ok(()));
    }
    let mut events = Vec::new();
    engine.advance(Instant::from_nanos(u64::MAX), &mut events);
    let (mut first, mut last) = (Instant::ORIGIN, Instant::ORIGIN);
    for event in events {
        if let EngineEvent::FirstToken { at, .. } = event {
            first = at;
        } else if let EngineEvent::Finished { at, .. } = event {
            last = at;
        }
    }
    if second { last.since(first) } else { first.since(Instant::ORIGIN) }
}
