//! The answer of `preheat size` as it is written in JSON.
//!
//! **Invariant:** field names are stable, units are in them, and ratios are 0–1. What does not apply
//! is null.

use std::time::Duration;

use preheat_core::Concurrency;
use preheat_engine::EngineProfile;
use preheat_sim::report::RunReport;
use preheat_sim::sizing::{Caps, ConcurrencyBound, EngineSizing, EngineSpec, Sizing, Staffing};
use serde::Serialize;

use crate::cli::SizeArgs;

/// Everything that was asked and found.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    pub(super) qps: f64,
    pub(super) slo_ttft_s: f64,
    /// Target.
    pub(super) wait_probability: f64,
    pub(super) dispersion: f64,
    /// Slots of a replica that are of use.
    pub(super) concurrency: u32,
    pub(super) bound_by: BoundBy,
    /// Time in a slot with all of them busy.
    pub(super) service_time_s: f64,
    /// What a replica serves with every slot taken.
    pub(super) replica_qps: f64,
    /// Requests in flight if none waits.
    pub(super) offered_load: f64,
    pub(super) beta: f64,
    pub(super) headroom_slots: f64,
    /// What the SLO on TTFT leaves for waiting.
    pub(super) wait_max_s: f64,
    pub(super) without_headroom: Staffed,
    pub(super) with_headroom: Staffed,
    pub(super) engine: Option<Engine>,
    pub(super) advice: Option<Advice>,
}

/// Which cap binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BoundBy {
    MaxNumSeqs,
    KvMemory,
    SloTpot,
}

/// What so many replicas come to.
#[derive(Debug, Serialize)]
pub(super) struct Staffed {
    pub(super) replicas: u32,
    pub(super) slots: u32,
    pub(super) utilization: f64,
    pub(super) wait_probability: f64,
    /// Of waiting longer than `wait_max_s`.
    pub(super) wait_beyond_slo_probability: f64,
    pub(super) simulated: Option<Simulated>,
}

/// What so many modelled replicas did.
#[derive(Debug, Serialize)]
pub(super) struct Simulated {
    pub(super) duration_s: f64,
    pub(super) requests: u64,
    pub(super) attainment: f64,
    pub(super) ttft_p99_s: Option<f64>,
    pub(super) tpot_p99_s: Option<f64>,
    /// Whether no more requests missed the SLO than may wait.
    pub(super) agrees: bool,
}

/// What only a profile says.
#[derive(Debug, Serialize)]
pub(super) struct Engine {
    pub(super) profile: &'static str,
    pub(super) gpus_per_replica: u32,
    pub(super) input_tokens: f64,
    pub(super) output_tokens: f64,
    pub(super) slo_tpot_s: Option<f64>,
    pub(super) cap_max_num_seqs: u32,
    pub(super) cap_kv_memory: u32,
    pub(super) cap_slo_tpot: Option<u32>,
    /// Mean, with every slot busy.
    pub(super) tpot_s: f64,
    pub(super) ttft_unqueued_s: f64,
}

/// What to change.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(super) enum Advice {
    /// Fewer replicas would do.
    RaiseMaxNumSeqs { max_num_seqs: u32, replicas: u32, tpot_s: f64 },
    /// The engine takes more at once than is good.
    LowerMaxNumSeqs { max_num_seqs: u32 },
}

impl Answered {
    /// From what was asked, the figures of one replica, and the library's answer.
    pub(super) fn of_figures(
        args: &SizeArgs,
        concurrency: Concurrency,
        service_time: Duration,
        wait_max: Duration,
        sizing: &Sizing,
    ) -> Self {
        Self {
            qps: args.qps,
            slo_ttft_s: args.slo_ttft.as_secs_f64(),
            wait_probability: args.wait_probability,
            dispersion: args.dispersion,
            concurrency: concurrency.get(),
            bound_by: BoundBy::MaxNumSeqs,
            service_time_s: service_time.as_secs_f64(),
            replica_qps: sizing.arrival_rate_max,
            offered_load: sizing.offered_load,
            beta: sizing.beta,
            headroom_slots: sizing.headroom_slots,
            wait_max_s: wait_max.as_secs_f64(),
            without_headroom: Staffed::of(&sizing.without_headroom),
            with_headroom: Staffed::of(&sizing.with_headroom),
            engine: None,
            advice: None,
        }
    }

    pub(super) fn of_engine(
        args: &SizeArgs,
        profile: &EngineProfile,
        spec: &EngineSpec,
        sized: &EngineSizing,
    ) -> Self {
        let capacity = &sized.capacity;
        let Caps { max_num_seqs, kv, tpot_slo } = capacity.caps;
        let figures = Self::of_figures(
            args,
            capacity.concurrency,
            capacity.service_time,
            sized.wait_max,
            &sized.sizing,
        );
        Self {
            bound_by: match capacity.bound_by {
                ConcurrencyBound::MaxNumSeqs => BoundBy::MaxNumSeqs,
                ConcurrencyBound::KvMemory => BoundBy::KvMemory,
                ConcurrencyBound::TpotSlo => BoundBy::SloTpot,
            },
            engine: Some(Engine {
                profile: profile.name,
                gpus_per_replica: profile.gpus,
                input_tokens: spec.input_tokens_mean,
                output_tokens: spec.output_tokens_mean,
                slo_tpot_s: spec.tpot_slo.map(|slo| slo.as_secs_f64()),
                cap_max_num_seqs: max_num_seqs.get(),
                cap_kv_memory: kv.get(),
                cap_slo_tpot: tpot_slo.map(|cap| cap.get()),
                tpot_s: capacity.tpot.as_secs_f64(),
                ttft_unqueued_s: capacity.ttft_unqueued.as_secs_f64(),
            }),
            advice: advice(sized),
            ..figures
        }
    }
}

impl Staffed {
    fn of(staffing: &Staffing) -> Self {
        Self {
            replicas: staffing.replicas,
            slots: staffing.slots,
            utilization: staffing.utilization,
            wait_probability: staffing.wait_probability,
            wait_beyond_slo_probability: staffing.wait_probability_beyond,
            simulated: None,
        }
    }
}

impl Simulated {
    pub(super) fn of(report: &RunReport, lasts: Duration, wait_probability: f64) -> Self {
        Self {
            duration_s: lasts.as_secs_f64(),
            requests: report.requests,
            attainment: report.attainment,
            ttft_p99_s: report.ttft_s.p99,
            tpot_p99_s: report.tpot_s.p99,
            agrees: report.attainment >= 1.0 - wait_probability,
        }
    }
}

fn advice(sized: &EngineSizing) -> Option<Advice> {
    if let Some(raised) = &sized.raised {
        return Some(Advice::RaiseMaxNumSeqs {
            max_num_seqs: raised.max_num_seqs.get(),
            replicas: raised.replicas,
            tpot_s: raised.tpot.as_secs_f64(),
        });
    }
    let lower = sized.capacity.concurrency < sized.capacity.caps.max_num_seqs;
    lower.then(|| Advice::LowerMaxNumSeqs { max_num_seqs: sized.capacity.concurrency.get() })
}
