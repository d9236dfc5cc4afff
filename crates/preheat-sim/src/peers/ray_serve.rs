//! `ray-serve`: Ray Serve's autoscaling on ongoing requests.
//!
//! Source: Ray 2.52 and later, `serve/autoscaling_policy.py` and `autoscaling_state.py`.
//!
//! **Invariant:** queued work counts as work; starting replicas count only in the present target.

use std::time::Duration;

use preheat_core::Instant;

use super::knobs::{Spec, Target, Tunable, count_up, secs};
use super::signals::Window;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds, ReplicaState};

/// The controller's loop runs ten times in one tick of ours.
const LOOPS_PER_TICK: i64 = 10;
const LOOP: Duration = Duration::from_millis(100);
/// Handles push what they count this often.
const PUSH_INTERVAL: Duration = Duration::from_secs(10);

/// Settings of `ray-serve`: `autoscaling_config`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayServeKnobs {
    /// `target_ongoing_requests`.
    pub target: Target,
    /// `look_back_period_s`.
    pub look_back: Duration,
    /// `upscale_delay_s`.
    pub upscale_delay: Duration,
    /// `downscale_delay_s`.
    pub downscale_delay: Duration,
    /// `downscale_to_zero_delay_s`; the downscale delay unless set.
    pub downscale_to_zero_delay: Option<Duration>,
    /// `upscaling_factor`.
    pub upscaling_factor: f64,
    /// `downscaling_factor`.
    pub downscaling_factor: f64,
}

impl Default for RayServeKnobs {
    fn default() -> Self {
        Self {
            target: Target::Requests(2.0),
            look_back: Duration::from_secs(30),
            upscale_delay: Duration::from_secs(30),
            downscale_delay: Duration::from_secs(600),
            downscale_to_zero_delay: None,
            upscaling_factor: 1.0,
            downscaling_factor: 1.0,
        }
    }
}

impl RayServeKnobs {
    /// A target that fills most of a replica's slots.
    pub fn llm_guide() -> Self {
        Self { target: Target::OfSlots(0.7), ..Self::default() }
    }
}

pub(crate) struct RayServe;

impl Spec for RayServe {
    const NAME: &'static str = "ray-serve";
    const VARIANTS: &'static [&'static str] = &["guide"];
    type Knobs = RayServeKnobs;
    const TUNABLES: &'static [Tunable<RayServeKnobs>] = &[
        Tunable {
            name: "target_of_slots",
            values: &[0.3, 0.5, 0.6, 0.7, 0.8, 0.9],
            set: |knobs, value| knobs.target = Target::OfSlots(value),
        },
        Tunable {
            name: "upscale_delay_s",
            values: &[0.0, 10.0, 30.0],
            set: |knobs, value| knobs.upscale_delay = secs(value),
        },
        Tunable {
            name: "downscale_delay_s",
            values: &[60.0, 300.0, 600.0, 1800.0],
            set: |knobs, value| knobs.downscale_delay = secs(value),
        },
    ];

    fn defaults() -> RayServeKnobs {
        RayServeKnobs::default()
    }

    fn variant(name: &str) -> Option<RayServeKnobs> {
        (name == "guide").then(RayServeKnobs::llm_guide)
    }

    fn build(bounds: &PoolBounds, knobs: RayServeKnobs) -> Box<dyn Scaler> {
        Box::new(RayServeScaler {
            knobs,
            bounds: *bounds,
            recorded: Window::new(knobs.look_back),
            pushed: None,
            counter: 0,
        })
    }
}

struct RayServeScaler {
    knobs: RayServeKnobs,
    bounds: PoolBounds,
    recorded: Window,
    pushed: Option<(Instant, f64)>,
    /// Loops in a row in which the wish was above (positive) or below (negative) the target.
    counter: i64,
}

impl RayServeScaler {
    /// Ongoing requests as the controller knows them: the last push.
    fn total(&mut self, view: &FleetView<'_>) -> f64 {
        self.recorded.push(view.now, f64::from(view.proxy.concurrency));
        // A request that finds no replica is pushed at once.
        if view.desired == 0 && view.proxy.held > 0 {
            return f64::from(view.proxy.concurrency);
        }
        let due = self.pushed.is_none_or(|(at, _)| view.now.since(at) >= PUSH_INTERVAL);
        if due {
            self.pushed = Some((view.now, self.recorded.mean().unwrap_or_default()));
        }
        self.pushed.map(|(_, total)| total).unwrap_or_default()
    }

    fn wish(&self, total: f64, running: u32, target: f64) -> u32 {
        let replicas = f64::from(running);
        let error = total / (target * replicas);
        let factor =
            if error >= 1.0 { self.knobs.upscaling_factor } else { self.knobs.downscaling_factor };
        let mut wish = count_up(replicas * (1.0 + (error - 1.0) * factor));
        // With a small factor the last replica would never go.
        if count_up(replicas * error) < running && wish == running {
            wish -= 1;
        }
        wish.clamp(self.bounds.replicas_min, self.bounds.replicas_max)
    }

    /// Only what lasts is done, and what is done is what the last loop wished.
    fn delayed(&mut self, wish: u32, current: u32) -> u32 {
        let loops = |delay: Duration| (delay.as_nanos() / LOOP.as_nanos()) as i64;
        if wish > current {
            self.counter = self.counter.max(0) + LOOPS_PER_TICK;
            if self.counter > loops(self.knobs.upscale_delay) {
                self.counter = 0;
                return wish;
            }
        } else if wish < current {
            self.counter = self.counter.min(0) - LOOPS_PER_TICK;
            let to_zero = current == 1;
            let wish = if to_zero { wish } else { wish.max(1) };
            let down = self.knobs.downscale_delay;
            let zero = self.knobs.downscale_to_zero_delay.unwrap_or(down);
            if self.counter < -loops(if to_zero { zero } else { down }) {
                self.counter = 0;
                return wish;
            }
        } else {
            self.counter = 0;
        }
        current
    }
}

impl Scaler for RayServeScaler {
    fn name(&self) -> &str {
        RayServe::NAME
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn pipeline(&self) -> MetricsPipeline {
        // Nothing is read from engines: handles count.
        MetricsPipeline { scrape_interval: Duration::from_secs(60), delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let total = self.total(view);
        let (running, current) = (view.count(ReplicaState::Ready), view.desired);
        if running == 0 {
            let first = count_up(self.knobs.upscaling_factor).max(current);
            return if total > 0.0 { first } else { current };
        }
        let target = self.knobs.target.requests(view.max_num_seqs);
        let wish = self.wish(total, running, target);
        self.delayed(wish, current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    fn tick(scaler: &mut Box<dyn Scaler>, now: u64, (ready, starting): (u32, u32), n: u32) -> u32 {
        let fleet = Fleet::new(now).ready(ready, |_| {}).starting(starting);
        scaler.tick(&fleet.proxy(|proxy| (proxy.concurrency, proxy.held) = (n, n)).view())
    }

    #[test]
    fn up_needs_more_than_thirty_seconds_of_wishing_so() {
        let mut scaler = RayServe::build(&bounds(1, 100), RayServeKnobs::default());
        // 20 ÷ 2 = 10. 300 loops are not more than 300.
        for now in 1..=30 {
            assert_eq!(tick(&mut scaler, now, (4, 0), 20), 4, "{now}");
        }
        assert_eq!(tick(&mut scaler, 31, (4, 0), 20), 10);
        // Those that start are in the target, so they aren't ordered again.
        for now in 32..=90 {
            assert_eq!(tick(&mut scaler, now, (4, 6), 20), 10, "{now}");
        }
    }

    #[test]
    fn down_takes_ten_minutes_and_goes_to_the_last_wish() {
        let mut scaler = RayServe::build(&bounds(1, 100), RayServeKnobs::default());
        for now in 1..=600 {
            assert_eq!(tick(&mut scaler, now, (10, 0), 8), 10, "{now}");
        }
        assert_eq!(tick(&mut scaler, 601, (10, 0), 8), 4);
    }

    #[test]
    fn a_small_factor_does_not_stick() {
        let knobs = RayServeKnobs { downscaling_factor: 0.1, ..RayServeKnobs::default() };
        let bounds = bounds(1, 100);
        let scaler = |knobs| RayServeScaler {
            knobs,
            bounds,
            recorded: Window::new(knobs.look_back),
            pushed: None,
            counter: 0,
        };
        // 10 × (1 − 0.5 × 0.1) = 9.5 → 10, less one.
        assert_eq!(scaler(knobs).wish(10.0, 10, 2.0), 9);
        assert_eq!(scaler(RayServeKnobs::default()).wish(10.0, 10, 2.0), 5);
    }

    #[test]
    fn one_request_wakes_a_fleet_at_zero() {
        let mut scaler = RayServe::build(&bounds(0, 100), RayServeKnobs::default());
        assert_eq!(tick(&mut scaler, 1, (0, 0), 0), 0);
        assert_eq!(tick(&mut scaler, 2, (0, 0), 1), 1);
    }
}
