//! Ticks added up: what a stretch of time came to, whatever its length.
//!
//! **Invariant:** adding up is associative. Buckets of minutes added up to an hour say what the hour's
//! ticks say, up to the rounding of sums.

use preheat_api::journal::EntryBody;
use preheat_api::v1::Series;
use preheat_core::{Action, LatencyWindow, Observation, ReplicaPhase, StopReason};

/// Phases, in the order of a replica's life, as columns of [`Series::replicas`].
const PHASES: [&str; 9] = [
    "pending",
    "provisioning",
    "pulling",
    "loading",
    "warming",
    "waking",
    "ready",
    "draining",
    "standby",
];

/// A stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bucket {
    ticks: u32,
    arrival_rate: Mean,
    offered_load: Mean,
    offered_load_max: Max,
    slots_held: Mean,
    slots_ready: Mean,
    target: Mean,
    desired: Mean,
    replicas: [Mean; PHASES.len()],
    in_flight: Mean,
    queue_depth: Max,
    held: Max,
    kv_utilization: Mean,
    utilization: Mean,
    ttft: Latency,
    itl: Latency,
    itl_mean: Mean,
    failures: u32,
    rejections: u32,
    started: u32,
    given_up: u32,
    violations: u32,
}

/// A mean that more can be added to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    weight: f64,
}

/// A largest value that more can be added to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Max(Option<f64>);

/// Quantiles can't be added up exactly: the median is a mean, the others the worst of any tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Latency {
    p50: Mean,
    p90: Max,
    p99: Max,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.weight += other.weight;
    }

    fn get(self) -> Option<f64> {
        (self.weight > 0.0).then(|| rounded(self.sum / self.weight))
    }
}

impl Max {
    fn add(&mut self, value: f64) {
        self.merge(Self(Some(value)));
    }

    fn merge(&mut self, other: Self) {
        self.0 = match (self.0, other.0) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }

    fn get(self) -> Option<f64> {
        self.0.map(rounded)
    }
}

impl Latency {
    fn add(&mut self, window: &LatencyWindow) {
        self.p50.add(window.p50.as_secs_f64(), window.count as f64);
        self.p90.add(window.p90.as_secs_f64());
        self.p99.add(window.p99.as_secs_f64());
    }

    fn merge(&mut self, other: Self) {
        self.p50.merge(other.p50);
        self.p90.merge(other.p90);
        self.p99.merge(other.p99);
    }
}

impl Bucket {
    /// One tick; a checkpoint is nothing.
    pub(super) fn of(body: &EntryBody) -> Self {
        let mut bucket = Self::default();
        let Some(observation) = body.observation() else { return bucket };
        bucket.ticks = 1;
        bucket.violations = u32::from(body.violation().is_some());
        bucket.observe(observation);
        if let Some(explanation) = body.explanation() {
            let demand = &explanation.demand;
            let cap = explanation.capacity.concurrency_cap.get();
            let ready = explanation.supply.ready.0;
            bucket.arrival_rate.add(demand.arrival_rate.get(), 1.0);
            bucket.offered_load.add(demand.offered_load.get(), 1.0);
            bucket.offered_load_max.add(demand.offered_load.get());
            bucket.slots_held.add(explanation.rehearsal.slots_held, 1.0);
            bucket.slots_ready.add(f64::from(ready) * f64::from(cap), 1.0);
            bucket.target.add(f64::from(explanation.target.0), 1.0);
            if let Some(utilization) = explanation.supply.utilization {
                bucket.utilization.add(utilization.get(), 1.0);
            }
        }
        if let Some(plan) = body.plan() {
            bucket.desired.add(f64::from(plan.desired.0), 1.0);
            plan.actions.iter().for_each(|action| bucket.act(action));
        }
        bucket
    }

    fn observe(&mut self, observation: &Observation) {
        let mut count = [0_u32; PHASES.len()];
        let (mut in_flight, mut queue_depth) = (None, None);
        for replica in &observation.replicas {
            if let Some(column) = PHASES.iter().position(|name| *name == replica.phase.name()) {
                count[column] += 1;
            }
            if replica.phase != ReplicaPhase::Ready {
                continue;
            }
            for (sum, sample) in
                [(&mut in_flight, replica.in_flight), (&mut queue_depth, replica.queue_depth)]
            {
                if let Some(sample) = sample {
                    *sum = Some(sum.unwrap_or(0.0) + f64::from(sample.value));
                }
            }
            if let Some(itl) = replica.itl {
                self.itl_mean.add(itl.value.mean.as_secs_f64(), itl.value.count as f64);
            }
            if let Some(kv) = replica.kv_utilization {
                self.kv_utilization.add(kv.value.get(), 1.0);
            }
        }
        for (mean, count) in self.replicas.iter_mut().zip(count) {
            mean.add(f64::from(count), 1.0);
        }
        if let Some(in_flight) = in_flight {
            self.in_flight.add(in_flight, 1.0);
        }
        if let Some(queue_depth) = queue_depth {
            self.queue_depth.add(queue_depth);
        }
        self.measure(observation);
    }

    /// What clients saw; without a gateway, what the engines did.
    fn measure(&mut self, observation: &Observation) {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(gateway) = &observation.gateway {
            self.held.add(f64::from(gateway.held));
            self.failures = small(gateway.failures);
            self.rejections = small(gateway.rejections);
            gateway.ttft.iter().for_each(|window| self.ttft.add(window));
            gateway.itl.iter().for_each(|window| self.itl.add(window));
            return;
        }
        for replica in &observation.replicas {
            replica.ttft.iter().for_each(|sample| self.ttft.add(&sample.value));
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Start { count } => self.started += count,
            Action::Wake { .. } | Action::Resume { .. } => self.started += 1,
            Action::Drain { .. } => self.given_up += 1,
            Action::Stop { because, .. } => match because {
                StopReason::StartCancelled | StopReason::StandbySurplus => self.given_up += 1,
                // Counted when the drain began.
                StopReason::Drained | StopReason::DrainDeadlinePassed => {}
            },
            Action::Sleep { .. } => {}
        }
    }

    /// Adds another stretch.
    pub(super) fn merge(&mut self, other: &Self) {
        self.ticks += other.ticks;
        self.arrival_rate.merge(other.arrival_rate);
        self.offered_load.merge(other.offered_load);
        self.offered_load_max.merge(other.offered_load_max);
        self.slots_held.merge(other.slots_held);
        self.slots_ready.merge(other.slots_ready);
        self.target.merge(other.target);
        self.desired.merge(other.desired);
        for (mean, other) in self.replicas.iter_mut().zip(other.replicas) {
            mean.merge(other);
        }
        self.in_flight.merge(other.in_flight);
        self.queue_depth.merge(other.queue_depth);
        self.held.merge(other.held);
        self.kv_utilization.merge(other.kv_utilization);
        self.utilization.merge(other.utilization);
        self.ttft.merge(other.ttft);
        self.itl.merge(other.itl);
        self.itl_mean.merge(other.itl_mean);
        for (count, other) in [
            (&mut self.failures, other.failures),
            (&mut self.rejections, other.rejections),
            (&mut self.started, other.started),
            (&mut self.given_up, other.given_up),
            (&mut self.violations, other.violations),
        ] {
            *count = count.saturating_add(other);
        }
    }
}

/// Stretches of equal length as columns.
pub(super) fn columns(from_s: u64, width_s: u64, steps: &[Bucket]) -> Series {
    fn column<T>(steps: &[Bucket], value: impl Fn(&Bucket) -> T) -> Vec<T> {
        steps.iter().map(value).collect()
    }
    let phases = PHASES.iter().enumerate().map(|(index, phase)| {
        ((*phase).to_owned(), column(steps, |step| step.replicas[index].get()))
    });
    let starts = (0..steps.len()).map(|step| (from_s + step as u64 * width_s) as f64);
    Series {
        at_s: starts.collect(),
        ticks: column(steps, |step| step.ticks),
        arrival_rate: column(steps, |step| step.arrival_rate.get()),
        offered_load: column(steps, |step| step.offered_load.get()),
        offered_load_max: column(steps, |step| step.offered_load_max.get()),
        slots_held: column(steps, |step| step.slots_held.get()),
        slots_ready: column(steps, |step| step.slots_ready.get()),
        target: column(steps, |step| step.target.get()),
        desired: column(steps, |step| step.desired.get()),
        replicas: phases.collect(),
        in_flight: column(steps, |step| step.in_flight.get()),
        queue_depth: column(steps, |step| step.queue_depth.get()),
        held: column(steps, |step| step.held.get()),
        kv_utilization: column(steps, |step| step.kv_utilization.get()),
        utilization: column(steps, |step| step.utilization.get()),
        ttft_p50_s: column(steps, |step| step.ttft.p50.get()),
        ttft_p90_s: column(steps, |step| step.ttft.p90.get()),
        ttft_p99_s: column(steps, |step| step.ttft.p99.get()),
        itl_mean_s: column(steps, |step| step.itl_mean.get()),
        itl_p50_s: column(steps, |step| step.itl.p50.get()),
        itl_p99_s: column(steps, |step| step.itl.p99.get()),
        failures: column(steps, |step| step.failures),
        rejections: column(steps, |step| step.rejections),
        started: column(steps, |step| step.started),
        given_up: column(steps, |step| step.given_up),
        violations: column(steps, |step| step.violations),
    }
}

/// Five digits: more than a chart shows, and half the bytes. What no chart shows is left as it is.
fn rounded(value: f64) -> f64 {
    if !(1e-9..1e15).contains(&value.abs()) {
        return value;
    }
    let scale = 10_f64.powi(4 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(value: f64, ticks: u32) -> Bucket {
        let mut bucket = Bucket { ticks, started: ticks, ..Bucket::default() };
        bucket.offered_load.add(value, f64::from(ticks));
        bucket.queue_depth.add(value);
        bucket.ttft.p50.add(value, f64::from(ticks));
        bucket
    }

    proptest! {
        #[test]
        fn it_does_not_matter_what_is_added_up_first(
            parts in prop::collection::vec((0.0..1e6, 1_u32..9), 1..40), cut in 0_usize..40
        ) {
            let parts: Vec<Bucket> = parts.into_iter().map(|(v, n)| bucket(v, n)).collect();
            let add = |parts: &[Bucket]| {
                let mut sum = Bucket::default();
                parts.iter().for_each(|part| sum.merge(part));
                sum
            };
            let (first, second) = parts.split_at(cut.min(parts.len()));
            let (whole, halves) = (add(&parts), add(&[add(first), add(second)]));
            prop_assert_eq!(whole.ticks, halves.ticks);
            prop_assert_eq!(whole.queue_depth, halves.queue_depth);
            let (a, b) = (whole.offered_load, halves.offered_load);
            prop_assert!((a.sum - b.sum).abs() <= 1e-9 * a.sum.abs() && a.weight == b.weight);
        }

        #[test]
        fn rounding_keeps_five_digits(exponent in -12.0..18.0_f64) {
            let value = 10_f64.powf(exponent);
            let seen = rounded(value);
            prop_assert!((seen - value).abs() <= 0.5001e-4 * value.abs(), "{value} became {seen}");
        }
    }

    #[test]
    fn nothing_is_not_zero() {
        let nothing = Bucket::default();
        let series = columns(60, 60, &[nothing, bucket(2.0, 3)]);
        assert_eq!(series.at_s, [60.0, 120.0]);
        assert_eq!(series.offered_load, [None, Some(2.0)]);
        assert_eq!(series.queue_depth, [None, Some(2.0)]);
        assert_eq!((series.ticks, series.started), (vec![0, 3], vec![0, 3]));
        assert_eq!(series.replicas["ready"], [None, None]);
        assert_eq!(rounded(0.1 + 0.2), 0.3);
        assert_eq!(rounded(123_456.0), 123_460.0);
    }
}
