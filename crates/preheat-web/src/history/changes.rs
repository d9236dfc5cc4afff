//! When a pool was told to do otherwise: found by comparing each tick with the one before, and each
//! checkpoint, which has the policy of the ticks that follow, with the one before.
//!
//! **Invariant:** a stretch of time says the same whether or not what was before it is read too.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_api::journal::EntryBody;
use preheat_api::reconfiguration::{
    ChangedSetting, Reconfiguration, of_announcements, of_orders, of_policies,
};
use preheat_core::{Controls, Instant, Observation, Policy, ScheduledDemand};
use preheat_runtime::journal::{JournalError, JournalReader, StoredEntry};

/// Follows the ticks of a stretch, in order.
pub(super) struct Follower {
    /// What the last tick was told; `None` before the first that is recorded.
    before: Option<Told>,
    /// From when on another policy was followed, of what is still to come.
    policies: VecDeque<(Instant, Vec<ChangedSetting>)>,
}

struct Told {
    at: Instant,
    controls: Controls,
    scheduled: Vec<ScheduledDemand>,
}

impl Follower {
    /// Of the ticks of `pool` from `from` on and before `until`.
    pub(super) fn new(
        reader: &JournalReader,
        pool: &str,
        from: Instant,
        until: Instant,
    ) -> Result<Self, JournalError> {
        let before = reader.tick_before(pool, from)?;
        let before = before.as_ref().and_then(|stored| stored.entry.body.observation());
        Ok(Self { before: before.map(Told::of), policies: policies(reader, pool, from, until)? })
    }

    /// What the next tick was told otherwise than the one before.
    pub(super) fn next(&mut self, observation: &Observation) -> Option<Reconfiguration> {
        let now = observation.now;
        let mut changed = Reconfiguration { at_s: now.as_secs_f64(), ..Default::default() };
        while let Some((_, settings)) = self.policies.pop_front_if(|(at, _)| *at <= now) {
            changed.settings.extend(settings);
        }
        if let Some(before) = &self.before {
            changed.settings.extend(of_orders(before.controls, observation.controls));
            (changed.announced, changed.withdrawn) =
                of_announcements((before.at, &before.scheduled), (now, &observation.scheduled));
        }
        self.before = Some(Told::of(observation));
        (!changed.is_empty()).then_some(changed)
    }

    /// Policies after which no tick of the stretch followed.
    pub(super) fn rest(self) -> impl Iterator<Item = (Instant, Reconfiguration)> {
        self.policies.into_iter().map(|(at, settings)| {
            (at, Reconfiguration { at_s: at.as_secs_f64(), settings, ..Default::default() })
        })
    }
}

impl Told {
    fn of(observation: &Observation) -> Self {
        Self {
            at: observation.now,
            controls: observation.controls,
            scheduled: observation.scheduled.clone(),
        }
    }
}

/// From when on another policy was followed than before, and what is another in it.
fn policies(
    reader: &JournalReader,
    pool: &str,
    from: Instant,
    until: Instant,
) -> Result<VecDeque<(Instant, Vec<ChangedSetting>)>, JournalError> {
    let turns = reader.turns_by_time(pool, from, until)?;
    if turns.is_empty() {
        return Ok(VecDeque::new());
    }
    let before = match from.as_nanos() {
        0 => None,
        _ => reader.checkpoint_at(pool, from.saturating_sub(Duration::from_nanos(1)))?,
    };
    let all: Vec<(Instant, Policy)> = before.into_iter().chain(turns).filter_map(policy).collect();
    let pairs = all.iter().zip(all.iter().skip(1));
    let changed =
        pairs.map(|((_, before), (at, after))| (*at, of_policies(before.spec(), after.spec())));
    Ok(changed.filter(|(_, settings)| !settings.is_empty()).collect())
}

fn policy(stored: StoredEntry) -> Option<(Instant, Policy)> {
    match stored.entry.body {
        EntryBody::Checkpoint(checkpoint) => Some((stored.entry.at, checkpoint.policy)),
        EntryBody::Decided(_) | EntryBody::Held(_) => None,
    }
}
