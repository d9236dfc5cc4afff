//! From arrival rate, service time and slots to replicas, without and with headroom.
//!
//! **Invariant:** the count with headroom keeps P(wait) at or below its target, as
//! [`wait_probability`] has it.

use std::time::Duration;

use preheat_core::{Concurrency, RequestRate};

use super::erlang::{wait_probability, wait_probability_beyond};
use super::error::{SizingError, check_above_zero};
use super::halfin_whitt;

/// Slots at most: ten thousand replicas of a thousand slots. Larger than any pool, and P(wait) is
/// linear in it: 0.1 s for so many.
pub const SLOTS_MAX: u32 = 10_000_000;
/// Lowest target for P(wait). Square-root staffing is not made for rarer events.
const WAIT_PROBABILITY_MIN: f64 = 1e-6;
/// Dispersions that were ever measured are well inside.
const DISPERSION: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// A load that is whole replicas but for rounding needs no further one.
const ROUNDING: f64 = 1e-9;

/// What arrives, and what a replica does with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadSpec {
    /// Requests that arrive: the offered rate, refused and queued ones included.
    pub arrival_rate: RequestRate,
    /// Time in a slot, without queueing, while the replica's slots are as busy as they will be.
    pub service_time: Duration,
    /// Slots of a replica.
    pub concurrency: Concurrency,
}

/// How much waiting is acceptable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WaitSpec {
    /// Target for P(wait): the share of requests that find every slot taken.
    pub wait_probability: f64,
    /// Index of dispersion of the requests in flight: 1 for random arrivals.
    pub dispersion: f64,
    /// A wait that is too long.
    pub wait_max: Duration,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizing {
    /// Requests in flight if none waits, in erlangs.
    pub offered_load: f64,
    /// Requests per second of a replica with every slot taken.
    pub arrival_rate_max: f64,
    /// β of square-root staffing.
    pub beta: f64,
    /// Slots beyond the load that β asks for.
    pub headroom_slots: f64,
    /// As few as keep up, were arrivals and service times perfectly even.
    pub without_headroom: Staffing,
    /// As many as keep P(wait) at its target.
    pub with_headroom: Staffing,
}

/// What so many replicas come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staffing {
    /// How many.
    pub replicas: u32,
    /// Their slots.
    pub slots: u32,
    /// Share of the slots that is taken on average; above 1 the queue grows without bound.
    pub utilization: f64,
    /// Share of requests that find every slot taken.
    pub wait_probability: f64,
    /// Share of requests that wait too long.
    pub wait_probability_beyond: f64,
}

/// Replicas for a load.
///
/// Without headroom: offered load `a = λ·S` (J. D. C. Little, "A proof for the queuing formula L =
/// λW", Operations Research 9, 1961) over the k slots of a replica, `⌈a / k⌉`. With headroom:
/// `⌈(a + β·√(z·a)) / k⌉` (square-root staffing, see [`halfin_whitt::beta`]; z as W. Whitt,
/// "Heavy-traffic approximations for service systems with blocking", 1984, scales it). That is a
/// limit for many slots; where [`wait_probability`] is still above the target with so many, as
/// happens with few slots, replicas are added until it is not.
///
/// Worked: 40 requests/s × 8 s = 320 erlangs; over 64 slots 5 replicas, always full. At P(wait) ≤
/// 0.05, β = 1.74 asks for 31.2 slots more: 351.2 / 64 is 6 replicas.
///
/// # Errors
/// Names the figure that is out of range.
pub fn size(load: &LoadSpec, wait: &WaitSpec) -> Result<Sizing, SizingError> {
    check(load, wait)?;
    let concurrency = f64::from(load.concurrency.get());
    let offered_load = load.arrival_rate.offered_load(load.service_time).get();
    let beta = halfin_whitt::beta(wait.wait_probability);
    let headroom_slots = beta * libm::sqrt(wait.dispersion * offered_load);
    let staff = |replicas: u32| staffing(replicas, offered_load, load, wait);
    let without_headroom = staff(replicas(offered_load, load.concurrency)?);
    let mut with_headroom = staff(replicas(offered_load + headroom_slots, load.concurrency)?);
    while with_headroom.wait_probability > wait.wait_probability {
        // One more replica than before is still inside what `replicas` allows.
        let slots = f64::from(with_headroom.slots) + concurrency;
        with_headroom = staff(replicas(slots, load.concurrency)?);
    }
    Ok(Sizing {
        offered_load,
        arrival_rate_max: concurrency / load.service_time.as_secs_f64(),
        beta,
        headroom_slots,
        without_headroom,
        with_headroom,
    })
}

/// Replicas that have so many slots.
fn replicas(slots: f64, concurrency: Concurrency) -> Result<u32, SizingError> {
    let each = concurrency.get();
    let count = libm::ceil(slots / f64::from(each) * (1.0 - ROUNDING)).max(1.0);
    let slots = count * f64::from(each);
    if slots > f64::from(SLOTS_MAX) {
        return Err(SizingError::TooLarge { slots, most: SLOTS_MAX });
    }
    // Within SLOTS_MAX, so the cast is exact.
    Ok(count as u32)
}

fn staffing(replicas: u32, offered_load: f64, load: &LoadSpec, wait: &WaitSpec) -> Staffing {
    let slots = replicas.saturating_mul(load.concurrency.get());
    let all = f64::from(slots);
    let services = wait.wait_max.as_secs_f64() / load.service_time.as_secs_f64();
    Staffing {
        replicas,
        slots,
        utilization: offered_load / all,
        wait_probability: wait_probability(all, offered_load, wait.dispersion),
        wait_probability_beyond: wait_probability_beyond(
            all,
            offered_load,
            wait.dispersion,
            services,
        ),
    }
}

fn check(load: &LoadSpec, wait: &WaitSpec) -> Result<(), SizingError> {
    check_above_zero("the arrival rate", load.arrival_rate.get())?;
    check_above_zero("the service time", load.service_time.as_secs_f64())?;
    let value = wait.wait_probability;
    if !(WAIT_PROBABILITY_MIN..1.0).contains(&value) {
        let must = "from 0.000001 to below 1";
        return Err(SizingError::Figure { name: "the target for P(wait)", value, must });
    }
    let value = wait.dispersion;
    if !DISPERSION.contains(&value) {
        let must = "from 0.01 to 1000; 1 is random traffic";
        return Err(SizingError::Figure { name: "the dispersion", value, must });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
