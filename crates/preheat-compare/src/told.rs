//! Fleets that are told part of the future, to see how much of the distance to the optimum was
//! knowable at all. Nobody could run one.
//!
//! | name | is told |
//! |---|---|
//! | `told-shape` | the mean load of every window of five minutes, the whole trace beforehand: the best that a forecast from other days could be |
//! | `told-steps` | the mean load of a window as that window begins: nothing to estimate, nothing foreseen |
//! | `told-yesterday` | the same, and it takes the coming windows to be to this one as they were a day ago |
//!
//! Each holds `m·L + β·√(m·L)` slots for the largest load L that it goes by, with β = 1, and is tuned
//! in hindsight like everybody else.
//!
//! **Invariant:** what happens inside a window moves neither.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_sim::oracle::{DemandSpec, demand};
use preheat_sim::scaler::Scaler;
use preheat_sim::view::{FleetView, MetricsPipeline};

use crate::error::CompareError;
use crate::optimum::service_model;
use crate::setting::Setting;
use crate::workload::Workload;

/// Whose mean load is told. ServeGen's windows are two of these, the load balancer's and the tweets'
/// bins are one.
const WINDOW: Duration = Duration::from_secs(300);
/// Time between two decisions; windows are whole multiples of it.
const TICK: Duration = Duration::from_secs(10);
/// What traffic may repeat after.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Factors on the load.
const HEADROOMS: [f64; 11] = [0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.1, 2.6, 3.2, 4.0];
/// How long a load is held after its window, in lead times.
const HOLDS: [f64; 4] = [0.0, 1.0, 2.0, 6.0];

/// What a fleet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Shape,
    Steps,
    Yesterday,
}

impl Told {
    const ALL: [Self; 3] = [Self::Shape, Self::Steps, Self::Yesterday];

    /// Names of all, as on the command line.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name)
    }

    /// The one of this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Shape => "told-shape",
            Self::Steps => "told-steps",
            Self::Yesterday => "told-yesterday",
        }
    }

    /// Every setting.
    pub(crate) fn settings(self) -> impl Iterator<Item = Setting> {
        HEADROOMS.into_iter().flat_map(move |headroom| {
            HOLDS.into_iter().map(move |hold| Setting {
                policy: self.name().to_owned(),
                knobs: BTreeMap::from([
                    ("headroom".to_owned(), headroom),
                    ("hold".to_owned(), hold),
                ]),
            })
        })
    }

    /// The fleet of one setting.
    ///
    /// # Errors
    /// When the trace is more than can be planned.
    pub(crate) fn fleet(
        self,
        workload: &Workload,
        knobs: &BTreeMap<String, f64>,
    ) -> Result<ToldFleet, CompareError> {
        let service = service_model(workload);
        let slots = demand(&workload.trace, &DemandSpec { slot: TICK, service, margin: 0.0 })?;
        let loads: Vec<f64> = slots.iter().map(|slot| slot.load).collect();
        let knob = |name: &str, or: f64| knobs.get(name).copied().unwrap_or(or);
        let lead = workload.config.startup.typical();
        let hold = lead.mul_f64(knob("hold", 0.0));
        let in_replica = f64::from(workload.config.engine.max_num_seqs.get());
        let headroom = knob("headroom", 1.0);
        let held = |load| replicas(load, headroom, in_replica);
        Ok(ToldFleet { name: self.name(), desired: self.desired(&loads, lead, hold, held) })
    }

    /// Replicas that should exist at each tick, where `loads` are the ticks' own.
    fn desired(
        self,
        loads: &[f64],
        lead: Duration,
        hold: Duration,
        replicas: impl Fn(f64) -> u32,
    ) -> Vec<u32> {
        let window = ticks(WINDOW);
        let mean = |window: &[f64]| window.iter().sum::<f64>() / window.len() as f64;
        let means: Vec<f64> = loads.chunks(window).map(mean).collect();
        let desired = (0..loads.len()).map(|tick| {
            let now = tick / window;
            let held = &means[tick.saturating_sub(ticks(hold)) / window..=now];
            let last = ((tick + ticks(lead)) / window).min(means.len() - 1);
            let ahead = (now + 1..=last).map(|coming| match self {
                Self::Shape => means[coming],
                Self::Steps => 0.0,
                Self::Yesterday => as_yesterday(&means, now, coming),
            });
            replicas(held.iter().copied().chain(ahead).fold(0.0, f64::max))
        });
        desired.collect()
    }
}

/// The load of a coming window, if it is to that of now as it was a day ago. Nothing where there was
/// no day before, or no load.
fn as_yesterday(means: &[f64], now: usize, coming: usize) -> f64 {
    let day = ticks(DAY) / ticks(WINDOW);
    match (now.checked_sub(day), coming.checked_sub(day)) {
        (Some(then), Some(after)) if means[then] > 0.0 => means[now] * means[after] / means[then],
        _ => 0.0,
    }
}

fn ticks(time: Duration) -> usize {
    (time.as_nanos() / TICK.as_nanos()) as usize
}

/// Replicas that hold a load of so many full ones.
fn replicas(load: f64, headroom: f64, in_replica: f64) -> u32 {
    let slots = headroom * load * in_replica;
    // The cast saturates, and the cluster keeps to the pool's bounds.
    ((slots + slots.sqrt()) / in_replica).ceil() as u32
}

/// A fleet whose size is known for every tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToldFleet {
    name: &'static str,
    desired: Vec<u32>,
}

impl Scaler for ToldFleet {
    fn name(&self) -> &str {
        self.name
    }

    fn period(&self) -> Duration {
        TICK
    }

    /// It reads none.
    fn pipeline(&self) -> MetricsPipeline {
        MetricsPipeline { scrape_interval: TICK, delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let tick = u128::from(view.now.as_nanos()) / TICK.as_nanos();
        let tick = usize::try_from(tick).unwrap_or(usize::MAX);
        self.desired.get(tick).or(self.desired.last()).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows of one replica's load, then two of three, with noise around them.
    fn loads() -> Vec<f64> {
        let window = ticks(WINDOW);
        let noise = |tick: usize| if tick.is_multiple_of(2) { 0.5 } else { -0.5 };
        (0..4 * window)
            .map(|tick| if tick < 2 * window { 1.0 } else { 3.0 } + noise(tick))
            .collect()
    }

    fn desired(told: Told, hold: Duration) -> Vec<u32> {
        told.desired(&loads(), Duration::from_secs(180), hold, |load| load.round() as u32)
    }

    #[test]
    fn the_shape_is_ordered_for_one_lead_time_ahead_and_a_step_when_it_comes() {
        let step = 2 * ticks(WINDOW);
        let grows = |desired: &[u32]| desired.iter().position(|replicas| *replicas == 3);
        let shape = desired(Told::Shape, Duration::ZERO);
        assert_eq!(grows(&shape), Some(step - ticks(Duration::from_secs(180))));
        let steps = desired(Told::Steps, Duration::ZERO);
        assert_eq!(grows(&steps), Some(step));
        assert!(steps.iter().all(|replicas| [1, 3].contains(replicas)), "noise moves nothing");
    }

    #[test]
    fn a_load_is_held_after_its_window() {
        let mut loads = loads();
        loads.reverse();
        let hold = Duration::from_secs(360);
        let held = Told::Steps.desired(&loads, Duration::ZERO, hold, |load| load.round() as u32);
        let falls = held.iter().position(|replicas| *replicas == 1);
        assert_eq!(falls, Some(2 * ticks(WINDOW) + ticks(hold)));
    }

    #[test]
    fn what_came_a_day_ago_is_expected_again_in_proportion() {
        let day = ticks(DAY) / ticks(WINDOW);
        let mut means = vec![1.0; 2 * day];
        (means[6], means[day + 5]) = (3.0, 2.0);
        assert_eq!(as_yesterday(&means, day + 5, day + 6), 2.0 * 3.0);
        assert_eq!(as_yesterday(&means, 5, 6), 0.0, "there was no day before");
    }

    #[test]
    fn a_fleet_has_square_root_staffing_on_top() {
        // 2 replicas of 8 slots are 16, and √16 = 4 more.
        assert_eq!(replicas(2.0, 1.0, 8.0), 3);
        assert_eq!(replicas(0.0, 4.0, 8.0), 0);
    }
}
