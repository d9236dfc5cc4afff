//! What the journal stores: one entry per tick and pool, and checkpoints between them.
//!
//! An entry is a row (pool, tick, time, kind, digest of memory) and a body in JSON. The body of a
//! tick holds what was seen and what was decided; the body of a checkpoint holds the memory and the
//! policy that the next tick is decided with, so that a replay can start there.
//!
//! **Invariant:** nothing here knows where entries are kept.

use std::fmt;
use std::str::FromStr;

use preheat_core::{Explanation, Instant, Memory, Observation, Plan, Policy, TickId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Version of the stored form, memory and explanations included. A file with another is refused.
pub const JOURNAL_VERSION: u32 = 7;

/// One entry of a pool's journal. As JSON, it is one line of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// Name of the pool.
    pub pool: String,
    /// The tick that was decided; of a checkpoint, the one that is decided next.
    pub tick: TickId,
    /// When, in the world's time.
    pub at: Instant,
    /// Digest of the memory that the tick left; of a checkpoint, of the memory in it.
    pub memory_digest: MemoryDigest,
    /// What happened.
    pub body: EntryBody,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EntryBody {
    /// A tick and its decision.
    Decided(Box<DecidedTick>),
    /// A tick whose decision broke an invariant and was dropped.
    Held(Box<HeldTick>),
    /// Everything that the next tick starts from.
    Checkpoint(Box<Checkpoint>),
}

/// A tick and its decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedTick {
    /// What was seen.
    pub observation: Observation,
    /// What was to be done.
    pub plan: Plan,
    /// Why.
    pub explanation: Explanation,
}

/// A tick whose decision broke an invariant: nothing was done, and memory stayed as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldTick {
    /// What was seen.
    pub observation: Observation,
    /// The plan that stood in: no step.
    pub plan: Plan,
    /// What was wrong with the decision.
    pub violation: ViolationRecord,
}

/// A broken invariant, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViolationRecord {
    /// As in `INVARIANTS.md`.
    pub id: String,
    /// What was seen.
    pub seen: String,
}

impl From<preheat_core::invariants::Violation> for ViolationRecord {
    fn from(violation: preheat_core::invariants::Violation) -> Self {
        Self { id: violation.id.to_owned(), seen: violation.seen }
    }
}

/// Everything that the next tick starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Why it was made.
    pub cause: CheckpointCause,
    /// What the next ticks are decided by.
    pub policy: Policy,
    /// What the ticks before left.
    pub memory: Memory,
}

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointCause {
    /// The process has begun to decide for this pool.
    Start,
    /// Time for the next one.
    Interval,
    /// The policy is another one from here.
    PolicyChange,
    /// Entries before it are missing: a tick was left out, or entries could not be written.
    Gap,
    /// The process ends.
    Shutdown,
}

impl EntryBody {
    /// Kinds of entries by name, as stored and as exported.
    pub const KINDS: [&str; 3] = ["decided", "held", "checkpoint"];

    /// Name of this kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Decided(_) => Self::KINDS[0],
            Self::Held(_) => Self::KINDS[1],
            Self::Checkpoint(_) => Self::KINDS[2],
        }
    }

    /// What was seen; a checkpoint saw nothing.
    pub const fn observation(&self) -> Option<&Observation> {
        match self {
            Self::Decided(tick) => Some(&tick.observation),
            Self::Held(tick) => Some(&tick.observation),
            Self::Checkpoint(_) => None,
        }
    }

    /// What was to be done; a checkpoint plans nothing.
    pub const fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Decided(tick) => Some(&tick.plan),
            Self::Held(tick) => Some(&tick.plan),
            Self::Checkpoint(_) => None,
        }
    }

    /// Why, where something was decided.
    pub const fn explanation(&self) -> Option<&Explanation> {
        match self {
            Self::Decided(tick) => Some(&tick.explanation),
            Self::Held(_) | Self::Checkpoint(_) => None,
        }
    }

    /// The broken invariant, if one was.
    pub const fn violation(&self) -> Option<&ViolationRecord> {
        match self {
            Self::Held(tick) => Some(&tick.violation),
            Self::Decided(_) | Self::Checkpoint(_) => None,
        }
    }
}

/// XXH3 over the postcard form of a [`Memory`]: finds a difference, proves no authorship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemoryDigest(pub u64);

impl MemoryDigest {
    /// Digest of `memory`.
    pub fn of(memory: &Memory) -> Self {
        let mut hasher = Xxh3::new();
        // Neither can fail: the hasher takes every byte, and memory knows the lengths of its lists.
        let _written = postcard::to_io(memory, &mut hasher);
        Self(hasher.digest())
    }
}

impl fmt::Display for MemoryDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text, because JavaScript rounds numbers beyond 2^53.
        write!(f, "{:016x}", self.0)
    }
}

impl From<MemoryDigest> for String {
    fn from(digest: MemoryDigest) -> Self {
        digest.to_string()
    }
}

/// Text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no digest: it must be 16 lower-case hexadecimal digits")]
pub struct DigestError(String);

impl FromStr for MemoryDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let parsed = u64::from_str_radix(text, 16).ok();
        parsed
            .filter(|_| text.len() == 16 && text.bytes().all(digits))
            .map(Self)
            .ok_or_else(|| DigestError(text.to_owned()))
    }
}

impl TryFrom<String> for MemoryDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use preheat_core::{LastTick, PolicySpec, RemovalAt, ReplicaId, ReplicaMemory, WorkTotals};
    use proptest::prelude::*;

    use super::*;

    fn checkpoint(memory: Memory) -> JournalEntry {
        let policy = PolicySpec::default().validate().unwrap();
        let memory_digest = MemoryDigest::of(&memory);
        let body = Checkpoint { cause: CheckpointCause::Start, policy, memory };
        JournalEntry {
            pool: "chat".to_owned(),
            tick: TickId(7),
            at: Instant::from_nanos(1_234_567_890_123_456_789),
            memory_digest,
            body: EntryBody::Checkpoint(Box::new(body)),
        }
    }

    /// The first field, one that is a map, and the last: all of memory is digested.
    #[test]
    fn whatever_differs_shows_in_the_digest() {
        let at = Instant::from_nanos(1);
        let last = Memory { last: Some(LastTick { tick: TickId(1), at }), ..Memory::default() };
        let replica = (ReplicaId(3), ReplicaMemory { inside: Some(2), ..Default::default() });
        let replicas = Memory { replicas: [replica].into(), ..Memory::default() };
        let removal = RemovalAt { at, count: 1, live: 2 };
        let removals = Memory { removals: [removal].into(), ..Memory::default() };
        let memories = [Memory::default(), last, replicas, removals];
        let digests: BTreeSet<u64> = memories.iter().map(|m| MemoryDigest::of(m).0).collect();
        assert_eq!(digests.len(), memories.len());
    }

    #[test]
    fn a_digest_is_sixteen_lower_case_digits() {
        assert_eq!(MemoryDigest(255).to_string(), "00000000000000ff");
        assert_eq!("00000000000000ff".parse(), Ok(MemoryDigest(255)));
        for bad in ["", "ff", "00000000000000FF", "+0000000000000ff", "000000000000000g"] {
            assert!(bad.parse::<MemoryDigest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let line = serde_json::to_string(&checkpoint(Memory::default())).unwrap();
        assert_eq!(
            serde_json::from_str::<JournalEntry>(&line).unwrap(),
            checkpoint(Memory::default())
        );
        for (place, with) in
            [("{\"pool\"", "{\"x\":1,\"pool\""), ("{\"cause\"", "{\"x\":1,\"cause\"")]
        {
            let more = line.replacen(place, with, 1);
            assert_ne!(more, line);
            let error = serde_json::from_str::<JournalEntry>(&more).unwrap_err().to_string();
            assert!(error.contains("unknown field `x`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn floats_survive_bit_for_bit(a in 0.0..f64::MAX, b in prop::num::f64::SUBNORMAL) {
            let work = WorkTotals { slot_seconds: a, prompt_tokens: b.abs(), ..Default::default() };
            let entry = checkpoint(Memory { work, ..Memory::default() });
            let line = serde_json::to_string(&entry).unwrap();
            let back: JournalEntry = serde_json::from_str(&line).unwrap();
            let EntryBody::Checkpoint(body) = &back.body else { panic!("{back:?}") };
            prop_assert_eq!(body.memory.work.slot_seconds.to_bits(), a.to_bits());
            prop_assert_eq!(body.memory.work.prompt_tokens.to_bits(), b.abs().to_bits());
            prop_assert_eq!(MemoryDigest::of(&body.memory), entry.memory_digest);
            prop_assert_eq!(back, entry);
        }
    }
}
