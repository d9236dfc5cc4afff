//! The answer as it is written in JSON.
//!
//! **Invariant:** field names are stable, units are in them, and ratios are 0–1. What does not apply
//! is null.

use std::time::Duration;

use preheat_core::Concurrency;
use preheat_engine::EngineProfile;
use preheat_sim::report::RunReport;
use preheat_sim::sizing::{Caps, ConcurrencyBound, EngineSizing, EngineSpec, Sizing, Staffing};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Plan, SizeSpec};

/// Everything that was asked and found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Answered {
    /// Requests per second.
    pub qps: f64,
    /// SLO on TTFT.
    pub slo_ttft_s: f64,
    /// Target.
    pub wait_probability: f64,
    /// How uneven the traffic is.
    pub dispersion: f64,
    /// Slots of a replica that are of use.
    pub concurrency: u32,
    /// Which cap binds.
    pub bound_by: BoundBy,
    /// Time in a slot with all of them busy.
    pub service_time_s: f64,
    /// What a replica serves with every slot taken.
    pub replica_qps: f64,
    /// Requests in flight if none waits.
    pub offered_load: f64,
    /// Halfin and Whitt's β.
    pub beta: f64,
    /// Slots beside those that the load keeps busy.
    pub headroom_slots: f64,
    /// What the SLO on TTFT leaves for waiting.
    pub wait_max_s: f64,
    /// As many as the load alone needs.
    pub without_headroom: Staffed,
    /// As many as keep the target.
    pub with_headroom: Staffed,
    /// What only a profile says.
    pub engine: Option<Engine>,
    /// What to change.
    pub advice: Option<Advice>,
    /// What to configure.
    pub plan: Option<Plan>,
}

/// Which cap binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundBy {
    /// The engine's setting.
    MaxNumSeqs,
    /// KV memory.
    KvMemory,
    /// The SLO on TPOT.
    SloTpot,
}

/// What so many replicas come to.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Staffed {
    /// Replicas.
    pub replicas: u32,
    /// Slots of all of them.
    pub slots: u32,
    /// Share of slots that are busy.
    pub utilization: f64,
    /// Share that waits.
    pub wait_probability: f64,
    /// Of waiting longer than `wait_max_s`.
    pub wait_beyond_slo_probability: f64,
    /// What a simulation found, where one was asked for.
    pub simulated: Option<Simulated>,
}

/// What so many modelled replicas did.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Simulated {
    /// How long requests arrived.
    pub duration_s: f64,
    /// Requests.
    pub requests: u64,
    /// Share inside the SLOs.
    pub attainment: f64,
    /// TTFT.
    pub ttft_p99_s: Option<f64>,
    /// TPOT.
    pub tpot_p99_s: Option<f64>,
    /// Whether no more requests missed the SLO than may wait.
    pub agrees: bool,
}

/// What only a profile says.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Engine {
    /// Its name.
    pub profile: &'static str,
    /// GPUs of a replica.
    pub gpus_per_replica: u32,
    /// Mean prompt.
    pub input_tokens: f64,
    /// Mean answer.
    pub output_tokens: f64,
    /// SLO on TPOT.
    pub slo_tpot_s: Option<f64>,
    /// The engine's setting.
    pub cap_max_num_seqs: u32,
    /// Mean requests that fit.
    pub cap_kv_memory: u32,
    /// Requests at which TPOT meets its SLO.
    pub cap_slo_tpot: Option<u32>,
    /// Mean, with every slot busy.
    pub tpot_s: f64,
    /// TTFT without a queue.
    pub ttft_unqueued_s: f64,
}

/// What to change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Advice {
    /// Fewer replicas would do.
    RaiseMaxNumSeqs {
        /// To this.
        max_num_seqs: u32,
        /// Then so many would do.
        replicas: u32,
        /// Then a token takes so long with every slot taken.
        tpot_s: f64,
    },
    /// The engine takes more at once than is good.
    LowerMaxNumSeqs {
        /// To this.
        max_num_seqs: u32,
    },
}

impl Answered {
    /// From what was asked, the figures of one replica, and the library's answer.
    pub(crate) fn of_figures(
        spec: &SizeSpec,
        concurrency: Concurrency,
        service_time: Duration,
        wait_max: Duration,
        sizing: &Sizing,
    ) -> Self {
        Self {
            qps: spec.qps,
            slo_ttft_s: spec.slo_ttft.as_secs_f64(),
            wait_probability: spec.wait_probability,
            dispersion: spec.dispersion,
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
            plan: None,
        }
    }

    pub(crate) fn of_engine(
        spec: &SizeSpec,
        profile: &EngineProfile,
        engine: &EngineSpec,
        sized: &EngineSizing,
    ) -> Self {
        let capacity = &sized.capacity;
        let Caps { max_num_seqs, kv, tpot_slo } = capacity.caps;
        let figures = Self::of_figures(
            spec,
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
                input_tokens: engine.input_tokens_mean,
                output_tokens: engine.output_tokens_mean,
                slo_tpot_s: engine.tpot_slo.map(|slo| slo.as_secs_f64()),
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
    pub(crate) fn of(report: &RunReport, lasts: Duration, wait_probability: f64) -> Self {
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
