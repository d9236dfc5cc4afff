//! `inferline`: InferLine's reactive tuner, which compares traffic with an envelope.
//!
//! Source: Crankshaw et al., "InferLine" (SoCC 2020), section on high-frequency tuning, restated.
//! Its planner (offline, over a sample trace) is not here: throughput comes from Little's Law on
//! what was served, and there is no envelope of a sample trace that traffic has to leave first.
//!
//! **Invariant:** a scale-down waits for a quiet spell after the last change.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::Instant;

use super::knobs::{Spec, Tunable, count_up, secs};
use super::signals::{ProxyHistory, Window, ratio};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

const TICK: Duration = Duration::from_secs(5);
/// Ticks of each window of the envelope: 5, 10, 20, 40 and 60 s.
const ENVELOPE_TICKS: [usize; 5] = [1, 2, 4, 8, 12];
/// Service times are means over ten minutes.
const SERVICE_WINDOW: Duration = Duration::from_secs(600);

/// Settings of `inferline`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InferLineKnobs {
    /// Share of a replica's throughput that is planned for (ρ); a plan of the sample trace gives
    /// it in the paper, so there is no default.
    pub utilization: f64,
    /// Time without a change before a scale-down.
    pub quiet: Duration,
    /// Time over which the highest five-second rate sizes a scale-down.
    pub down_window: Duration,
}

impl Default for InferLineKnobs {
    /// The paper's 15 s and 30 s.
    fn default() -> Self {
        Self {
            utilization: 0.8,
            quiet: Duration::from_secs(15),
            down_window: Duration::from_secs(30),
        }
    }
}

pub(crate) struct InferLine;

impl Spec for InferLine {
    const NAME: &'static str = "inferline";
    type Knobs = InferLineKnobs;
    const TUNABLES: &'static [Tunable<InferLineKnobs>] = &[
        Tunable {
            name: "utilization",
            values: &[0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            set: |knobs, value| knobs.utilization = value,
        },
        Tunable {
            name: "quiet_s",
            values: &[15.0, 120.0, 300.0, 900.0],
            set: |knobs, value| knobs.quiet = secs(value),
        },
        Tunable {
            name: "down_window_s",
            values: &[30.0, 120.0, 600.0],
            set: |knobs, value| knobs.down_window = secs(value),
        },
    ];

    fn defaults() -> InferLineKnobs {
        InferLineKnobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: InferLineKnobs) -> Box<dyn Scaler> {
        Box::new(InferLineScaler {
            knobs,
            bounds: *bounds,
            arrivals: VecDeque::new(),
            peaks: Window::new(knobs.down_window),
            running: Window::new(SERVICE_WINDOW),
            proxy: ProxyHistory::new(SERVICE_WINDOW),
            began_at: None,
            changed_at: Instant::ORIGIN,
        })
    }
}

struct InferLineScaler {
    knobs: InferLineKnobs,
    bounds: PoolBounds,
    /// Arrivals of all time, at the last ticks.
    arrivals: VecDeque<u64>,
    /// Five-second rates.
    peaks: Window,
    /// Requests in all batches.
    running: Window,
    proxy: ProxyHistory,
    began_at: Option<Instant>,
    changed_at: Instant,
}

impl InferLineScaler {
    /// Requests per second in each window of the envelope; the shortest first.
    fn rates(&self) -> impl Iterator<Item = f64> {
        let now = self.arrivals.back().copied().unwrap_or_default();
        let rate = move |ticks: &usize| {
            let then = *self.arrivals.iter().rev().nth(*ticks)?;
            Some((now - then) as f64 / (TICK.as_secs_f64() * *ticks as f64))
        };
        ENVELOPE_TICKS.iter().filter_map(rate)
    }

    /// Requests per second of one replica with full slots: slots ÷ service time, where the service
    /// time is requests running ÷ requests done per second.
    fn throughput(&self, view: &FleetView<'_>) -> Option<f64> {
        let span = view.now.since(self.began_at?).min(SERVICE_WINDOW).as_secs_f64();
        let service_secs = ratio(self.running.mean()? * span, self.proxy.completions())?;
        ratio(f64::from(view.max_num_seqs.get()), service_secs)
    }
}

impl Scaler for InferLineScaler {
    fn name(&self) -> &str {
        InferLine::NAME
    }

    fn period(&self) -> Duration {
        TICK
    }

    fn pipeline(&self) -> MetricsPipeline {
        // Engines are its own and report with every query.
        MetricsPipeline { scrape_interval: TICK, delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.proxy.record(view.proxy);
        self.running.push(view.now, view.ready_metrics().map(|m| f64::from(m.running)).sum());
        self.began_at.get_or_insert(view.now);
        self.arrivals.push_back(view.proxy.arrivals_total);
        if self.arrivals.len() > ENVELOPE_TICKS[ENVELOPE_TICKS.len() - 1] + 1 {
            self.arrivals.pop_front();
        }
        let mut rates = self.rates();
        let Some(newest) = rates.next() else { return view.desired };
        let highest = rates.fold(newest, f64::max);
        self.peaks.push(view.now, newest);
        let Some(throughput) = self.throughput(view) else { return view.desired };
        let need = |rate: f64| {
            let replicas = count_up(rate / (throughput * self.knobs.utilization));
            replicas.clamp(self.bounds.replicas_min.max(1), self.bounds.replicas_max)
        };
        let up = need(highest);
        let down = need(self.peaks.max().unwrap_or(highest));
        let is_quiet = view.now.since(self.changed_at) >= self.knobs.quiet;
        let desired = if up > view.desired {
            up
        } else if is_quiet && down.max(up) < view.desired {
            down.max(up)
        } else {
            view.desired
        };
        if desired != view.desired {
            self.changed_at = view.now;
        }
        desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    /// Service times of 8 s: 32 slots ÷ 8 s × 0.8 = 3.2 requests/s a replica.
    struct Run {
        scaler: Box<dyn Scaler>,
        now: u64,
        arrivals: u64,
        desired: u32,
    }

    impl Run {
        fn new() -> Self {
            let scaler = InferLine::build(&bounds(1, 100), InferLineKnobs::default());
            Self { scaler, now: 0, arrivals: 0, desired: 4 }
        }

        fn ticks(&mut self, ticks: u64, rate: u64) -> Vec<u32> {
            let mut seen = Vec::new();
            for _ in 0..ticks {
                self.now += 5;
                self.arrivals += 5 * rate;
                let now = self.now;
                // One engine that has 8 in its batch and ends one a second stands for all.
                let fleet = Fleet::new(now).desired(self.desired).ready(1, |m| {
                    m.running = 8;
                });
                let fleet = fleet.proxy(|p| {
                    (p.arrivals_total, p.completions_total) = (self.arrivals, now);
                });
                self.desired = self.scaler.tick(&fleet.view());
                seen.push(self.desired);
            }
            seen
        }
    }

    #[test]
    fn a_burst_of_five_seconds_is_enough_to_grow() {
        let mut run = Run::new();
        assert_eq!(run.ticks(20, 12).last(), Some(&4));
        // 64 ÷ 3.2 = 20.
        assert_eq!(run.ticks(1, 64), [20]);
    }

    #[test]
    fn it_shrinks_to_the_highest_recent_rate_after_a_quiet_spell() {
        let mut run = Run::new();
        run.ticks(20, 12);
        run.ticks(1, 64);
        let seen = run.ticks(14, 12);
        // The longest window, 60 s, holds the burst longest: 12 × 12 + 52 over 12.
        assert_eq!(seen[1], 20);
        assert!(seen[6] < 20 && seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
        assert_eq!(seen.last(), Some(&4));
    }
}
