//! A pool's past as the observations of its own journal tell it, folded into steps.
//!
//! **Invariant:** a pure fold: observations come in order, and nothing here knows where from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use preheat_core::{
    EndedStart, Instant, Observation, ReplicaCount, ReplicaId, ReplicaObservation, ReplicaPhase,
    ScheduledDemand, StartFollower,
};

use super::{History, Step};

/// Steps of a past at most: a year at three seconds each.
const STEPS_MAX: usize = 10_000_000;
/// Announcements kept: one of every nine minutes of a week.
const SCHEDULED_MAX: usize = 1_000;

/// A past, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Retold {
    /// When it begins: at its first tick.
    pub begin: Instant,
    /// What is known of each step.
    pub history: History,
    /// What was announced within it, in time since its begin.
    pub scheduled: Vec<ScheduledDemand>,
    /// Share of its ticks at which an operator had paused or pinned the pool.
    pub ordered_share: f64,
}

/// A past that is being read.
#[derive(Debug)]
pub struct Past {
    step: Duration,
    begin: Option<Instant>,
    steps: Vec<Step>,
    follower: StartFollower,
    cold_starts: Vec<Duration>,
    /// When each replica's counters were used last.
    counted: BTreeMap<ReplicaId, Instant>,
    inside_before: Option<f64>,
    has_gateway: bool,
    scheduled: BTreeSet<(Instant, Instant, ReplicaCount)>,
    ticks: u64,
    ticks_ordered: u64,
}

impl Past {
    /// Nothing read yet; it will be told in steps of this length.
    pub fn new(step: Duration) -> Self {
        Self {
            step,
            begin: None,
            steps: Vec::new(),
            follower: StartFollower::default(),
            cold_starts: Vec::new(),
            counted: BTreeMap::new(),
            inside_before: None,
            has_gateway: false,
            scheduled: BTreeSet::new(),
            ticks: 0,
            ticks_ordered: 0,
        }
    }

    /// Takes the next observation in.
    pub fn take(&mut self, observation: &Observation) {
        for ended in self.follower.observe(observation) {
            if let EndedStart::ColdStart(start) = ended
                && start.given_up_in.is_none()
            {
                self.cold_starts.push(start.took);
            }
        }
        self.ticks += 1;
        self.ticks_ordered += u64::from(!observation.controls.are_off());
        for announced in &observation.scheduled {
            if self.scheduled.len() < SCHEDULED_MAX {
                self.scheduled.insert((announced.from, announced.until, announced.replicas));
            }
        }
        // The first tick tells of what was before the history.
        let Some(begin) = self.begin else {
            self.begin = Some(observation.now);
            self.count(observation);
            self.inside_before = inside(observation);
            return;
        };
        let counted = self.count(observation);
        let inside = inside(observation);
        let grew = inside.zip(self.inside_before).map_or(0.0, |(now, before)| now - before);
        self.inside_before = inside.or(self.inside_before);
        // A tick tells of the time before it.
        let since = observation.now.since(begin).as_nanos().saturating_sub(1);
        let index = usize::try_from(since / self.step.as_nanos().max(1)).unwrap_or(usize::MAX);
        if index > STEPS_MAX {
            return;
        }
        if self.steps.len() <= index {
            self.steps.resize(index + 1, Step::default());
        }
        let Some(step) = self.steps.get_mut(index) else { return };
        let add = |slot: &mut Option<f64>, more: f64| *slot = Some(slot.unwrap_or(0.0) + more);
        if let Some((completions, prompt, generated)) = counted {
            add(&mut step.completions, completions);
            add(&mut step.prompt_tokens, prompt);
            add(&mut step.generation_tokens, generated);
        }
        if let Some(gateway) = &observation.gateway {
            self.has_gateway = true;
            add(&mut step.arrivals, gateway.arrivals as f64);
            if let Some(first) = gateway.first_tokens {
                add(&mut step.first_tokens, first.count as f64);
                add(&mut step.in_time, first.count.saturating_sub(first.late) as f64);
            }
        } else if let Some((completions, ..)) = counted {
            add(&mut step.arrivals, (completions + grew).max(0.0));
        }
        let phases = |wanted: fn(ReplicaPhase) -> bool| {
            observation.replicas.iter().filter(|replica| wanted(replica.phase)).count() as f64
        };
        step.ready = Some(phases(|phase| phase == ReplicaPhase::Ready));
        step.existing = Some(phases(|phase| {
            !matches!(phase, ReplicaPhase::Stopped | ReplicaPhase::Standby(_))
        }));
        let held = observation.gateway.as_ref().map_or(0, |gateway| gateway.held);
        let queued = observation.replicas.iter().filter_map(|replica| replica.queue_depth);
        let queued: u32 = queued.map(|sample| sample.value).sum();
        step.waiting = Some(f64::from(held.saturating_add(queued)));
    }

    /// Completions, prompt tokens and generated tokens that were not told before.
    fn count(&mut self, observation: &Observation) -> Option<(f64, f64, f64)> {
        let mut counted = None;
        for replica in &observation.replicas {
            let Some(sample) = replica.counters else { continue };
            let used = self.counted.insert(replica.id, sample.observed_at);
            if used >= Some(sample.observed_at) {
                continue;
            }
            let (completions, prompt, generated) = counted.unwrap_or((0.0, 0.0, 0.0));
            counted = Some((
                completions + sample.value.completions as f64,
                prompt + sample.value.prompt_tokens as f64,
                generated + sample.value.generation_tokens as f64,
            ));
        }
        counted
    }

    /// What it came to.
    pub fn end(self) -> Retold {
        let arrivals_from = if self.has_gateway {
            "counted by the gateway".to_owned()
        } else {
            "what engines finished, and what was in them more than before".to_owned()
        };
        let begin = self.begin.unwrap_or(Instant::ORIGIN);
        let in_it = |at: Instant| Instant::ORIGIN.saturating_add(at.since(begin));
        let scheduled = self.scheduled.into_iter().map(|(from, until, replicas)| ScheduledDemand {
            from: in_it(from),
            until: in_it(until),
            replicas,
        });
        Retold {
            begin,
            history: History {
                step: self.step,
                steps: self.steps,
                cold_starts: self.cold_starts,
                resets: 0,
                arrivals_from,
            },
            scheduled: scheduled.filter(|entry| entry.until > entry.from).collect(),
            ordered_share: self.ticks_ordered as f64 / self.ticks.max(1) as f64,
        }
    }
}

/// Requests in engines, where every ready one tells.
fn inside(observation: &Observation) -> Option<f64> {
    let ready = observation.replicas.iter().filter(|r| r.phase == ReplicaPhase::Ready);
    let inside = |sum: Option<f64>, replica: &ReplicaObservation| {
        let (running, waiting) = (replica.in_flight?, replica.queue_depth?);
        Some(sum? + f64::from(running.value) + f64::from(waiting.value))
    };
    ready.fold(Some(0.0), inside)
}
