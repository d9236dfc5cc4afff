//! `skyserve`: SkyPilot SkyServe's request-rate autoscaler.
//!
//! Source: SkyPilot, `sky/serve/autoscalers.py` (late 2025) and `constants.py`.
//!
//! **Invariant:** the backlog is not seen, only arrivals.

use std::time::Duration;

use super::knobs::{Spec, Tunable, count_up, secs};
use super::signals::ProxyHistory;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

const TICK: Duration = Duration::from_secs(20);
const TICK_AT_ZERO: Duration = Duration::from_secs(5);
/// `AUTOSCALER_QPS_WINDOW_SIZE_SECONDS`.
const QPS_WINDOW: Duration = Duration::from_secs(60);

/// Settings of `skyserve`: `replica_policy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkyServeKnobs {
    /// `target_qps_per_replica`; it has no default.
    pub target_qps: f64,
    /// `upscale_delay_seconds`.
    pub upscale_delay: Duration,
    /// `downscale_delay_seconds`.
    pub downscale_delay: Duration,
    /// `num_overprovision`.
    pub overprovision: u32,
}

impl Default for SkyServeKnobs {
    /// 2.5 requests/s is the documentation's example.
    fn default() -> Self {
        Self {
            target_qps: 2.5,
            upscale_delay: Duration::from_secs(300),
            downscale_delay: Duration::from_secs(1200),
            overprovision: 0,
        }
    }
}

pub(crate) struct SkyServe;

impl Spec for SkyServe {
    const NAME: &'static str = "skyserve";
    type Knobs = SkyServeKnobs;
    const TUNABLES: &'static [Tunable<SkyServeKnobs>] = &[
        Tunable {
            name: "target_qps",
            values: &[0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0],
            set: |knobs, value| knobs.target_qps = value,
        },
        Tunable {
            name: "upscale_delay_s",
            values: &[20.0, 60.0, 300.0],
            set: |knobs, value| knobs.upscale_delay = secs(value),
        },
        Tunable {
            name: "downscale_delay_s",
            values: &[300.0, 1200.0],
            set: |knobs, value| knobs.downscale_delay = secs(value),
        },
    ];

    fn defaults() -> SkyServeKnobs {
        SkyServeKnobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: SkyServeKnobs) -> Box<dyn Scaler> {
        let arrivals = ProxyHistory::new(QPS_WINDOW);
        let bounds = *bounds;
        Box::new(SkyServeScaler { knobs, bounds, arrivals, target: None, up: 0, down: 0 })
    }
}

struct SkyServeScaler {
    knobs: SkyServeKnobs,
    bounds: PoolBounds,
    arrivals: ProxyHistory,
    target: Option<u32>,
    up: u128,
    down: u128,
}

impl SkyServeScaler {
    fn decide(&mut self, wish: u32, target: u32) -> u32 {
        let ticks = |delay: Duration| delay.as_nanos() / TICK.as_nanos();
        if target == 0 || wish == target {
            (self.up, self.down) = (0, 0);
            return wish;
        }
        if wish > target {
            (self.up, self.down) = (self.up + 1, 0);
            if self.up < ticks(self.knobs.upscale_delay) {
                return target;
            }
            self.up = 0;
        } else {
            (self.up, self.down) = (0, self.down + 1);
            if self.down < ticks(self.knobs.downscale_delay) {
                return target;
            }
            self.down = 0;
        }
        wish
    }
}

impl Scaler for SkyServeScaler {
    fn name(&self) -> &str {
        SkyServe::NAME
    }

    fn period(&self) -> Duration {
        if self.target == Some(0) { TICK_AT_ZERO } else { TICK }
    }

    fn pipeline(&self) -> MetricsPipeline {
        // Nothing is read from engines: the load balancer counts.
        MetricsPipeline { scrape_interval: Duration::from_secs(60), delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.arrivals.record(view.proxy);
        let qps = self.arrivals.arrivals(QPS_WINDOW) / QPS_WINDOW.as_secs_f64();
        let wish = count_up(qps / self.knobs.target_qps);
        let wish = wish.clamp(self.bounds.replicas_min, self.bounds.replicas_max);
        let adopted = view.desired.saturating_sub(self.knobs.overprovision);
        let target = self.decide(wish, self.target.unwrap_or(adopted));
        self.target = Some(target);
        target + self.knobs.overprovision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    fn run(scaler: &mut Box<dyn Scaler>, ticks: u64, qps: u64, mut now: u64) -> (u32, u64) {
        let mut desired = 2;
        for _ in 0..ticks {
            now += 20;
            let fleet = Fleet::new(now).ready(2, |_| {}).desired(desired);
            desired = scaler.tick(&fleet.proxy(|p| p.arrivals_total = now * qps).view());
        }
        (desired, now)
    }

    #[test]
    fn up_takes_fifteen_ticks_and_down_sixty() {
        let mut scaler = SkyServe::build(&bounds(1, 20), SkyServeKnobs::default());
        // 10 ÷ 2.5 = 4. At 20 and 40 s the window is not yet full: 0 and 200 ÷ 60 ÷ 2.5 → 2.
        let (desired, now) = run(&mut scaler, 16, 10, 0);
        assert_eq!(desired, 2);
        assert_eq!(run(&mut scaler, 1, 10, now).0, 4);
        let mut scaler = SkyServe::build(&bounds(1, 20), SkyServeKnobs::default());
        assert_eq!(run(&mut scaler, 59, 0, 0).0, 2);
        assert_eq!(run(&mut scaler, 1, 0, 59 * 20).0, 1);
    }

    #[test]
    fn at_zero_it_looks_often_and_acts_at_once() {
        let mut scaler = SkyServe::build(&bounds(0, 20), SkyServeKnobs::default());
        let mut tick = |now, arrivals| {
            let fleet = Fleet::new(now).proxy(|p| p.arrivals_total = arrivals);
            (scaler.tick(&fleet.view()), scaler.period())
        };
        assert_eq!(tick(20, 0), (0, TICK_AT_ZERO));
        assert_eq!(tick(25, 1), (1, TICK));
    }
}
