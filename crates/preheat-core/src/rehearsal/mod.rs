//! The rehearsal: every rule of a family is rehearsed, all the time, on the pool's own traffic, and
//! one that would have been as good as the best is followed.
//!
//! ```text
//! arrivals, offered load ──► a fleet for each rule ──► cost and misses, faded
//!                                                                │
//!        slots to hold ◄── its rule ◄── least cost + price of a miss · misses
//! ```
//!
//! How fast demand jumps, how long it stays, and how much of a jump a queue can take differ from
//! pool to pool more than any forecast of the next minutes can tell. What a rule would have cost
//! here can be reckoned exactly enough.
//!
//! **Invariant:** a rule's record depends on arrivals and loads, never on what the real fleet did.

mod choice;
mod fleet;
mod peaks;
mod prior;
mod rule;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use choice::{Choice, Expected};
pub(crate) use fleet::Prices;
pub use fleet::RehearsedFleet;
use fleet::{Reckoned, Step};
pub(crate) use peaks::PEAKS_MAX;
pub use peaks::Peak;
use prior::PRIORS;
pub use rule::RULES;
use rule::{Peaks, WINDOW_LONGEST, rule};

use crate::decision::RehearsalExplanation;
use crate::part::Part;
use crate::units::{Instant, Probability};

/// What was counted fades to half in this time: long enough to know a day's bursts, short enough to
/// follow a change of traffic.
const HALF_LIFE: Duration = Duration::from_secs(16 * 3600);
/// What is believed of a rule's cost beforehand counts as this much of the pool's own traffic, in lead
/// times: what is held and missed comes in lead times, whatever these take.
const COST_LEAD_TIMES: f64 = 1.6;
/// The same of its misses, which come with jumps: few, and seldom.
const MISSES_LEAD_TIMES: f64 = 5.0;
/// The same of how many are missed by all rules together.
const SCALE_LEAD_TIMES: f64 = 3.0;
/// The least that it counts as.
const PRIOR_MIN: Duration = Duration::from_secs(300);
/// Share of the TTFT aim that a request may wait for its slot. The rest is for its prompt.
const WAIT_SHARE: f64 = 0.75;
/// Time constant of the smoothed load.
const SMOOTHING: Duration = Duration::from_secs(60);
/// A step longer than this is a pause: nobody knows what came in it.
const STEP_MAX: Duration = Duration::from_secs(60);

/// What is remembered of the rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Offered loads that no later one has reached.
    pub peaks: VecDeque<Peak>,
    /// The same of the smoothed load.
    pub peaks_smoothed: VecDeque<Peak>,
    /// The offered load, smoothed, in slots.
    pub load_smoothed: f64,
    /// What was there at the first step. Nothing is remembered of it, so it counts as needed.
    pub found: Option<Found>,
    /// A fleet for each rule; empty before the first step.
    pub fleets: Vec<RehearsedFleet>,
    /// Time rehearsed, faded, in seconds.
    pub seconds: f64,
    /// Requests that arrived, faded.
    pub arrivals: f64,
    /// Slots in use, integrated over time, faded: what fleets' costs are measured against.
    pub slot_seconds: f64,
    /// Slots of a replica at the last step: the measure of all loads above.
    pub slots: f64,
}

/// The fleet of the first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// When.
    pub at: Instant,
    /// Its slots.
    pub slots: f64,
}

/// What the rehearsal is told at a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) now: Instant,
    /// Time since the tick before.
    pub(crate) since: Duration,
    /// Requests that arrived since; `None` when nobody could tell.
    pub(crate) arrivals: Option<f64>,
    /// Offered load now, in slots.
    pub(crate) load: f64,
    /// The part of it that chance alone doesn't make.
    pub(crate) load_sure: f64,
    pub(crate) service_time: Duration,
    /// Slots of a replica.
    pub(crate) slots: f64,
    /// The SLO's threshold.
    pub(crate) ttft_aim: Duration,
    /// Order to ready.
    pub(crate) lead_time: Duration,
    pub(crate) drain_time: Duration,
    pub(crate) replicas_min: u32,
    pub(crate) replicas_max: u32,
    pub(crate) prices: Prices,
    /// Replicas that exist, for the first step.
    pub(crate) supply: u32,
    /// Share of requests that may miss the SLO.
    pub(crate) allowance: f64,
    pub(crate) without: Option<Part>,
}

impl Traffic {
    /// What is expected to be paid for what is followed, misses included.
    pub(crate) fn score(&self, followed: &RehearsalExplanation) -> f64 {
        let misses = 1.0 - followed.attainment_expected.get();
        let cost = followed.cost_expected;
        Expected { misses, cost }.score(choice::price_of_a_miss(self.allowance))
    }
}

impl Rehearsal {
    /// Lets all fleets live through a tick, and says what the best rule holds now.
    pub(crate) fn step(&mut self, traffic: &Traffic) -> RehearsalExplanation {
        let peaks = self.pass(traffic);
        self.best(traffic, &peaks)
    }

    /// The same, and what the best rule would be at other prices.
    pub(crate) fn step_at(
        &mut self,
        traffic: &Traffic,
        prices: Prices,
    ) -> (RehearsalExplanation, RehearsalExplanation) {
        let peaks = self.pass(traffic);
        (self.best(traffic, &peaks), self.best(&Traffic { prices, ..*traffic }, &peaks))
    }

    fn pass(&mut self, traffic: &Traffic) -> [Peaks; 2] {
        if self.fleets.len() != RULES {
            let fleet = RehearsedFleet::new(f64::from(traffic.supply.max(traffic.replicas_min)));
            *self = Self { fleets: vec![fleet; RULES], ..Self::default() };
            let slots = f64::from(traffic.supply) * traffic.slots;
            self.found = Some(Found { at: traffic.now, slots });
            self.load_smoothed = traffic.load;
        }
        self.rescale(traffic.slots);
        let peaks = self.peaks_now(traffic);
        if traffic.since <= STEP_MAX
            && traffic.since > Duration::ZERO
            && let Some(arrivals) = traffic.arrivals
        {
            self.rehearse(traffic, arrivals, &peaks);
        }
        peaks
    }

    /// A load is a share of what replicas can do, told in slots: where these become more or fewer,
    /// what was remembered is still the same share.
    fn rescale(&mut self, slots: f64) {
        let ratio = slots / self.slots;
        if self.slots > 0.0 && ratio != 1.0 {
            for peak in self.peaks.iter_mut().chain(&mut self.peaks_smoothed) {
                peak.load *= ratio;
            }
            self.load_smoothed *= ratio;
            self.slot_seconds *= ratio;
            if let Some(found) = &mut self.found {
                found.slots *= ratio;
            }
        }
        self.slots = slots;
    }

    /// Takes the load of now, and finds the peaks of all windows.
    fn peaks_now(&mut self, traffic: &Traffic) -> [Peaks; 2] {
        let part = traffic.since.as_secs_f64() / SMOOTHING.as_secs_f64();
        self.load_smoothed += (traffic.load - self.load_smoothed) * (1.0 - libm::exp(-part));
        peaks::push(&mut self.peaks, traffic.now, traffic.load, WINDOW_LONGEST);
        peaks::push(&mut self.peaks_smoothed, traffic.now, self.load_smoothed, WINDOW_LONGEST);
        [&self.peaks, &self.peaks_smoothed].map(|peaks| {
            Peaks::of(traffic.lead_time, |window| peaks::largest(peaks, traffic.now, window))
        })
    }

    fn rehearse(&mut self, traffic: &Traffic, arrivals: f64, peaks: &[Peaks; 2]) {
        let secs = traffic.since.as_secs_f64();
        let keep = libm::exp2(-secs / HALF_LIFE.as_secs_f64());
        self.seconds = self.seconds * keep + secs;
        self.arrivals = self.arrivals * keep + arrivals;
        self.slot_seconds = self.slot_seconds * keep + traffic.load * secs;
        // Nothing that comes in the first lead time could have been ordered for ahead of it. Until then a
        // fleet is what it would be had its rule been followed before: how short the pool was found
        // says nothing of what its traffic asks for.
        let found_at = self.found.map(|found| found.at);
        let is_first = found_at.is_some_and(|at| traffic.now.since(at) < traffic.lead_time);
        let lead_time = if is_first { Duration::ZERO } else { traffic.lead_time };
        let reckoned = Reckoned::of(Step {
            secs,
            arrivals,
            load_sure: traffic.load_sure,
            service_s: traffic.service_time.as_secs_f64(),
            slots: traffic.slots,
            wait_max_s: traffic.ttft_aim.as_secs_f64() * WAIT_SHARE,
            lead_s: lead_time.as_secs_f64(),
            drain_s: traffic.drain_time.as_secs_f64(),
            backlog: traffic.without != Some(Part::Backlog),
            replicas_min: f64::from(traffic.replicas_min),
            replicas_max: f64::from(traffic.replicas_max),
        });
        for (index, fleet) in self.fleets.iter_mut().enumerate() {
            fleet.fade(keep);
            fleet.step(&reckoned, held(index, peaks, self.found, traffic));
        }
    }

    /// The rule that is followed: the best on balance, or one that comes close.
    fn best(&self, traffic: &Traffic, peaks: &[Peaks; 2]) -> RehearsalExplanation {
        let rules = (0..RULES).filter(|index| rule::remains(*index, traffic.without));
        let scale = self.misses_scale(traffic.lead_time);
        let rules: Vec<(usize, Expected)> =
            rules.map(|index| (index, self.expected(index, traffic, scale))).collect();
        let held = |index: usize| held(index, peaks, self.found, traffic);
        let choice = Choice::of(&rules, traffic.allowance, held);
        let rule = rule(choice.index, traffic.lead_time);
        RehearsalExplanation {
            headroom_factor: rule.factor,
            headroom_beta: rule.beta,
            smoothed: rule.smoothed,
            hold_window: rule.hold,
            tail_share: rule.tail.map(|tail| Probability::saturating(tail.share)),
            tail_window: rule.tail.map(|tail| tail.window),
            rehearsed: Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::MAX),
            attainment_expected: Probability::saturating(1.0 - choice.expected.misses),
            cost_expected: choice.expected.cost,
            rules_close: choice.close,
            slots_held: held(choice.index),
        }
    }

    /// How many times as much is missed here as is believed of all rules beforehand. Traffic tells soon
    /// whether it is hard; which rules it is hard for takes many more of its jumps.
    fn misses_scale(&self, lead_time: Duration) -> f64 {
        if self.arrivals <= 0.0 {
            return 1.0;
        }
        let missed = self.fleets.iter().map(|fleet| fleet.misses).sum::<f64>() / self.arrivals;
        let believed: f64 = PRIORS.iter().map(|prior| prior.misses).sum();
        let prior = lead_time.as_secs_f64() * SCALE_LEAD_TIMES;
        (self.seconds * missed / believed + prior) / (self.seconds + prior)
    }

    /// Own record and prior, each by the time it stands for.
    fn expected(&self, index: usize, traffic: &Traffic, misses_scale: f64) -> Expected {
        let (fleet, prior) = (&self.fleets[index], &PRIORS[index]);
        let own = |lead_times: f64| match traffic.without {
            Some(Part::Rehearsal) => 0.0,
            Some(Part::Prior) if self.seconds > 0.0 => 1.0,
            _ => {
                let prior = traffic.lead_time.mul_f64(lead_times).max(PRIOR_MIN);
                self.seconds / (self.seconds + prior.as_secs_f64())
            }
        };
        let scale = if traffic.without == Some(Part::Rehearsal) { 1.0 } else { misses_scale };
        let share = |count: f64, of: f64, else_: f64| if of > 0.0 { count / of } else { else_ };
        let missed = share(fleet.misses, self.arrivals, 0.0);
        let cost_prior = prior.cost * traffic.prices.ready;
        let cost = share(fleet.cost(traffic.prices) * traffic.slots, self.slot_seconds, cost_prior);
        let (own_misses, own_cost) = (own(MISSES_LEAD_TIMES), own(COST_LEAD_TIMES));
        Expected {
            misses: own_misses * missed + (1.0 - own_misses) * prior.misses * scale,
            cost: own_cost * cost + (1.0 - own_cost) * cost_prior,
        }
    }
}

/// Slots that a rule holds: by the peaks, and for as long as it holds one of those, what was found.
fn held(index: usize, peaks: &[Peaks; 2], found: Option<Found>, traffic: &Traffic) -> f64 {
    let slots = rule::slots(index, peaks);
    match found {
        Some(found) if traffic.now.since(found.at) <= rule(index, traffic.lead_time).hold => {
            slots.max(found.slots)
        }
        Some(_) | None => slots,
    }
}

#[cfg(test)]
mod tests;
