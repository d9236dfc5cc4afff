//! A rehearsed fleet: what a rule would have made of the traffic that came, as a fluid.
//!
//! Replicas are kept as cohorts with equally many requests in each, since the router fills the
//! emptiest first. A cohort with o requests in each of its replicas ends `min(o, k) ÷ S` of them a
//! second; a request that lands where `o` is above `k` waits `(o − k)·S ÷ k`. A new replica is empty
//! and takes what comes, while old ones work off their queues: that is what a start buys.

use serde::{Deserialize, Serialize};

/// Cohorts at most; the two most alike are merged.
const COHORTS: usize = 4;
/// Groups of starts under way at most; the last two are merged, to the later of both.
const STARTS: usize = 6;

/// Replicas with equally many requests in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cohort {
    replicas: f64,
    /// Requests in each, batch and queue together.
    inside: f64,
}

/// Starts that will be ready together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Starts {
    replicas: f64,
    /// Seconds until ready.
    ready_in: f64,
}

/// A fleet under one rule, and what it has cost and missed, faded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RehearsedFleet {
    cohorts: [Cohort; COHORTS],
    starts: [Starts; STARTS],
    /// Replica-seconds of ready replicas.
    pub(crate) ready_seconds: f64,
    /// Replica-seconds of starting ones.
    pub(crate) starting_seconds: f64,
    /// Requests whose wait was over the SLO.
    pub(crate) misses: f64,
}

/// What all fleets see of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Seconds since the step before.
    pub(crate) secs: f64,
    /// Requests that arrived in it.
    pub(crate) arrivals: f64,
    /// What is taken to come while a queue drains, in slots: [`super::Traffic::load_sure`].
    pub(crate) load_sure: f64,
    /// Mean time in a slot, in seconds.
    pub(crate) service_s: f64,
    /// Slots of a replica.
    pub(crate) slots: f64,
    /// Longest time to a slot inside the SLO, in seconds.
    pub(crate) wait_max_s: f64,
    /// Seconds from the order of a replica to ready.
    pub(crate) lead_s: f64,
    /// Seconds within which a queue that is left at the end of a lead time should be gone.
    pub(crate) drain_s: f64,
    /// Whether more is ordered for a queue.
    pub(crate) backlog: bool,
    pub(crate) replicas_min: f64,
    pub(crate) replicas_max: f64,
}

/// What a replica costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prices {
    /// Once it is ready.
    pub(crate) ready: f64,
    /// Until then.
    pub(crate) starting: f64,
}

impl Prices {
    /// The same for both.
    pub(crate) const fn of(price: f64) -> Self {
        Self { ready: price, starting: price }
    }
}

/// Standard deviations by which a queue's wait may be longer than its mean and still be inside the SLO.
const WAIT_DEVIATIONS: f64 = 1.4;

/// Requests that may queue in front of a slot's next user, where `ends` requests end within the
/// longest wait. Ends come at random, so the q-th of them takes as long as q ± √q take in the mean:
/// `q + z·√q = ends`. Of few slots that leaves little, of many nearly all.
fn queue_max(ends: f64) -> f64 {
    let root = (libm::sqrt(WAIT_DEVIATIONS * WAIT_DEVIATIONS + 4.0 * ends) - WAIT_DEVIATIONS) / 2.0;
    root * root
}

/// What follows from a step, whatever the fleet: reckoned once for all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reckoned {
    step: Step,
    /// Share of what runs that still does at the end of the step.
    keep: f64,
    /// Requests that a full replica ends in the step.
    ends_full: f64,
    /// Share of what arrives in the step that is still there at its end, where nobody waits: what
    /// comes early is partly served.
    left_at_end: f64,
    /// Requests inside a replica beyond which one more waits too long.
    inside_max: f64,
}

impl Reckoned {
    pub(crate) fn of(step: Step) -> Self {
        let part = step.secs / step.service_s;
        let keep = libm::exp(-part);
        Self {
            step,
            keep,
            ends_full: step.slots * part,
            left_at_end: if part > 1e-9 { (1.0 - keep) / part } else { 1.0 },
            inside_max: step.slots + queue_max(step.wait_max_s * step.slots / step.service_s),
        }
    }
}

impl RehearsedFleet {
    /// A fleet of so many empty replicas.
    pub(crate) fn new(replicas: f64) -> Self {
        let mut fleet = Self::default();
        fleet.cohorts[0].replicas = replicas;
        fleet
    }

    /// Lets the traffic of a step pass, then scales to what the rule holds: `slots_held`.
    pub(crate) fn step(&mut self, reckoned: &Reckoned, slots_held: f64) {
        let step = &reckoned.step;
        self.become_ready(step.secs);
        self.serve(reckoned);
        self.misses += self.arrive(reckoned);
        self.scale(step, slots_held);
        self.ready_seconds += self.ready() * step.secs;
        self.starting_seconds += self.starting() * step.secs;
    }

    /// Fades what has been counted.
    pub(crate) fn fade(&mut self, keep: f64) {
        self.ready_seconds *= keep;
        self.starting_seconds *= keep;
        self.misses *= keep;
    }

    /// What has been paid, at these prices.
    pub(crate) fn cost(&self, prices: Prices) -> f64 {
        self.ready_seconds * prices.ready + self.starting_seconds * prices.starting
    }

    fn ready(&self) -> f64 {
        self.cohorts.iter().map(|cohort| cohort.replicas).sum()
    }

    fn starting(&self) -> f64 {
        self.starts.iter().map(|starts| starts.replicas).sum()
    }

    fn become_ready(&mut self, secs: f64) {
        let mut ready = 0.0;
        for starts in &mut self.starts {
            starts.ready_in -= secs;
            if starts.replicas > 0.0 && starts.ready_in <= 0.0 {
                ready += starts.replicas;
                *starts = Starts::default();
            }
        }
        if ready > 0.0 {
            self.add(Cohort { replicas: ready, inside: 0.0 });
            // Groups stay sorted by time, without gaps.
            self.starts.sort_unstable_by(|a, b| {
                let empty = (a.replicas <= 0.0).cmp(&(b.replicas <= 0.0));
                empty.then(a.ready_in.total_cmp(&b.ready_in))
            });
        }
    }

    /// Cohorts stay sorted, the emptiest first, unused places last.
    fn sort(&mut self) {
        self.cohorts.sort_unstable_by(|a, b| {
            let unused = (a.replicas <= 0.0).cmp(&(b.replicas <= 0.0));
            unused.then(a.inside.total_cmp(&b.inside))
        });
    }

    fn add(&mut self, new: Cohort) {
        if self.cohorts[COHORTS - 1].replicas > 0.0 {
            self.merge_closest();
        }
        self.cohorts[COHORTS - 1] = new;
        self.sort();
    }

    fn merge_closest(&mut self) {
        let mut closest = 0;
        let step =
            |cohorts: &[Cohort; COHORTS], i: usize| cohorts[i + 1].inside - cohorts[i].inside;
        for i in 1..COHORTS - 1 {
            if step(&self.cohorts, i) < step(&self.cohorts, closest) {
                closest = i;
            }
        }
        let (a, b) = (self.cohorts[closest], self.cohorts[closest + 1]);
        let replicas = a.replicas + b.replicas;
        let inside = (a.replicas * a.inside + b.replicas * b.inside) / replicas;
        self.cohorts[closest] = Cohort { replicas, inside };
        self.cohorts[closest + 1] = Cohort::default();
        self.sort();
    }

    fn serve(&mut self, reckoned: &Reckoned) {
        let slots = reckoned.step.slots;
        for cohort in &mut self.cohorts {
            cohort.inside = if cohort.inside > slots {
                (cohort.inside - reckoned.ends_full).max(slots * reckoned.keep)
            } else {
                cohort.inside * reckoned.keep
            };
        }
    }

    /// Spreads what arrived over the emptiest, and says how much of it waits too long.
    fn arrive(&mut self, reckoned: &Reckoned) -> f64 {
        let step = &reckoned.step;
        if step.arrivals <= 0.0 || self.cohorts[0].replicas <= 0.0 {
            return step.arrivals.max(0.0);
        }
        let mut placed = step.arrivals * reckoned.left_at_end;
        let (mut level, mut filled) = self.level_with(placed);
        if level > step.slots {
            placed = step.arrivals;
            (level, filled) = self.level_with(placed);
        }
        let (mut above, mut replicas) = (0.0, 0.0);
        for cohort in &mut self.cohorts[..filled] {
            let from = cohort.inside.max(reckoned.inside_max);
            above += cohort.replicas * (level - from).max(0.0);
            replicas += cohort.replicas;
            *cohort = Cohort::default();
        }
        self.cohorts[0] = Cohort { replicas, inside: level };
        self.sort();
        step.arrivals * (above / placed).min(1.0)
    }

    /// Requests in each of the emptiest replicas after `arrivals` were spread over them, and how
    /// many cohorts that takes.
    fn level_with(&self, arrivals: f64) -> (f64, usize) {
        let mut left = arrivals;
        let (mut level, mut replicas) = (self.cohorts[0].inside, 0.0);
        let used = self.cohorts.iter().take_while(|cohort| cohort.replicas > 0.0).count();
        for (index, cohort) in self.cohorts[..used].iter().enumerate() {
            let room = (cohort.inside - level) * replicas;
            if room >= left && replicas > 0.0 {
                return (level + left / replicas, index);
            }
            left -= room;
            level = cohort.inside;
            replicas += cohort.replicas;
        }
        (level + left / replicas, used)
    }

    fn scale(&mut self, step: &Step, slots_held: f64) {
        let held = slots_held / step.slots;
        let more = if step.backlog { self.for_backlog(step, held) } else { 0.0 };
        let wanted = libm::ceil(held + more);
        let wanted = wanted.clamp(step.replicas_min, step.replicas_max);
        let supply = self.ready() + self.starting();
        if wanted > supply {
            self.order(wanted - supply, step.lead_s);
        } else if wanted < supply {
            self.give_up(supply - wanted);
        }
    }

    /// Replicas on top, so that what is still queued at the end of a lead time is gone soon after;
    /// at most as many as are held anyway: [`crate::backlog`]'s rule, with a queue that may not run
    /// empty in between. As there, what is on top of what is held is what a queue asks for still.
    fn for_backlog(&self, step: &Step, held: f64) -> f64 {
        let queued = |cohort: &Cohort| cohort.replicas * (cohort.inside - step.slots).max(0.0);
        let queue: f64 = self.cohorts.iter().map(queued).sum();
        if queue <= 0.0 {
            return 0.0;
        }
        let (ready, held_whole) = (self.ready(), libm::ceil(held));
        let held_ready = ready.min(held_whole);
        let (mut room, mut extra) = (held_whole - held_ready, ready - held_ready);
        // Replica-seconds until the end of the lead time, of starts that are held and of the others.
        let (mut of_held, mut of_extra) = (0.0, 0.0);
        for starts in &self.starts {
            let ready_for = (step.lead_s - starts.ready_in).max(0.0);
            let within = starts.replicas.min(room);
            room -= within;
            extra += starts.replicas - within;
            of_held += within * ready_for;
            of_extra += (starts.replicas - within) * ready_for;
        }
        let spare = (held * step.slots - step.load_sure).max(0.0);
        let drains = |ready: f64, starting: f64| {
            let capacity = (ready * step.lead_s + starting) * step.slots;
            let left = queue * step.service_s + step.load_sure * step.lead_s - capacity;
            (left.max(0.0) / step.drain_s - spare).max(0.0) / step.slots
        };
        let more = extra + drains(ready, of_held + of_extra);
        drains(held_ready, of_held).min(more).min(held.max(1.0))
    }

    fn order(&mut self, replicas: f64, lead_s: f64) {
        let free = self.starts.iter().position(|starts| starts.replicas <= 0.0);
        let last = self.starts[STARTS - 1];
        let place = free.unwrap_or(STARTS - 1);
        let already = if free.is_none() { last.replicas } else { 0.0 };
        self.starts[place] = Starts { replicas: already + replicas, ready_in: lead_s };
    }

    /// The last to be ready first, then the emptiest; requests inside those finish elsewhere.
    fn give_up(&mut self, mut surplus: f64) {
        for starts in self.starts.iter_mut().rev() {
            let given = starts.replicas.min(surplus);
            starts.replicas -= given;
            surplus -= given;
        }
        for cohort in &mut self.cohorts {
            let given = cohort.replicas.min(surplus);
            cohort.replicas -= given;
            surplus -= given;
        }
        self.sort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(arrivals: f64) -> Step {
        Step {
            secs: 1.0,
            arrivals,
            load_sure: arrivals * 5.0,
            service_s: 5.0,
            slots: 8.0,
            wait_max_s: 2.0,
            lead_s: 60.0,
            drain_s: 30.0,
            backlog: true,
            replicas_min: 1.0,
            replicas_max: 100.0,
        }
    }

    /// 3.2 requests/s × 5 s = 16 slots: two replicas are just full.
    #[test]
    fn a_fleet_that_suffices_misses_nothing_and_one_that_does_not_misses_the_rest() {
        let run = |replicas: f64, seconds: u32| {
            let mut fleet = RehearsedFleet::new(replicas);
            for _ in 0..seconds {
                fleet.step(&Reckoned::of(step(3.2)), replicas * 8.0);
            }
            fleet
        };
        let enough = run(3.0, 600);
        assert_eq!((enough.misses, enough.cost(Prices::of(1.0))), (0.0, 1_800.0));
        let half = run(1.0, 600);
        // One replica serves 1.6 a second; all that come after the queue is 2 s long wait too long.
        assert!(half.misses > 0.95 * 600.0 * 3.2, "{}", half.misses);
    }

    #[test]
    fn a_fresh_replica_takes_what_comes_while_the_old_one_works_off_its_queue() {
        let mut fleet = RehearsedFleet::new(1.0);
        for _ in 0..60 {
            fleet.step(&Reckoned::of(step(3.2)), 8.0);
        }
        let before = fleet.misses;
        assert!(before > 0.0);
        // Ordered now, ready after 60 s: what comes fits the new ones alone.
        for _ in 0..62 {
            fleet.step(&Reckoned::of(step(3.2)), 40.0);
        }
        let ready = fleet.misses;
        for _ in 0..60 {
            fleet.step(&Reckoned::of(step(3.2)), 40.0);
        }
        assert!(ready > before);
        assert_eq!(fleet.misses, ready, "the queue of the old one delays nobody new");
    }

    #[test]
    fn of_few_slots_little_may_queue_and_of_many_nearly_all_that_end_in_time() {
        for (ends, queue) in [(0.0, 0.0), (2.18, 0.874), (7.9, 4.83), (100.0, 86.9)] {
            assert!((queue_max(ends) - queue).abs() < 0.05, "{ends}: {}", queue_max(ends));
        }
    }

    #[test]
    fn a_queue_orders_more_and_no_more_than_twice_what_is_held() {
        let mut fleet = RehearsedFleet::new(1.0);
        for _ in 0..300 {
            fleet.step(&Reckoned::of(step(3.2)), 8.0);
        }
        let most = fleet.ready() + fleet.starting();
        assert!(most <= 2.0, "{most}");
        assert!(RehearsedFleet::new(1.0).for_backlog(&step(3.2), 1.0) <= 0.0);
    }
}
