//! Demand: how many slots the traffic occupies, from arrivals and time in a slot (Little's Law).
//!
//! **Invariant:** arrivals, never completions, make the arrival rate: completions saturate at
//! capacity. A queue never counts as arrival rate; it is [`crate::backlog`]'s.

use std::time::Duration;

use crate::decision::{ArrivalSource, DemandExplanation};
use crate::memory::{
    ARRIVAL_BINS_MAX, ArrivalBin, DemandKnown, LOAD_SAMPLES_MAX, LoadSample, Memory, ReplicaMemory,
    WorkTotals, push_bounded,
};
use crate::observation::{Counters, Observation, ReplicaObservation, ReplicaPhase};
use crate::policy::PolicySpec;
use crate::units::{Erlangs, Instant, RequestRate};

/// The service time is not believed before this many requests.
const MEASURED_REQUESTS: f64 = 10.0;
/// No request takes less: where clients hang up, what is counted may say so.
const SERVICE_TIME_MIN: Duration = Duration::from_millis(1);
/// Standard deviations by which a load is lower for sure than what was measured.
const SURE_DEVIATIONS: f64 = 2.0;
/// The longest look at what is inside.
const LOAD_WINDOW_MAX: Duration = Duration::from_secs(120);
/// Totals fade to 1/e in this time.
const WORK_FADE: Duration = Duration::from_secs(120);

/// Takes this tick's arrivals and work into memory and says who counted the arrivals. A slot in use
/// counts for what it is worth in its replica ([`crate::capacity::slot_worths`]).
pub(crate) fn remember(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    slot_worths: &[f64],
) -> ArrivalSource {
    let since_last = memory.last.map_or(Duration::ZERO, |last| observation.now.since(last.at));
    fade(memory, since_last);
    let (engine_arrivals, engines_known) =
        remember_engines(spec, memory, observation, slot_worths, since_last);
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
    remember_load(spec, memory, observation, slot_worths);
    source
}

/// Takes what is inside now; a gap in what is known empties the window.
fn remember_load(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    slot_worths: &[f64],
) {
    let now = observation.now;
    let (Some(in_flight), Some(inside)) =
        (in_flight(spec, observation, slot_worths), requests_inside(spec, observation))
    else {
        memory.loads.clear();
        return;
    };
    push_bounded(&mut memory.loads, LoadSample { at: now, in_flight, inside }, LOAD_SAMPLES_MAX);
    let oldest = now.saturating_sub(load_window(spec, service_time(spec, memory).0));
    while memory.loads.len() > 1 && memory.loads.front().is_some_and(|sample| sample.at < oldest) {
        memory.loads.pop_front();
    }
}

/// Where requests stay for long, what is inside changes slowly, and a longer look sees it better.
fn load_window(spec: &PolicySpec, service_time: Duration) -> Duration {
    spec.arrival_window.max(service_time.min(LOAD_WINDOW_MAX))
}

/// Slots in use in every replica that serves; `None` when one can't be asked.
fn in_flight(spec: &PolicySpec, observation: &Observation, slot_worths: &[f64]) -> Option<f64> {
    let fresh = |(replica, worth): (&ReplicaObservation, &f64)| {
        let sample = replica.in_flight?;
        let is_fresh = sample.staleness(observation.now) <= spec.staleness_max;
        is_fresh.then(|| f64::from(sample.value) * worth)
    };
    let replicas = observation.replicas.iter().zip(slot_worths);
    replicas.filter(|(replica, _)| serves(replica)).map(fresh).sum()
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
/// replica that serves told both. One that tells nothing of what has ended looks idle however busy it
/// is: as much leaves it as arrives.
fn remember_engines(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    slot_worths: &[f64],
    since_last: Duration,
) -> (u64, bool) {
    let mut arrivals: i64 = 0;
    let mut all_known = true;
    let mut any = false;
    // Memory has an entry for each replica that exists, and both are sorted by id.
    let entries = memory.replicas.values_mut().zip(slot_worths);
    let replicas = observation.replicas.iter().zip(entries);
    for (replica, (entry, worth)) in replicas.filter(|(replica, _)| serves(replica)) {
        let inside = replica.requests_inside(observation.now, spec.staleness_max);
        let counters = replica.counters.filter(|c| entry.counters_at < Some(c.observed_at));
        if let Some(sample) = counters {
            entry.counters_at = Some(sample.observed_at);
            arrivals += i64::try_from(sample.value.completions).unwrap_or(i64::MAX);
            let in_flight = replica.in_flight.map(|sample| sample.value);
            add_work(&mut memory.work, entry, in_flight, *worth, &sample.value);
        }
        any = true;
        // What has ended is told from the second look on.
        let is_first_look = entry.inside.is_none();
        let counted = replica.counters.map(|c| c.staleness(observation.now));
        all_known &= is_first_look || counted.is_some_and(|age| age <= spec.staleness_max);
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
    slot_worth: f64,
    counters: &Counters,
) {
    let before = entry.in_flight;
    entry.in_flight = in_flight;
    // The first look at a replica says nothing of when its requests began.
    let (Some(before), Some(now)) = (before, in_flight) else { return };
    let (before, now) = (f64::from(before), f64::from(now));
    // Begun = ended + change; their mean is ended + change/2. Crashes can make it negative.
    work.requests = (work.requests + counters.completions as f64 + (now - before) / 2.0).max(0.0);
    work.slot_seconds += (before + now) / 2.0 * slot_worth * counters.over.as_secs_f64();
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
    // What comes while nobody serves is in no slot: counted here, it would make the service time of
    // what comes next look like nothing.
    if engines_tell || !observation.replicas.iter().any(serves) {
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

/// The demand as memory has it; while nobody can tell, it is taken to be what it was.
pub(crate) fn estimate(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    source: ArrivalSource,
) -> DemandExplanation {
    let mut demand = measured(spec, memory, observation, source);
    match memory.demand {
        Some(known) if source == ArrivalSource::Unknown => {
            demand.arrival_rate = known.arrival_rate;
            // What is in use may be known all the same, and then be more.
            let in_use = demand.requests_inside.and(in_use(spec, memory, demand.service_time));
            let grown = in_use.filter(|_| demand.service_time_measured);
            let offered_load = grown.map_or(0.0, Erlangs::get).max(known.offered_load.get());
            demand.offered_load = Erlangs::saturating(offered_load);
        }
        _ => {
            let (arrival_rate, offered_load) = (demand.arrival_rate, demand.offered_load);
            memory.demand = Some(DemandKnown { arrival_rate, offered_load });
        }
    }
    demand
}

fn measured(
    spec: &PolicySpec,
    memory: &Memory,
    observation: &Observation,
    source: ArrivalSource,
) -> DemandExplanation {
    let now = observation.now;
    let arrival_rate = rate(memory, now, spec.arrival_window).unwrap_or(RequestRate::ZERO);
    let (service_time, service_time_measured) = service_time(spec, memory);
    let requests_inside = requests_inside(spec, observation);
    let by_rate = arrival_rate.offered_load(service_time);
    // A wrong prior, or the rush into an empty pool, would order a fleet within the first ticks. What
    // is inside is the offered load as soon as the first requests have come through, and never more
    // than that before.
    let offered_load = match (in_use(spec, memory, service_time), requests_inside) {
        (Some(in_use), _) if service_time_measured => in_use,
        (_, Some(inside)) => Erlangs::saturating(by_rate.get().min(f64::from(inside))),
        (_, None) => by_rate,
    };
    DemandExplanation {
        source,
        arrival_rate,
        service_time,
        service_time_measured,
        requests_inside,
        offered_load,
    }
}

/// Slots in use over the window if nobody had waited. What is inside relaxes to the offered load a
/// as `dN/dt = (a − running) ÷ S`, so `a = mean running + S · ΔN ÷ window`: 40 slots in use, and
/// 30 requests more inside than 30 s ago, of 5 s each, are 45. A change of the mix shows at once,
/// where arrival rate × service time shows it when the first of the new requests have ended.
///
/// `None` until a whole window was seen without a gap.
fn in_use(spec: &PolicySpec, memory: &Memory, service_time: Duration) -> Option<Erlangs> {
    let (first, last) = (memory.loads.front()?, memory.loads.back()?);
    let seen = last.at.since(first.at);
    if seen.saturating_add(spec.tick_interval) < load_window(spec, service_time) || seen.is_zero() {
        return None;
    }
    let window = seen.as_secs_f64();
    let running: f64 = memory.loads.iter().map(|sample| sample.in_flight).sum();
    let mean = running / memory.loads.len() as f64;
    let grown = f64::from(last.inside) - f64::from(first.inside);
    Some(Erlangs::saturating(mean + service_time.as_secs_f64() * grown / window))
}

/// The part of the offered load, in slots, that chance alone doesn't make. Of a load `a` that comes at
/// random, `√a` is what the slots in use deviate by, and over a window that is longer than requests
/// stay, as much less as looks at it are independent: `√(a · 2S ÷ window)`.
///
/// What a queue is projected with: by the load of the moment, a well filled pool would order replicas
/// for what chance queues and takes away again.
pub(crate) fn sure(spec: &PolicySpec, demand: &DemandExplanation) -> f64 {
    let load = demand.offered_load.get();
    let window = load_window(spec, demand.service_time).as_secs_f64();
    let independent = (2.0 * demand.service_time.as_secs_f64() / window).min(1.0);
    (load - SURE_DEVIATIONS * libm::sqrt(load * independent)).max(0.0)
}

/// Requests that arrived since the tick before; `None` when nobody could tell, or it is the first.
pub(crate) fn arrivals_since_last(memory: &Memory, source: ArrivalSource) -> Option<u64> {
    let last = memory.last.filter(|_| source != ArrivalSource::Unknown)?;
    let new = memory.arrivals.iter().rev().take_while(|bin| bin.end > last.at);
    Some(new.map(|bin| bin.arrivals).sum())
}

/// Requests inside every replica that serves, and held ones; `None` when one can't be asked.
fn requests_inside(spec: &PolicySpec, observation: &Observation) -> Option<u32> {
    let held = observation.held(spec.staleness_max);
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
        return (spec.service_time_prior.max(SERVICE_TIME_MIN), false);
    }
    (Duration::from_secs_f64(work.slot_seconds / work.requests).max(SERVICE_TIME_MIN), true)
}

#[cfg(test)]
mod tests;
