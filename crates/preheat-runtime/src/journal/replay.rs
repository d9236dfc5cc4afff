//! Deciding a journal's ticks once more: to prove that nothing but the observation decided, and to
//! find the memory that a process ended with.
//!
//! Each pool is followed from its first checkpoint. A tick is decided with the policy and the memory
//! at hand, and what comes out is compared with what is recorded, bit for bit: the plan and the
//! explanation as JSON (whose floats round-trip), the memory by its digest, and whole at each
//! checkpoint. Where entries are missing, the next checkpoint is the new beginning.
//!
//! **Invariant:** every tick is counted exactly once: agreed, differing, or skipped.

use std::collections::BTreeMap;

use preheat_api::journal::{
    Checkpoint, CheckpointCause, DecidedTick, EntryBody, HeldTick, JournalEntry, MemoryDigest,
};
use preheat_core::{Decision, Instant, Memory, Policy, TickId};
use serde::Serialize;
use serde_json::Value;

use super::error::JournalError;
use super::reader::{JournalReader, Selection, StoredEntry};
use crate::controller::{Held, judge};

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplayReport {
    /// Ticks in the journal.
    pub records: u64,
    /// Ticks that came out as recorded.
    pub agreed: u64,
    /// Ticks that came out otherwise.
    pub differed: u64,
    /// Ticks that could not be checked: those between missing entries and the next checkpoint.
    pub skipped: u64,
    /// Checkpoints whose memory was compared and was as expected.
    pub checkpoints_agreed: u64,
    /// The first difference, in the order of writing.
    pub first_difference: Option<Difference>,
}

impl ReplayReport {
    /// Whether nothing that could be checked came out otherwise.
    pub const fn agrees(&self) -> bool {
        self.first_difference.is_none()
    }
}

/// Where a replay came out otherwise than recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// In which pool.
    pub pool: String,
    /// At which tick.
    pub tick: TickId,
    /// When.
    pub at: Instant,
    /// In what: the path to the first value that differs, such as `plan.desired`.
    pub what: String,
    /// The value in the journal, as JSON.
    pub recorded: String,
    /// The value that came out, as JSON.
    pub redecided: String,
}

/// Decides every tick of the journal once more, of one pool or of all.
///
/// # Errors
/// When the journal, or an entry of it, can't be read.
pub fn replay(reader: &JournalReader, pool: Option<&str>) -> Result<ReplayReport, JournalError> {
    let selection = Selection { pool: pool.map(str::to_owned), ..Selection::default() };
    let mut report = ReplayReport::default();
    let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
    for stored in reader.entries(selection) {
        let entry = stored?.entry;
        let track = tracks.entry(entry.pool.clone()).or_default();
        let found = match &entry.body {
            EntryBody::Checkpoint(checkpoint) => {
                let checked = track.meet(&entry, checkpoint);
                report.checkpoints_agreed += u64::from(matches!(checked, Checked::Agrees));
                checked
            }
            EntryBody::Decided(_) | EntryBody::Held(_) => {
                let checked = track.follow(&entry);
                // All that follows would differ as well, and say nothing.
                track.whole &= !track.strayed;
                report.records += 1;
                match &checked {
                    Checked::Agrees => report.agreed += 1,
                    Checked::Differs(_) => report.differed += 1,
                    Checked::Skipped => report.skipped += 1,
                }
                checked
            }
        };
        if let Checked::Differs(difference) = found {
            report.first_difference.get_or_insert(*difference);
        }
    }
    Ok(report)
}

/// What a process ended with, as far as the journal tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// What the last recorded tick left.
    pub memory: Memory,
    /// What it was decided by.
    pub policy: Policy,
    /// Time of the last entry used.
    pub at: Instant,
    /// Ticks decided once more since the last checkpoint.
    pub redecided: u64,
    /// How many of them came out otherwise than recorded, as they may after an upgrade.
    pub differed: u64,
    /// Ticks that entries are missing before, and that could not be used.
    pub skipped: u64,
}

/// Finds the memory that the last recorded tick of `pool` left: the last checkpoint's, and every tick
/// after it decided once more. A process that was killed loses nothing but what was not yet stored.
///
/// # Errors
/// When the journal, or an entry of it, can't be read.
pub fn restore(reader: &JournalReader, pool: &str) -> Result<Option<Restored>, JournalError> {
    let Some(last) = reader.last_checkpoint(pool)? else { return Ok(None) };
    let after_seq = last.seq;
    let StoredEntry { entry, .. } = last;
    let EntryBody::Checkpoint(checkpoint) = &entry.body else { return Ok(None) };
    let mut restored = Restored {
        memory: Memory::default(),
        policy: checkpoint.policy.clone(),
        at: entry.at,
        redecided: 0,
        differed: 0,
        skipped: 0,
    };
    let mut track = Track::default();
    if let Checked::Differs(_) = track.meet(&entry, checkpoint) {
        restored.differed += 1;
    }
    let pool = Some(pool.to_owned());
    for stored in reader.entries(Selection { pool, after_seq, ..Selection::default() }) {
        let entry = stored?.entry;
        if let EntryBody::Checkpoint(checkpoint) = &entry.body {
            // Written since the last one was looked up.
            track.meet(&entry, checkpoint);
            restored.policy = checkpoint.policy.clone();
            continue;
        }
        match track.follow(&entry) {
            Checked::Agrees => restored.redecided += 1,
            Checked::Differs(_) => {
                restored.redecided += 1;
                restored.differed += 1;
            }
            Checked::Skipped => {
                restored.skipped += 1;
                continue;
            }
        }
        restored.at = entry.at;
    }
    restored.memory = track.memory;
    Ok(Some(restored))
}

/// One pool, followed from entry to entry.
#[derive(Default)]
struct Track {
    policy: Option<Policy>,
    memory: Memory,
    /// The tick that must come next.
    next: TickId,
    /// Whether memory is known to be what the process had.
    whole: bool,
    /// Whether the last tick left another memory than the process had after it.
    strayed: bool,
}

enum Checked {
    Agrees,
    Differs(Box<Difference>),
    Skipped,
}

impl Track {
    /// Compares memory with a checkpoint's, and goes on from the checkpoint.
    fn meet(&mut self, entry: &JournalEntry, checkpoint: &Checkpoint) -> Checked {
        let digest = MemoryDigest::of(&checkpoint.memory);
        let begins = match checkpoint.cause {
            // A process may begin with another memory than the one before ended with.
            CheckpointCause::Start | CheckpointCause::Gap => true,
            CheckpointCause::Interval
            | CheckpointCause::PolicyChange
            | CheckpointCause::Shutdown => false,
        };
        let expected = self.whole && !begins && self.next == entry.tick;
        let checked = if digest != entry.memory_digest {
            differs(entry, "memory_digest", &entry.memory_digest, &digest)
        } else if !expected {
            Checked::Skipped
        } else {
            compare(entry, [unequal("memory", &checkpoint.memory, &self.memory)])
        };
        self.policy = Some(checkpoint.policy.clone());
        self.memory = checkpoint.memory.clone();
        self.next = entry.tick;
        self.whole = true;
        self.strayed = false;
        checked
    }

    /// Decides a tick once more.
    fn follow(&mut self, entry: &JournalEntry) -> Checked {
        let Some(policy) = self.policy.as_ref().filter(|_| self.whole) else {
            return Checked::Skipped;
        };
        let Some(observation) = entry.body.observation() else { return Checked::Skipped };
        if entry.tick != self.next {
            self.whole = false;
            return Checked::Skipped;
        }
        let again = judge(policy, &self.memory, observation);
        let checked = match &entry.body {
            EntryBody::Decided(tick) => compare_decided(entry, tick, again.as_ref()),
            EntryBody::Held(tick) => compare_held(entry, tick, again.as_ref()),
            EntryBody::Checkpoint(_) => Checked::Skipped,
        };
        if let Ok(decision) = again {
            self.memory = decision.memory;
        }
        self.next = TickId(entry.tick.0.wrapping_add(1));
        let digest = MemoryDigest::of(&self.memory);
        self.strayed = digest != entry.memory_digest;
        if self.strayed && matches!(checked, Checked::Agrees) {
            return differs(entry, "memory_digest", &entry.memory_digest, &digest);
        }
        checked
    }
}

fn compare_decided(
    entry: &JournalEntry,
    recorded: &DecidedTick,
    again: Result<&Decision, &Held>,
) -> Checked {
    let again = match again {
        Ok(again) => again,
        Err(held) => return differs(entry, "violation", &Value::Null, &held.violation),
    };
    compare(
        entry,
        [
            unequal("plan", &recorded.plan, &again.plan),
            unequal("explanation", &recorded.explanation, &again.explanation),
        ],
    )
}

fn compare_held(
    entry: &JournalEntry,
    recorded: &HeldTick,
    again: Result<&Decision, &Held>,
) -> Checked {
    let Err(again) = again else {
        return differs(entry, "violation", &recorded.violation, &Value::Null);
    };
    compare(
        entry,
        [
            unequal("plan", &recorded.plan, &again.plan),
            unequal("violation", &recorded.violation, &again.violation),
        ],
    )
}

/// Two values under one name that should be equal and are not.
struct Unequal {
    what: String,
    recorded: Value,
    redecided: Value,
}

/// `None` when both have the same JSON. Text, because `==` takes -0.0 for 0.0.
fn unequal<T: Serialize>(name: &str, recorded: &T, redecided: &T) -> Option<Unequal> {
    let text = |value: &T| serde_json::to_vec(value).unwrap_or_default();
    (text(recorded) != text(redecided)).then(|| {
        let (recorded, redecided) = (json(recorded), json(redecided));
        let mut what = name.to_owned();
        let (left, right) = first_unequal(&mut what, &recorded, &redecided);
        let (recorded, redecided) = (left.clone(), right.clone());
        Unequal { what, recorded, redecided }
    })
}

fn compare(entry: &JournalEntry, parts: impl IntoIterator<Item = Option<Unequal>>) -> Checked {
    match parts.into_iter().flatten().next() {
        None => Checked::Agrees,
        Some(first) => differs(entry, &first.what, &first.recorded, &first.redecided),
    }
}

fn differs(
    entry: &JournalEntry,
    what: &str,
    recorded: &impl Serialize,
    redecided: &impl Serialize,
) -> Checked {
    Checked::Differs(Box::new(Difference {
        pool: entry.pool.clone(),
        tick: entry.tick,
        at: entry.at,
        what: what.to_owned(),
        recorded: json(recorded).to_string(),
        redecided: json(redecided).to_string(),
    }))
}

/// Follows two values down to the first place where they differ.
fn first_unequal<'a>(
    what: &mut String,
    left: &'a Value,
    right: &'a Value,
) -> (&'a Value, &'a Value) {
    let differ = |(left, right): &(&Value, &Value)| {
        let (left, right): (String, String) = (left.to_string(), right.to_string());
        left != right
    };
    match (left, right) {
        (Value::Object(left_map), Value::Object(right_map))
            if left_map.len() == right_map.len() =>
        {
            let mut pairs =
                left_map.iter().filter_map(|(key, l)| right_map.get(key).map(|r| (key, (l, r))));
            if let Some((key, (left, right))) = pairs.find(|(_, pair)| differ(pair)) {
                what.push('.');
                what.push_str(key);
                return first_unequal(what, left, right);
            }
        }
        (Value::Array(left_list), Value::Array(right_list))
            if left_list.len() == right_list.len() =>
        {
            let mut pairs = left_list.iter().zip(right_list).enumerate();
            if let Some((index, (left, right))) = pairs.find(|(_, pair)| differ(pair)) {
                what.push_str(&format!("[{index}]"));
                return first_unequal(what, left, right);
            }
        }
        _ => {}
    }
    (left, right)
}

fn json(value: &impl Serialize) -> Value {
    // What the journal stores is always JSON; anything else would compare as null.
    serde_json::to_value(value).unwrap_or_default()
}
