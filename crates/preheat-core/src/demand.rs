//! Demand: how many slots the traffic occupies, from arrivals and time in a slot (Little's Law).
//!
//! **Invariant:** arrivals, never completions, make the arrival rate: completions saturate at
//! capacity. A queue never counts as arrival rate; it is [`crate::backlog`]'s.

use std::time::Duration;

use crate::decision::{ArrivalSource, DemandExplanation};
use crate::memory::{
    ARRIVAL_BINS_MAX, ArrivalBin, Memory, ReplicaMemory, WorkTotals, push_bounded,
};
use crate::observation::{Counters, Observation, ReplicaObservation, ReplicaPhase};
use crate::policy::PolicySpec;
use crate::units::{Erlangs, Instant, RequestRate};

/// The service time is not believed before this many requests.
const MEASURED_REQUESTS: f64 = 10.0;
/// Totals fade to 1/e in this time.
const WORK_FADE: Duration = Duration::from_secs(300);
/// Dispersion is not estimated from fewer blocks than this.
const DISPERSION_BLOCKS_MIN: usize = 6;
/// Beyond this, more headroom would only chase noise.
const DISPERSION_MAX: f64 = 20.0;
/// A burst counts only above this many standard deviations of Poisson noise.
const BURST_SIGMAS: f64 = 2.0;

/// Takes this tick's arrivals and work into memory and says who counted the arrivals.
pub(crate) fn remember(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
) -> ArrivalSource {
    let since_last = memory.last.map_or(Duration::ZERO, |last| observation.now.since(last.at));
    fade(memory, since_last);
    let (engine_arrivals, engines_known) = remember_engines(spec, memory, observation, since_last);
    let gateway = observation.gateway.as_ref();
    let fresh = gateway.filter(|g| observation.now.since(g.observed_at) <= spec.staleness_max);
    let (source, bin) = match fresh {
        Some(seen) => {
            let bin =
                ArrivalBin { end: seen.observed_at, over: seen.over, arrivals: seen.arrivals };
            (ArrivalSource::Gateway, Some(bin))
        }
        None if engines_known => {
            let arrivals = engine_arrivals;
            let bin = ArrivalBin { end: observation.now, over: since_last, arrivals };
            (ArrivalSource::Engines, Some(bin))
        }
        None => (ArrivalSource::Unknown, None),
    };
    if let Some(bin) = bin.filter(|bin| bin.over > Duration::ZERO) {
        push_bounded(&mut memory.arrivals, bin, ARRIVAL_BINS_MAX);
    }
    let oldest = observation.now.saturating_sub(spec.arrival_window);
    while memory.arrivals.front().is_some_and(|bin| bin.end < oldest) {
        memory.arrivals.pop_front();
    }
    source
}

fn fade(memory: &mut Memory, since_last: Duration) {
    let keep = libm::exp(-since_last.as_secs_f64() / WORK_FADE.as_secs_f64());
    let work = &mut memory.work;
    work.slot_seconds *= keep;
    work.requests *= keep;
    work.prompt_tokens *= keep;
    work.generation_tokens *= keep;
}

/// Arrivals as engines show them, completions plus the change of what is inside, and whether every
/// replica that serves could be asked.
fn remember_engines(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    since_last: Duration,
) -> (u64, bool) {
    let mut arrivals: i64 = 0;
    let mut all_known = true;
    let mut any = false;
    for replica in observation.replicas.iter().filter(|r| serves(r)) {
        let inside = replica.requests_inside(observation.now, spec.staleness_max);
        let Some(entry) = memory.replicas.get_mut(&replica.id) else { continue };
        let counters = replica.counters.filter(|c| entry.counters_at < Some(c.observed_at));
        if let Some(sample) = counters {
            entry.counters_at = Some(sample.observed_at);
            arrivals += i64::try_from(sample.value.completions).unwrap_or(i64::MAX);
            add_work(&mut memory.work, entry, replica.in_flight.map(|s| s.value), &sample.value);
        }
        any = true;
        match inside {
            Some(inside) => {
                arrivals += i64::from(inside) - i64::from(entry.inside.unwrap_or(0));
                entry.inside = Some(inside);
            }
            None => all_known = false,
        }
    }
    remember_gateway_work(spec, memory, observation, since_last);
    // Clients that hang up leave without a completion: the sum can fall below zero.
    (u64::try_from(arrivals).unwrap_or(0), any && all_known)
}

/// Adds what one engine counted between two scrapes.
fn add_work(
    work: &mut WorkTotals,
    entry: &mut ReplicaMemory,
    in_flight: Option<u32>,
    counters: &Counters,
) {
    let before = entry.in_flight;
    entry.in_flight = in_flight;
    // The first look at a replica says nothing of when its requests began.
    let (Some(before), Some(now)) = (before, in_flight) else { return };
    let (before, now) = (f64::from(before), f64::from(now));
    // Begun = ended + change; their mean is ended + change/2. Crashes can make it negative.
    work.requests = (work.requests + counters.completions as f64 + (now - before) / 2.0).max(0.0);
    work.slot_seconds += (before + now) / 2.0 * counters.over.as_secs_f64();
    work.prompt_tokens += counters.prompt_tokens as f64;
    work.generation_tokens += counters.generation_tokens as f64;
}

/// Where engines tell nothing, the gateway's view stands in: requests outstanding are taken for
/// slots in use.
fn remember_gateway_work(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    since_last: Duration,
) {
    let Some(gateway) = &observation.gateway else { return };
    let engines_tell = observation
        .replicas
        .iter()
        .any(|r| r.counters.is_some_and(|c| c.staleness(observation.now) <= spec.staleness_max));
    if engines_tell {
        return;
    }
    let outstanding: u32 =
        observation.replicas.iter().filter_map(|r| r.outstanding).map(|s| s.value).sum();
    memory.work.requests += (gateway.arrivals + gateway.completions) as f64 / 2.0;
    memory.work.slot_seconds += f64::from(outstanding) * since_last.as_secs_f64();
}

/// Whether requests can be inside it.
pub(crate) fn serves(replica: &ReplicaObservation) -> bool {
    matches!(replica.phase, ReplicaPhase::Ready | ReplicaPhase::Draining)
}

/// The demand as memory has it.
pub(crate) fn estimate(
    spec: &PolicySpec,
    memory: &Memory,
    observation: &Observation,
    source: ArrivalSource,
) -> DemandExplanation {
    let now = observation.now;
    let long = rate(memory, now, spec.arrival_window).unwrap_or(RequestRate::ZERO);
    let burst = rate(memory, now, spec.burst_window).unwrap_or(long);
    let noise = BURST_SIGMAS * (burst.get() / spec.burst_window.as_secs_f64()).sqrt();
    let used = RequestRate::saturating(long.get().max(burst.get() - noise));
    let (service_time, service_time_measured) = service_time(spec, memory);
    let requests_inside = requests_inside(spec, observation);
    let by_rate = used.offered_load(service_time);
    // A wrong prior would order a fleet within the first ticks. What is inside is the offered load
    // as soon as the first requests have come through, and never more than that before.
    let offered_load = match requests_inside {
        Some(inside) if !service_time_measured => {
            Erlangs::saturating(by_rate.get().min(f64::from(inside)))
        }
        _ => by_rate,
    };
    let dispersion = dispersion(memory, service_time);
    let headroom = spec.headroom_beta * (dispersion * offered_load.get()).sqrt();
    DemandExplanation {
        source,
        arrival_rate: long,
        arrival_rate_burst: burst,
        arrival_rate_used: used,
        dispersion,
        service_time,
        service_time_measured,
        requests_inside,
        offered_load,
        headroom: Erlangs::saturating(headroom),
    }
}

/// Requests inside every replica that serves, and held ones; `None` when one can't be asked.
fn requests_inside(spec: &PolicySpec, observation: &Observation) -> Option<u32> {
    let held = observation.gateway.as_ref().map_or(0, |gateway| gateway.held);
    let serving = observation.replicas.iter().filter(|r| serves(r));
    let inside = serving.map(|r| r.requests_inside(observation.now, spec.staleness_max));
    inside.sum::<Option<u32>>().map(|inside| inside.saturating_add(held))
}

/// Mean arrival rate over the last `window`, or `None` when nothing is known of it.
fn rate(memory: &Memory, now: Instant, window: Duration) -> Option<RequestRate> {
    let oldest = now.saturating_sub(window);
    let bins = memory.arrivals.iter().rev().take_while(|bin| bin.end > oldest);
    let (arrivals, over) = bins.fold((0_u64, Duration::ZERO), |(arrivals, over), bin| {
        (arrivals + bin.arrivals, over + bin.over)
    });
    (over > Duration::ZERO).then(|| RequestRate::saturating(arrivals as f64 / over.as_secs_f64()))
}

/// Time in a slot, and whether it was measured: slot-seconds ÷ requests (Little's Law on the batch
/// slots), 400 slot-seconds ÷ 40 requests = 10 s. While none has ended yet, it is the time for which
/// they have been coming, and arrival rate × service time is what is inside.
fn service_time(spec: &PolicySpec, memory: &Memory) -> (Duration, bool) {
    let work = &memory.work;
    if work.requests < MEASURED_REQUESTS || work.slot_seconds <= 0.0 {
        return (spec.service_time_prior, false);
    }
    (Duration::from_secs_f64(work.slot_seconds / work.requests), true)
}

/// Variance ÷ mean of arrivals in blocks of about one service time: what matters to a pool is how
/// uneven traffic is on the scale on which its slots free up.
fn dispersion(memory: &Memory, service_time: Duration) -> f64 {
    let mut blocks: Vec<(f64, f64)> = Vec::new();
    let (mut arrivals, mut over) = (0.0, Duration::ZERO);
    for bin in &memory.arrivals {
        arrivals += bin.arrivals as f64;
        over += bin.over;
        if over >= service_time {
            blocks.push((arrivals, over.as_secs_f64()));
            (arrivals, over) = (0.0, Duration::ZERO);
        }
    }
    let (total, seconds) = blocks.iter().fold((0.0, 0.0), |(a, s), b| (a + b.0, s + b.1));
    if blocks.len() < DISPERSION_BLOCKS_MIN || total <= 0.0 {
        return 1.0;
    }
    let rate = total / seconds;
    // Each block's squared deviation over its expectation: the index of dispersion, for blocks of
    // slightly different lengths.
    let deviations: f64 =
        blocks.iter().map(|(n, s)| (n - rate * s) * (n - rate * s) / (rate * s)).sum();
    (deviations / (blocks.len() - 1) as f64).clamp(1.0, DISPERSION_MAX)
}
