//! `knative`: the Knative Pod Autoscaler on concurrency.
//!
//! Source: Knative Serving 98e5ef9 (2026-08-21), `pkg/autoscaler/scaling` and
//! `pkg/reconciler/autoscaling/kpa`.
//!
//! **Invariant:** only ready replicas count; a panic never shrinks.

use std::time::Duration;

use preheat_core::Instant;

use super::knobs::{Spec, Target, Tunable, count_down, count_up, secs};
use super::signals::Window;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds, ReplicaState};

const TICK: Duration = Duration::from_secs(2);
/// `scale-to-zero-grace-period`.
const GRACE: Duration = Duration::from_secs(30);
/// No target is below this.
const TARGET_MIN: f64 = 0.01;

/// Settings of `knative`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnativeKnobs {
    /// Concurrency of a replica at full use.
    pub target: Target,
    /// `container-concurrency-target-percentage`, as a ratio.
    pub target_utilization: f64,
    /// `stable-window`.
    pub stable_window: Duration,
    /// `panic-window-percentage`, as a ratio.
    pub panic_window_ratio: f64,
    /// `panic-threshold-percentage`, as a ratio.
    pub panic_threshold: f64,
    /// `max-scale-up-rate`.
    pub scale_up_rate_max: f64,
    /// `max-scale-down-rate`.
    pub scale_down_rate_max: f64,
    /// `activation-scale`: any wish above zero is at least this.
    pub activation_scale: u32,
    /// `scale-down-delay`.
    pub scale_down_delay: Duration,
    /// `scale-to-zero-pod-retention-period`.
    pub retention: Duration,
}

impl Default for KnativeKnobs {
    fn default() -> Self {
        Self {
            target: Target::Requests(100.0),
            target_utilization: 0.7,
            stable_window: Duration::from_secs(60),
            panic_window_ratio: 0.1,
            panic_threshold: 2.0,
            scale_up_rate_max: 1000.0,
            scale_down_rate_max: 2.0,
            activation_scale: 1,
            scale_down_delay: Duration::ZERO,
            retention: Duration::ZERO,
        }
    }
}

impl KnativeKnobs {
    /// `containerConcurrency` set to the engine's slots.
    pub fn llm_guide() -> Self {
        Self { target: Target::OfSlots(1.0), ..Self::default() }
    }
}

pub(crate) struct Knative;

impl Spec for Knative {
    const NAME: &'static str = "knative";
    const VARIANTS: &'static [&'static str] = &["guide"];
    type Knobs = KnativeKnobs;
    const TUNABLES: &'static [Tunable<KnativeKnobs>] = &[
        Tunable {
            name: "target_of_slots",
            values: &[0.4, 0.6, 0.8, 1.0, 1.2],
            set: |knobs, value| knobs.target = Target::OfSlots(value),
        },
        Tunable {
            name: "stable_window_s",
            values: &[60.0, 180.0, 600.0],
            set: |knobs, value| knobs.stable_window = secs(value),
        },
        Tunable {
            name: "scale_down_delay_s",
            values: &[0.0, 300.0, 900.0],
            set: |knobs, value| knobs.scale_down_delay = secs(value),
        },
    ];

    fn defaults() -> KnativeKnobs {
        KnativeKnobs::default()
    }

    fn variant(name: &str) -> Option<KnativeKnobs> {
        (name == "guide").then(KnativeKnobs::llm_guide)
    }

    fn build(bounds: &PoolBounds, knobs: KnativeKnobs) -> Box<dyn Scaler> {
        Box::new(KnativeScaler {
            knobs,
            bounds: *bounds,
            concurrency: Window::new(knobs.stable_window),
            delayed: Window::new(knobs.scale_down_delay),
            panic: None,
            has_begun: false,
            active_since: None,
            inactive_since: None,
        })
    }
}

struct Panic {
    since: Instant,
    replicas_max: u32,
}

struct KnativeScaler {
    knobs: KnativeKnobs,
    bounds: PoolBounds,
    concurrency: Window,
    delayed: Window,
    panic: Option<Panic>,
    has_begun: bool,
    active_since: Option<Instant>,
    inactive_since: Option<Instant>,
}

impl KnativeScaler {
    /// What the autoscaler proper wants.
    fn want(&mut self, view: &FleetView<'_>, ready: u32) -> Option<u32> {
        let knobs = self.knobs;
        let now = view.now;
        let target = knobs.target.requests(view.max_num_seqs) * knobs.target_utilization;
        let target = target.max(TARGET_MIN);
        let panic_window = knobs.stable_window.mul_f64(knobs.panic_window_ratio).max(secs(1.0));
        let reachable = ready > 0;
        let ready = ready.max(1);
        let up = count_up(knobs.scale_up_rate_max * f64::from(ready));
        let down = count_down(f64::from(ready) / knobs.scale_down_rate_max);
        let down = if reachable { down } else { 0 };
        let stable_raw = count_up(self.concurrency.mean()? / target);
        let panic_raw = count_up(self.concurrency.mean_over(panic_window)? / target);
        let limited = |raw: u32| {
            let activated = if raw > 0 { knobs.activation_scale } else { 0 };
            raw.clamp(down, up).max(activated)
        };
        let (stable, panic) = (limited(stable_raw), limited(panic_raw));
        let over = f64::from(panic_raw) / f64::from(ready) >= knobs.panic_threshold;
        if over {
            let replicas_max = self.panic.as_ref().map_or(0, |panic| panic.replicas_max);
            self.panic = Some(Panic { since: now, replicas_max });
        } else if self.panic.as_ref().is_some_and(|p| now.since(p.since) > knobs.stable_window) {
            self.panic = None;
        }
        let want = match &mut self.panic {
            Some(state) => {
                state.replicas_max = state.replicas_max.max(stable).max(panic);
                state.replicas_max
            }
            None => stable,
        };
        if knobs.scale_down_delay.is_zero() || !reachable {
            return Some(want);
        }
        self.delayed.push(now, f64::from(want));
        Some(count_up(self.delayed.max().unwrap_or_default()))
    }

    /// Zero is reached through a stable window while active, then a grace period while not.
    fn retire(&mut self, now: Instant, desired: u32) -> u32 {
        if let Some(since) = self.inactive_since {
            let patience = GRACE.max(self.knobs.retention);
            return if now.since(since) >= patience { 0 } else { desired };
        }
        let active_for = self.active_since.map(|since| now.since(since));
        if active_for.is_some_and(|active_for| active_for < self.knobs.stable_window) {
            return 1;
        }
        self.inactive_since = Some(now);
        desired
    }
}

impl Scaler for KnativeScaler {
    fn name(&self) -> &str {
        Knative::NAME
    }

    fn period(&self) -> Duration {
        TICK
    }

    fn pipeline(&self) -> MetricsPipeline {
        // Nothing is read from engines: queue proxies and the activator count.
        MetricsPipeline { scrape_interval: Duration::from_secs(60), delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let ready = view.count(ReplicaState::Ready);
        self.concurrency.push(view.now, f64::from(view.proxy.concurrency));
        if !self.has_begun {
            self.has_begun = true;
            // It may have been restarted in the midst of load: hold until there is a window of data.
            if ready > 1 {
                self.panic = Some(Panic { since: view.now, replicas_max: ready });
            }
        }
        let Some(want) = self.want(view, ready) else { return view.desired };
        let want = want.min(self.bounds.replicas_max);
        if want > 0 && ready > 0 {
            self.active_since.get_or_insert(view.now);
        }
        if want > 0 || self.bounds.replicas_min > 0 {
            self.inactive_since = None;
            return want.max(self.bounds.replicas_min);
        }
        let desired = self.retire(view.now, view.desired);
        if desired == 0 {
            self.active_since = None;
            self.delayed.clear();
        }
        desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    /// 32 slots × 0.7 = 22.4 per replica.
    fn scaler(replicas_min: u32) -> Box<dyn Scaler> {
        Knative::build(&bounds(replicas_min, 100), KnativeKnobs::llm_guide())
    }

    fn tick(scaler: &mut Box<dyn Scaler>, now: u64, ready: u32, concurrency: u32) -> u32 {
        let fleet = Fleet::new(now).ready(ready, |_| {});
        scaler.tick(&fleet.proxy(|proxy| proxy.concurrency = concurrency).view())
    }

    #[test]
    fn the_default_target_is_seventy() {
        let mut scaler = Knative::build(&bounds(1, 100), KnativeKnobs::default());
        assert_eq!(tick(&mut scaler, 2, 1, 141), 3);
    }

    #[test]
    fn a_burst_panics_on_six_seconds_and_holds_for_a_window() {
        let mut scaler = scaler(1);
        for now in (2..=60).step_by(2) {
            assert_eq!(tick(&mut scaler, now, 1, 20), 1);
        }
        // (20 + 20 + 200) ÷ 3 = 80 → 4 replicas, 4 ÷ 1 ≥ 2: panic.
        assert_eq!(tick(&mut scaler, 62, 1, 200), 4);
        assert_eq!(tick(&mut scaler, 64, 1, 200), 7);
        assert_eq!(tick(&mut scaler, 66, 1, 200), 9);
        // The burst is over, the panic is not: 8 s later 9 ÷ 9 is not over the threshold.
        for now in (68..=126).step_by(2) {
            assert_eq!(tick(&mut scaler, now, 9, 20), 9, "{now}");
        }
        // The stable window knows only 20 by then; 9 ÷ 2 at most in one tick.
        assert_eq!(tick(&mut scaler, 128, 9, 20), 4);
        assert_eq!(tick(&mut scaler, 130, 4, 20), 2);
    }

    #[test]
    fn a_restart_with_replicas_holds_in_panic() {
        let mut scaler = scaler(1);
        for now in (2..=62).step_by(2) {
            assert_eq!(tick(&mut scaler, now, 5, 0), 5, "{now}");
        }
        assert_eq!(tick(&mut scaler, 64, 5, 0), 2);
    }

    #[test]
    fn zero_takes_a_stable_window_and_a_grace_period() {
        let mut scaler = scaler(0);
        assert_eq!(tick(&mut scaler, 2, 1, 1), 1);
        for now in (4..=90).step_by(2) {
            assert_eq!(tick(&mut scaler, now, 1, 0), 1, "{now}");
        }
        assert_eq!(tick(&mut scaler, 92, 1, 0), 0);
        assert_eq!(tick(&mut scaler, 94, 0, 0), 0);
        assert_eq!(tick(&mut scaler, 96, 0, 30), 1);
    }
}
