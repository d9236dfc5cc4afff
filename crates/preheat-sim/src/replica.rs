//! One replica: where it is in its life, what it costs, and its engine while it is up.
//!
//! **Invariant:** it has an engine exactly while it is ready, draining, standby or waking.

pub(crate) mod capacity;
pub(crate) mod requests;
pub(crate) mod scraped;
pub(crate) mod serving;
mod step_floor;

use preheat_core::{Instant, ReplicaId};

use crate::cold_start::Place;
use scraped::Scraped;
use serving::Serving;

/// Where it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Ordered; there is no place for it yet.
    Pending,
    /// On its way, or waiting out a back-off.
    Starting,
    /// May get requests.
    Ready,
    /// Gets none, and finishes what it has.
    Draining,
    /// Asleep.
    Standby,
    /// On its way back from standby.
    Waking,
}

/// Where it stands in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// It is to stay.
    Current,
    /// It is replaced by and by.
    Old,
    /// On its way to replace one; its autoscaler knows nothing of it.
    Successor,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) phase: Phase,
    pub(crate) phase_since: Instant,
    pub(crate) ordered_at: Instant,
    pub(crate) ready_at: Option<Instant>,
    pub(crate) restarts: u32,
    pub(crate) version: Version,
    /// Counts its lives, so that an event of an earlier one is void.
    pub(crate) life: u32,
    pub(crate) place: Option<Place>,
    /// Its cost is charged up to here; `None` while it holds no GPU.
    pub(crate) charged_to: Option<Instant>,
    pub(crate) serving: Option<Box<Serving>>,
    pub(crate) scraped: Scraped,
}

impl Replica {
    pub(crate) fn new(id: ReplicaId, life: u32, now: Instant) -> Self {
        Self {
            id,
            phase: Phase::Pending,
            phase_since: now,
            ordered_at: now,
            ready_at: None,
            restarts: 0,
            version: Version::Current,
            life,
            place: None,
            charged_to: None,
            serving: None,
            scraped: Scraped::default(),
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.phase_since) = (phase, now);
    }

    pub(crate) fn outstanding(&self) -> u32 {
        self.serving.as_ref().map_or(0, |serving| serving.outstanding())
    }

    /// Whether an autoscaler that sets a count means this one too.
    pub(crate) fn is_counted(&self) -> bool {
        self.phase != Phase::Draining && self.version != Version::Successor
    }

    /// Whether it is a rollout's business alone.
    pub(crate) fn is_hidden(&self) -> bool {
        match self.version {
            Version::Current => false,
            Version::Old => self.phase == Phase::Draining,
            Version::Successor => true,
        }
    }

    /// Whether its engine answers scrapes as one that serves.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Draining)
    }
}
