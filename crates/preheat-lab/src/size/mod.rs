//! `preheat size`, for whoever asks: a command line, or a page.

mod answer;
mod plan;
mod text;

use std::time::Duration;

use preheat_core::{Concurrency, RequestRate};
use preheat_engine::{ConfigError, EngineConfig, EngineProfile};
use preheat_sim::sizing::{
    EngineSizing, EngineSpec, LoadSpec, SizingError, Trial, TrialError, TrialSpec, WaitSpec, size,
    size_engine,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use answer::{Answered, Simulated, Staffed};
pub use plan::{Plan, PlanSpec};
pub use text::text;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeSpec {
    /// Requests that arrive per second, at the busiest.
    pub qps: f64,
    /// Mean time in a slot; or `profile`.
    pub latency: Option<Duration>,
    /// Most requests in the batch of a replica.
    pub max_num_seqs: Option<u32>,
    /// Engine profile.
    pub profile: Option<String>,
    /// Mean prompt tokens.
    pub input_tokens: Option<f64>,
    /// Mean generated tokens.
    pub output_tokens: Option<f64>,
    /// SLO on TTFT.
    pub slo_ttft: Duration,
    /// SLO on TPOT.
    pub slo_tpot: Option<Duration>,
    /// Share of requests that may find every slot taken.
    pub wait_probability: f64,
    /// How uneven the traffic is.
    pub dispersion: f64,
    /// Whether to try the answer out.
    pub simulate: bool,
    /// Seed of that.
    pub seed: u64,
    /// What is needed for a plan beside the above.
    pub plan: PlanSpec,
}

/// What is asked over HTTP; the names are those of the flags of `preheat size`, with units.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizingRequest {
    /// Requests that arrive per second, at the busiest.
    pub qps: f64,
    /// Mean time from a request's start to its end without queueing; or `profile`.
    pub latency_s: Option<f64>,
    /// Most requests in the batch of a replica.
    pub max_num_seqs: Option<u32>,
    /// Engine profile, in place of `latency_s`.
    pub profile: Option<String>,
    /// Mean prompt tokens; with `profile`.
    pub input_tokens: Option<f64>,
    /// Mean generated tokens; with `profile`.
    pub output_tokens: Option<f64>,
    /// SLO on TTFT: 2 unless given.
    pub slo_ttft_s: Option<f64>,
    /// SLO on TPOT; with `profile`.
    pub slo_tpot_s: Option<f64>,
    /// Share of requests that may find every slot taken: 0.05 unless given.
    pub wait_probability: Option<f64>,
    /// Variance over mean of the requests in flight: 1 unless given.
    pub dispersion: Option<f64>,
    /// Requests per second when it is quiet: `qps` unless given.
    pub quiet_qps: Option<f64>,
    /// By how many requests per second the traffic may grow within a minute: 0 unless given.
    pub growth_qps_per_min: Option<f64>,
    /// Time from an order to a ready replica: 180 unless given.
    pub cold_start_s: Option<f64>,
}

impl SizingRequest {
    /// As `preheat size` takes it.
    ///
    /// # Errors
    /// When a time is none.
    pub fn spec(&self) -> Result<SizeSpec, SizeError> {
        let time = |name: &str, value: Option<f64>| {
            let parse = |secs: f64| {
                Duration::try_from_secs_f64(secs).map_err(|_| {
                    let message = format!("{name} is {secs}; it must be seconds, 0 or more");
                    SizeError::new(message, "give it in seconds, as in 2.5")
                })
            };
            value.map(parse).transpose()
        };
        let defaults = PlanSpec::default();
        Ok(SizeSpec {
            qps: self.qps,
            latency: time("latency_s", self.latency_s)?,
            max_num_seqs: self.max_num_seqs,
            profile: self.profile.clone(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            slo_ttft: time("slo_ttft_s", self.slo_ttft_s)?.unwrap_or(Duration::from_secs(2)),
            slo_tpot: time("slo_tpot_s", self.slo_tpot_s)?,
            wait_probability: self.wait_probability.unwrap_or(0.05),
            dispersion: self.dispersion.unwrap_or(1.0),
            simulate: false,
            seed: 1,
            plan: PlanSpec {
                quiet_qps: self.quiet_qps,
                growth_qps_per_min: self.growth_qps_per_min.unwrap_or(defaults.growth_qps_per_min),
                cold_start: time("cold_start_s", self.cold_start_s)?.unwrap_or(defaults.cold_start),
            },
        })
    }
}

/// Why there is no answer, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SizeError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl SizeError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl From<TrialError> for SizeError {
    fn from(error: TrialError) -> Self {
        Self::new(error.to_string(), "leave --simulate out")
    }
}

/// How many replicas, and what limits each of them. `trying` is told of each count that is simulated.
///
/// # Errors
/// When figures contradict each other, or no number of replicas would do.
pub fn answered(spec: &SizeSpec, trying: &mut dyn FnMut(u32)) -> Result<Answered, SizeError> {
    let mut answered = match (spec.latency, &spec.profile) {
        (Some(_), Some(_)) => {
            let hint = "a profile says the latency by itself: leave one of them out";
            return Err(SizeError::new("--latency and --profile contradict each other", hint));
        }
        (None, None) => {
            let hint = "give --latency 8s as measured, or --profile with --input-tokens and \
                        --output-tokens; `preheat size --help` explains both";
            return Err(SizeError::new("neither --latency nor --profile is given", hint));
        }
        (Some(latency), None) => by_figures(spec, latency)?,
        (None, Some(profile)) => by_profile(spec, profile, trying)?,
    };
    answered.plan = Some(plan::plan(spec, &answered)?);
    Ok(answered)
}

fn by_figures(spec: &SizeSpec, latency: Duration) -> Result<Answered, SizeError> {
    for (flag, is_given) in [
        ("--input-tokens", spec.input_tokens.is_some()),
        ("--output-tokens", spec.output_tokens.is_some()),
        ("--slo-tpot", spec.slo_tpot.is_some()),
        ("--simulate", spec.simulate),
    ] {
        if is_given {
            let hint = "a latency alone says nothing of steps and tokens: give --profile in its \
                        place, or leave the flag out";
            return Err(SizeError::new(format!("{flag} needs --profile"), hint));
        }
    }
    let max_num_seqs = max_num_seqs(spec)?.ok_or_else(|| {
        let hint = "give what the engine was started with; vLLM logs it as max_num_seqs";
        SizeError::new("--latency needs --max-num-seqs", hint)
    })?;
    let load = LoadSpec {
        arrival_rate: arrival_rate("--qps", spec.qps)?,
        service_time: latency,
        concurrency: max_num_seqs,
    };
    let wait_max = spec.slo_ttft;
    let sizing = size(&load, &wait(spec, wait_max)).map_err(explain)?;
    Ok(Answered::of_figures(spec, max_num_seqs, latency, wait_max, &sizing))
}

fn by_profile(
    spec: &SizeSpec,
    name: &str,
    trying: &mut dyn FnMut(u32),
) -> Result<Answered, SizeError> {
    let profile = EngineProfile::find(name).ok_or_else(|| {
        let known: Vec<&str> = EngineProfile::all().iter().map(|profile| profile.name).collect();
        let message = format!("no engine profile is called {name:?}");
        SizeError::new(message, format!("there are: {}", known.join(", ")))
    })?;
    let engine = engine_spec(spec, profile)?;
    let rate = arrival_rate("--qps", spec.qps)?;
    let sized =
        size_engine(&engine, rate, spec.wait_probability, spec.dispersion).map_err(explain)?;
    let mut answered = Answered::of_engine(spec, profile, &engine, &sized);
    if spec.simulate {
        simulate(spec, profile, &engine, &sized, &mut answered, trying)?;
    }
    Ok(answered)
}

fn wait(spec: &SizeSpec, wait_max: Duration) -> WaitSpec {
    let (wait_probability, dispersion) = (spec.wait_probability, spec.dispersion);
    WaitSpec { wait_probability, dispersion, wait_max }
}

fn engine_spec(spec: &SizeSpec, profile: &EngineProfile) -> Result<EngineSpec, SizeError> {
    let tokens = |flag: &str, given: Option<f64>| {
        given.ok_or_else(|| {
            let hint = "give the mean of your traffic; `preheat simulate` takes whole traces";
            SizeError::new(format!("--profile needs {flag}"), hint)
        })
    };
    let mut engine = EngineConfig::for_profile(profile);
    if let Some(seqs) = max_num_seqs(spec)? {
        engine.max_num_seqs = seqs;
    }
    Ok(EngineSpec {
        engine,
        input_tokens_mean: tokens("--input-tokens", spec.input_tokens)?,
        output_tokens_mean: tokens("--output-tokens", spec.output_tokens)?,
        ttft_slo: spec.slo_ttft,
        tpot_slo: spec.slo_tpot,
    })
}

/// Tries both counts, on engines that take no more at once than was sized for.
fn simulate(
    spec: &SizeSpec,
    profile: &EngineProfile,
    engine: &EngineSpec,
    sized: &EngineSizing,
    answered: &mut Answered,
    trying: &mut dyn FnMut(u32),
) -> Result<(), SizeError> {
    let trial = Trial::new(TrialSpec {
        engine: *engine,
        max_num_seqs: sized.capacity.concurrency,
        gpus_per_replica: profile.gpus,
        arrival_rate: arrival_rate("--qps", spec.qps)?,
        service_time: sized.capacity.service_time,
        seed: spec.seed,
    })?;
    for staffed in [&mut answered.without_headroom, &mut answered.with_headroom] {
        trying(staffed.replicas);
        let report = trial.run(staffed.replicas)?;
        staffed.simulated = Some(Simulated::of(&report, trial.lasts, spec.wait_probability));
    }
    Ok(())
}

fn arrival_rate(flag: &str, qps: f64) -> Result<RequestRate, SizeError> {
    RequestRate::new(qps).filter(|rate| rate.get() > 0.0).ok_or_else(|| {
        let hint = format!("give the requests that arrive per second, as in {flag} 40");
        SizeError::new(format!("{flag} is {qps}; it must be finite and above 0"), hint)
    })
}

fn max_num_seqs(spec: &SizeSpec) -> Result<Option<Concurrency>, SizeError> {
    let parse = |seqs| {
        Concurrency::new(seqs)
            .ok_or_else(|| SizeError::new("--max-num-seqs is 0", "give at least 1"))
    };
    spec.max_num_seqs.map(parse).transpose()
}

/// What to do about it, in flags.
fn explain(error: SizingError) -> SizeError {
    let hint = match error {
        SizingError::Figure { .. } => "`preheat size --help` says what each flag means",
        SizingError::TooLarge { .. } => {
            "check the units: --qps is per second, and --latency 8s is not 8m"
        }
        SizingError::Engine(ConfigError::BatchedTokensBelowSeqs { .. }) => {
            "give a smaller --max-num-seqs"
        }
        SizingError::Engine(_) => "give another --profile",
        SizingError::BeyondContext { .. } => {
            "give fewer --input-tokens or --output-tokens, or the --profile of a model with a \
             longer context"
        }
        SizingError::BeyondKv { .. } => {
            "give fewer tokens, or a --profile with more GPU memory or an FP8 KV cache"
        }
        SizingError::TpotSlo { .. } => {
            "no number of replicas changes that: allow a longer --slo-tpot, or take the --profile \
             of a faster GPU or a smaller model"
        }
        SizingError::TtftSlo { .. } => {
            "no number of replicas changes that: allow a longer --slo-ttft, shorten the prompts, \
             or lower --max-num-seqs"
        }
    };
    SizeError::new(error.to_string(), hint)
}
