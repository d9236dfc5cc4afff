//! From an engine's step times, request lengths and SLOs to slots and service time, and on to
//! replicas.
//!
//! **Invariant:** the concurrency is the smallest of the three caps, and at it the mean TPOT is
//! inside its SLO.

use std::time::Duration;

use preheat_core::{Concurrency, RequestRate};
use preheat_engine::{EngineConfig, StepLoad};

use super::error::{SizingError, check_above_zero};
use super::replicas::{LoadSpec, Sizing, WaitSpec, size};
use crate::oracle::ServiceModel;

/// An engine and what it is asked to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineSpec {
    /// The engine.
    pub engine: EngineConfig,
    /// Mean prompt tokens, without those that a prefix cache spares.
    pub input_tokens_mean: f64,
    /// Mean generated tokens.
    pub output_tokens_mean: f64,
    /// SLO on TTFT.
    pub ttft_slo: Duration,
    /// SLO on TPOT, if there is one.
    pub tpot_slo: Option<Duration>,
}

/// What limits the requests that a replica serves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The engine's setting.
    pub max_num_seqs: Concurrency,
    /// Mean requests that fit the KV cache.
    pub kv: Concurrency,
    /// Requests at which TPOT still meets its SLO; `None` without an SLO, or where no batch is too
    /// large for it.
    pub tpot_slo: Option<Concurrency>,
}

/// Which cap is the smallest. Of equal ones the first that a user can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcurrencyBound {
    /// The setting.
    MaxNumSeqs,
    /// KV memory.
    KvMemory,
    /// Decoding is too slow beyond it.
    TpotSlo,
}

/// What one replica can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineCapacity {
    /// All caps.
    pub caps: Caps,
    /// The smallest.
    pub bound_by: ConcurrencyBound,
    /// Its value: slots that are of use.
    pub concurrency: Concurrency,
    /// Time in a slot with all of them busy.
    pub service_time: Duration,
    /// Mean TPOT with all of them busy.
    pub tpot: Duration,
    /// TTFT of a mean prompt with all others busy and no queue.
    pub ttft_unqueued: Duration,
}

/// An answer for an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineSizing {
    /// What one replica can do.
    pub capacity: EngineCapacity,
    /// How long a request may wait: what its SLO leaves beside the TTFT without a queue.
    pub wait_max: Duration,
    /// How many are needed.
    pub sizing: Sizing,
    /// What a larger `max_num_seqs` would save, where that is what binds and it saves anything.
    pub raised: Option<RaisedMaxNumSeqs>,
}

/// What a larger `max_num_seqs` would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaisedMaxNumSeqs {
    /// The other cap.
    pub max_num_seqs: Concurrency,
    /// Replicas with headroom.
    pub replicas: u32,
    /// Mean TPOT with all slots busy.
    pub tpot: Duration,
}

/// What one replica of this engine can do.
///
/// The service time is [`ServiceModel::of_engine`]'s, with as many slots busy as the smallest cap
/// allows.
///
/// # Errors
/// When a figure is out of range, a mean request does not fit, or an SLO can't be met.
pub fn capacity(spec: &EngineSpec) -> Result<EngineCapacity, SizingError> {
    check(spec)?;
    let max_num_seqs = spec.engine.max_num_seqs;
    let caps = Caps { max_num_seqs, kv: kv_cap(spec)?, tpot_slo: tpot_slo_cap(spec)? };
    let (concurrency, bound_by) = smallest(&caps);
    let busy = busy(spec, concurrency);
    let ttft_unqueued = ttft_unqueued(spec, concurrency);
    if ttft_unqueued > spec.ttft_slo {
        let (slo, least, concurrency) = (spec.ttft_slo, ttft_unqueued, concurrency.get());
        return Err(SizingError::TtftSlo { slo, least, concurrency });
    }
    let (service_time, tpot) = (seconds(busy.service_s), seconds(busy.tpot_s));
    Ok(EngineCapacity { caps, bound_by, concurrency, service_time, tpot, ttft_unqueued })
}

/// Replicas of this engine for an arrival rate, at a target for P(wait) and a dispersion.
///
/// # Errors
/// When a figure is out of range, a mean request does not fit, or an SLO can't be met.
pub fn size_engine(
    spec: &EngineSpec,
    arrival_rate: RequestRate,
    wait_probability: f64,
    dispersion: f64,
) -> Result<EngineSizing, SizingError> {
    let of = |spec: &EngineSpec| -> Result<_, SizingError> {
        let capacity = capacity(spec)?;
        let wait_max = spec.ttft_slo.saturating_sub(capacity.ttft_unqueued);
        let (service_time, concurrency) = (capacity.service_time, capacity.concurrency);
        let load = LoadSpec { arrival_rate, service_time, concurrency };
        let sizing = size(&load, &WaitSpec { wait_probability, dispersion, wait_max })?;
        Ok((capacity, wait_max, sizing))
    };
    let (capacity, wait_max, sizing) = of(spec)?;
    let replicas = sizing.with_headroom.replicas;
    let raised = raised(spec, &capacity)
        .and_then(|spec| of(&spec).ok())
        .map(|(raised, _, sizing)| RaisedMaxNumSeqs {
            max_num_seqs: raised.concurrency,
            replicas: sizing.with_headroom.replicas,
            tpot: raised.tpot,
        })
        .filter(|raised| raised.replicas < replicas);
    Ok(EngineSizing { capacity, wait_max, sizing, raised })
}

/// The same with `max_num_seqs` where another cap binds; `None` unless it is what binds.
fn raised(spec: &EngineSpec, capacity: &EngineCapacity) -> Option<EngineSpec> {
    if capacity.bound_by != ConcurrencyBound::MaxNumSeqs {
        return None;
    }
    let Caps { kv, tpot_slo, .. } = capacity.caps;
    let tokens = Concurrency::new(spec.engine.max_num_batched_tokens)?;
    let max_num_seqs = kv.min(tpot_slo.unwrap_or(kv)).min(tokens);
    let engine = EngineConfig { max_num_seqs, ..spec.engine };
    Some(EngineSpec { engine, ..*spec })
}

fn smallest(caps: &Caps) -> (Concurrency, ConcurrencyBound) {
    let mut smallest = (caps.max_num_seqs, ConcurrencyBound::MaxNumSeqs);
    if caps.kv < smallest.0 {
        smallest = (caps.kv, ConcurrencyBound::KvMemory);
    }
    match caps.tpot_slo {
        Some(cap) if cap < smallest.0 => (cap, ConcurrencyBound::TpotSlo),
        Some(_) | None => smallest,
    }
}

/// KV tokens ÷ mean tokens of a request in the batch, prompt + output.
///
/// A look at the batch finds long answers more often than short ones, for they stay longer: of
/// outputs with mean m and coefficient of variation c it finds one of m·(1 + c²) on average,
/// half-way through (the inspection paradox: W. Feller, "An Introduction to Probability Theory and
/// Its Applications" II, I.4). With exponential lengths, c = 1, it has generated m tokens; with
/// equal lengths it would have m / 2.
///
/// Worked: 182,789 ÷ (1,000 + 300) = 140.
fn kv_cap(spec: &EngineSpec) -> Result<Concurrency, SizingError> {
    let (tokens, kv) = (tokens(spec), spec.engine.kv_capacity_tokens);
    // The cast saturates.
    Concurrency::new((kv as f64 / tokens) as u32).ok_or(SizingError::BeyondKv { tokens, kv })
}

/// The largest batch at which TPOT meets its SLO, and at every smaller one.
fn tpot_slo_cap(spec: &EngineSpec) -> Result<Option<Concurrency>, SizingError> {
    let Some(slo) = spec.tpot_slo else { return Ok(None) };
    let mut cap = None;
    // No batch is larger than a step's tokens.
    for size in (1..=spec.engine.max_num_batched_tokens).filter_map(Concurrency::new) {
        let least = seconds(busy(spec, size).tpot_s);
        if least > slo {
            return cap.map(Some).ok_or(SizingError::TpotSlo { slo, least });
        }
        cap = Some(size);
    }
    Ok(None)
}

fn tokens(spec: &EngineSpec) -> f64 {
    spec.input_tokens_mean + spec.output_tokens_mean
}

/// Step times are bounded, and so is what they add up to.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// A replica with k slots busy.
struct Busy {
    service_s: f64,
    tpot_s: f64,
}

/// Service time by [`ServiceModel::of_engine`]; mean TPOT is the same without the request's own
/// prefill: `step(k) + (k − 1) · in · prefill ÷ out`.
///
/// Worked (qwen-27b-fp8-h100, 1,000 tokens in and 300 out): at k = 64 a decode step takes 31.8 ms,
/// and the prefills of the other 63 add 14.1 ms to each token.
fn busy(spec: &EngineSpec, concurrency: Concurrency) -> Busy {
    let (input, output) = (spec.input_tokens_mean, spec.output_tokens_mean);
    // The model puts a request half-way through its output. One that is found in the batch has a
    // whole mean output behind it (see `kv_cap`): half of twice as long a one.
    let model = ServiceModel::of_engine(&spec.engine, concurrency, input, 2.0 * output);
    let ServiceModel::Slots { seconds, .. } = model else {
        // An engine always has slots.
        return Busy { service_s: f64::INFINITY, tpot_s: f64::INFINITY };
    };
    let prefills_s = seconds.per_input_token * input;
    let others = 1.0 - 1.0 / f64::from(concurrency.get());
    let decode_s = seconds.per_output_token;
    Busy {
        service_s: seconds.per_request + prefills_s + decode_s * output,
        tpot_s: decode_s + others * prefills_s / output,
    }
}

/// The step under way when a request arrives, and the steps of its prompt, all of them with the
/// other slots decoding.
fn ttft_unqueued(spec: &EngineSpec, concurrency: Concurrency) -> Duration {
    let engine = &spec.engine;
    let others = concurrency.get() - 1;
    let context = f64::from(others) * (spec.input_tokens_mean + spec.output_tokens_mean / 2.0);
    let decode =
        StepLoad { decode_seqs: others, decode_context: context as u64, ..StepLoad::default() };
    let room = engine.max_num_batched_tokens.saturating_sub(others).max(1);
    let prompt = (spec.input_tokens_mean as u32).max(1);
    let mut time = engine.profile.step_time(&decode);
    let mut cached = 0;
    while cached < prompt {
        let chunk = room.min(prompt - cached);
        let step = engine.profile.step_time(&decode.with_prefill(cached, chunk));
        time = time.saturating_add(step);
        cached += chunk;
    }
    time
}

fn check(spec: &EngineSpec) -> Result<(), SizingError> {
    spec.engine.check()?;
    for (name, value) in [
        ("the mean of input tokens", spec.input_tokens_mean),
        ("the mean of output tokens", spec.output_tokens_mean),
    ] {
        check_above_zero(name, value)?;
        if value < 1.0 {
            return Err(SizingError::Figure { name, value, must: "at least 1" });
        }
    }
    let (tokens, max_model_len) = (tokens(spec), spec.engine.max_model_len);
    if tokens > f64::from(max_model_len) {
        return Err(SizingError::BeyondContext { tokens, max_model_len });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
