//! The load planner: one replica more or fewer, every few seconds.
//!
//! **Invariant:** one engine that is fine vetoes growth by the SLA; one that is not vetoes a
//! scale-down.

use super::DynamoScaler;
use super::model::StepFit;
use crate::peers::signals::provisioned;
use crate::view::{EngineMetrics, FleetView, ReplicaState};

/// What load plans go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamoLoadMode {
    /// KV that is used and asked for, over what there is: up when any is over 1.0, down when all
    /// are under 0.6. The project's default.
    EasyThroughput,
    /// The same at 0.4 and 0.1.
    EasyLatency,
    /// Estimated TTFT and ITL against the SLA.
    Sla,
}

/// A plan's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
    Stay,
}

/// What one engine would do to the next request.
struct Estimate {
    ttft_secs: f64,
    ttft_own_secs: f64,
    itl_secs: f64,
    kv_tokens: f64,
}

impl DynamoScaler {
    pub(super) fn plan_load(&self, view: &FleetView<'_>, mode: DynamoLoadMode) -> u32 {
        let ready = view.count(ReplicaState::Ready);
        let engines: Vec<&EngineMetrics> = view.ready_metrics().collect();
        let is_settled = ready == view.desired && ready == provisioned(view);
        if !is_settled || engines.len() != ready as usize || engines.is_empty() {
            return view.desired;
        }
        let direction = match mode {
            DynamoLoadMode::EasyThroughput => self.easy(view, &engines, 1.0, 0.6),
            DynamoLoadMode::EasyLatency => self.easy(view, &engines, 0.4, 0.1),
            DynamoLoadMode::Sla => self.sla(view, &engines),
        };
        match direction {
            Direction::Up => ready + 1,
            Direction::Down if ready > 1 => ready - 1,
            Direction::Down | Direction::Stay => ready,
        }
    }

    fn easy(
        &self,
        view: &FleetView<'_>,
        engines: &[&EngineMetrics],
        up: f64,
        down: f64,
    ) -> Direction {
        let input = self.proxy.prompt_tokens_mean().unwrap_or(0.0);
        let usage = |m: &&EngineMetrics| {
            let queued = f64::from(m.waiting) * input / view.kv_capacity_tokens as f64;
            m.kv_utilization + queued
        };
        if engines.iter().map(usage).any(|usage| usage > up) {
            Direction::Up
        } else if engines.iter().map(usage).all(|usage| usage < down) {
            Direction::Down
        } else {
            Direction::Stay
        }
    }

    fn sla(&self, view: &FleetView<'_>, engines: &[&EngineMetrics]) -> Direction {
        let Some(fit) = self.model.fit() else { return Direction::Stay };
        let (ttft, itl) = (self.sla.ttft_secs, self.sla.itl_secs);
        let estimates = || engines.iter().map(|m| self.estimate(view, &fit, m, 1.0));
        if estimates().all(|e| e.ttft_secs > ttft || e.itl_secs > itl) {
            return Direction::Up;
        }
        if engines.len() < 2 {
            return Direction::Stay;
        }
        let n = engines.len() as f64;
        let kv_max = view.kv_capacity_tokens as f64;
        let mut after = engines.iter().map(|m| self.estimate(view, &fit, m, n / (n - 1.0)));
        let sensitivity = self.knobs.sensitivity;
        let is_fine = |e: Estimate| {
            let ttft_free = sensitivity * (ttft - e.ttft_own_secs);
            e.ttft_secs - e.ttft_own_secs < ttft_free
                && e.kv_tokens < kv_max
                && e.itl_secs < sensitivity * itl
        };
        if after.all(is_fine) { Direction::Down } else { Direction::Stay }
    }

    /// With the engine's load multiplied by `growth`.
    fn estimate(
        &self,
        view: &FleetView<'_>,
        fit: &StepFit,
        metrics: &EngineMetrics,
        growth: f64,
    ) -> Estimate {
        let input = self.proxy.prompt_tokens_mean().unwrap_or(0.0);
        let output = self.proxy.generation_tokens_mean().unwrap_or(0.0);
        let budget = self.knobs.max_num_batched_tokens;
        let queued = f64::from(metrics.waiting) * input * growth;
        let scheduled = metrics.kv_utilization * view.kv_capacity_tokens as f64 * growth;
        // In steady state every step computes as many prompt tokens as its batch will free.
        let prefill = if output > 0.0 {
            (f64::from(metrics.running) * growth * input / output).min(budget)
        } else {
            0.0
        };
        let kv_tokens = scheduled + queued + input + output / 2.0;
        Estimate {
            ttft_secs: fit.ttft_secs(queued + input, scheduled, budget),
            ttft_own_secs: fit.ttft_secs(input, scheduled, budget),
            itl_secs: fit.wall_secs(prefill, kv_tokens),
            kv_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::peers::dynamo::{DynamoKnobs, DynamoLoad, DynamoLoadMode};
    use crate::peers::fixture::{Fleet, bounds};
    use crate::peers::knobs::Spec;
    use crate::scaler::Scaler;

    fn tick(scaler: &mut Box<dyn Scaler>, fleet: Fleet) -> u32 {
        scaler.tick(&fleet.view())
    }

    #[test]
    fn easy_throughput_goes_by_kv_and_one_at_a_time() {
        let mut scaler = DynamoLoad::build(&bounds(1, 20), DynamoKnobs::load());
        let kv = |kv: f64| Fleet::new(5).ready(3, move |m| m.kv_utilization = kv);
        assert_eq!(tick(&mut scaler, kv(0.5)), 2);
        assert_eq!(tick(&mut scaler, kv(0.8)), 3);
        let one_full = kv(0.3).ready(1, |m| m.kv_utilization = 1.01);
        assert_eq!(tick(&mut scaler, one_full), 5);
    }

    #[test]
    fn nothing_is_done_while_replicas_start_or_metrics_lack() {
        let mut scaler = DynamoLoad::build(&bounds(1, 20), DynamoKnobs::load());
        let full = || Fleet::new(5).ready(3, |m| m.kv_utilization = 1.5);
        assert_eq!(tick(&mut scaler, full().starting(1)), 4);
        assert_eq!(tick(&mut scaler, full().blind(1)), 4);
    }

    /// A step of 60 ms, and 40 waiting prompts of 1,000 tokens where `waiting`.
    fn sla(slo_is_met: bool, waiting: u32) -> u32 {
        let knobs = DynamoKnobs { load: Some(DynamoLoadMode::Sla), ..DynamoKnobs::load() };
        let mut scaler = DynamoLoad::build(&bounds(1, 20), knobs);
        let step = if slo_is_met { 0.06 } else { 0.12 };
        let mut desired = 4;
        for look in 1..=4_u64 {
            let now = look * 5;
            let fleet = Fleet::new(now).ready(4, |m| {
                (m.itl_count, m.itl_seconds_sum) = (now * 10, (now * 10) as f64 * step);
                (m.running, m.kv_utilization, m.waiting) = (8, 0.2, waiting);
            });
            let fleet = fleet.proxy(|p| {
                (p.arrivals_total, p.arrived_prompt_tokens_total) = (now, now * 1000);
                (p.completions_total, p.completed_generation_tokens_total) = (now, now * 200);
            });
            desired = tick(&mut scaler, fleet);
        }
        desired
    }

    #[test]
    fn by_the_sla_all_have_to_miss_it_or_all_to_have_room() {
        // 60 ms < 0.8 × 100 ms, and 20,800 tokens × 4 ÷ 3 fit: one fewer.
        assert_eq!(sla(true, 0), 3);
        assert_eq!(sla(false, 0), 5);
        // 120 × 1,000 queued tokens don't fit 100,000: no scale-down.
        assert_eq!(sla(true, 120), 4);
    }
}
