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
    last: Option<Instant>,
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
            last: None,
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
        let before = self.last.replace(observation.now);
        let counts = self.counts(observation);
        // The first tick tells of what was before the history.
        let (Some(begin), Some(before)) = (self.begin, before) else {
            self.begin = Some(observation.now);
            return;
        };
        // A tick tells of the time before it: since the gateway was asked last, which is longer than
        // since the last tick where one was missed.
        let told = observation.gateway.as_ref().map(|gateway| gateway.over);
        let over = told.unwrap_or_else(|| observation.now.since(before));
        if let Some(step) = self.spread(observation.now.since(begin), over, &counts) {
            gauge(step, observation);
        }
    }

    /// Adds what was counted in the time up to `until` to the steps that it lies in, by their share of
    /// it; the last of them.
    fn spread(&mut self, until: Duration, over: Duration, counts: &Step) -> Option<&mut Step> {
        let step = self.step.as_nanos().max(1);
        let (from, until) = (until.saturating_sub(over).as_nanos(), until.as_nanos());
        let last = usize::try_from(until.saturating_sub(1) / step).unwrap_or(usize::MAX);
        if last > STEPS_MAX {
            return None;
        }
        if self.steps.len() <= last {
            self.steps.resize(last + 1, Step::default());
        }
        let first = usize::try_from(from / step).unwrap_or(last).min(last);
        let mut end = first as u128 * step;
        for slots in self.steps.get_mut(first..=last).into_iter().flatten() {
            let begin = end;
            end += step;
            let inside = end.min(until).saturating_sub(begin.max(from)) as f64;
            let share = if until > from { inside / (until - from) as f64 } else { 1.0 };
            for (slot, count) in [
                (&mut slots.arrivals, counts.arrivals),
                (&mut slots.completions, counts.completions),
                (&mut slots.prompt_tokens, counts.prompt_tokens),
                (&mut slots.generation_tokens, counts.generation_tokens),
                (&mut slots.first_tokens, counts.first_tokens),
                (&mut slots.in_time, counts.in_time),
            ] {
                if let Some(count) = count {
                    *slot = Some(slot.unwrap_or(0.0) + count * share);
                }
            }
        }
        self.steps.get_mut(last)
    }

    /// What was counted since the last tick.
    fn counts(&mut self, observation: &Observation) -> Step {
        let mut counts = Step::default();
        let counted = self.count(observation);
        let inside = inside(observation);
        let grew = inside.zip(self.inside_before).map_or(0.0, |(now, before)| now - before);
        self.inside_before = inside.or(self.inside_before);
        if let Some((completions, prompt, generated)) = counted {
            counts.completions = Some(completions);
            counts.prompt_tokens = Some(prompt);
            counts.generation_tokens = Some(generated);
        }
        if let Some(gateway) = &observation.gateway {
            self.has_gateway = true;
            counts.arrivals = Some(gateway.arrivals as f64);
            if let Some(first) = gateway.first_tokens {
                counts.first_tokens = Some(first.count as f64);
                counts.in_time = Some(first.count.saturating_sub(first.late) as f64);
            }
        } else if let Some((completions, ..)) = counted {
            counts.arrivals = Some((completions + grew).max(0.0));
        }
        counts
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

/// What there was at the end of a step.
fn gauge(step: &mut Step, observation: &Observation) {
    let phases = |wanted: fn(ReplicaPhase) -> bool| {
        observation.replicas.iter().filter(|replica| wanted(replica.phase)).count() as f64
    };
    step.ready = Some(phases(|phase| phase == ReplicaPhase::Ready));
    step.existing =
        Some(phases(|phase| !matches!(phase, ReplicaPhase::Stopped | ReplicaPhase::Standby(_))));
    let running = observation.replicas.iter().filter_map(|replica| replica.in_flight);
    step.running = Some(running.map(|sample| f64::from(sample.value)).sum());
    let held = observation.gateway.as_ref().map_or(0, |gateway| gateway.held);
    let queued = observation.replicas.iter().filter_map(|replica| replica.queue_depth);
    let queued: u32 = queued.map(|sample| sample.value).sum();
    step.waiting = Some(f64::from(held.saturating_add(queued)));
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

#[cfg(test)]
mod tests {
    use preheat_core::{GatewayObservation, TickId};

    use super::*;

    fn tick(at_s: u64, arrivals: u64, over_s: u64) -> Observation {
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(at_s));
        Observation {
            gateway: Some(GatewayObservation {
                observed_at: now,
                over: Duration::from_secs(over_s),
                arrivals,
                completions: 0,
                failures: 0,
                rejections: 0,
                held: 0,
                held_oldest: None,
                ttft: None,
                first_tokens: None,
                itl: None,
                engine_time: None,
            }),
            ..Observation::of(TickId(at_s), now, Vec::new())
        }
    }

    fn arrivals(ticks: &[Observation]) -> Vec<Option<f64>> {
        let mut past = Past::new(Duration::from_secs(30));
        ticks.iter().for_each(|tick| past.take(tick));
        past.end().history.steps.iter().map(|step| step.arrivals).collect()
    }

    #[test]
    fn what_a_tick_counts_lies_in_the_time_before_it() {
        for (ticks, expected) in [
            (vec![tick(100, 9, 2)], vec![]),
            (vec![tick(100, 9, 2), tick(115, 5, 15), tick(130, 7, 15)], vec![Some(12.0)]),
            // Half of it before a step's end.
            (vec![tick(100, 9, 2), tick(125, 5, 25), tick(135, 4, 10)], vec![Some(7.0), Some(2.0)]),
            // Longer between two ticks than a step: none of it is a gap, and nothing counts twice.
            (vec![tick(100, 9, 2), tick(190, 90, 90)], vec![Some(30.0); 3]),
            // Nobody counted until shortly before.
            (vec![tick(100, 9, 2), tick(190, 6, 2)], vec![None, None, Some(6.0)]),
            // The gateway has counted for longer than the history is.
            (vec![tick(100, 9, 2), tick(130, 60, 60)], vec![Some(60.0)]),
        ] {
            assert_eq!(arrivals(&ticks), expected, "{ticks:?}");
        }
    }
}
