//! Caps, service time and what to change, for the class of engine this is made for.

use preheat_engine::{ConfigError, EngineProfile};
use proptest::prelude::*;

use super::*;
use crate::sizing::{Trial, TrialSpec};

const HOUR: Duration = Duration::from_secs(3600);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// 1,000 tokens in, 300 out.
fn spec(max_num_seqs: u32, tpot_slo: Option<Duration>) -> EngineSpec {
    let profile = EngineProfile::find("qwen-27b-fp8-h100").unwrap();
    let max_num_seqs = Concurrency::new(max_num_seqs).unwrap();
    EngineSpec {
        engine: EngineConfig { max_num_seqs, ..EngineConfig::for_profile(profile) },
        input_tokens_mean: 1000.0,
        output_tokens_mean: 300.0,
        ttft_slo: Duration::from_secs(2),
        tpot_slo,
    }
}

fn sized(spec: &EngineSpec) -> EngineSizing {
    size_engine(spec, RequestRate::saturating(40.0), 0.05, 1.0).unwrap()
}

#[test]
fn the_smallest_cap_binds() {
    use ConcurrencyBound::{KvMemory, MaxNumSeqs, TpotSlo};
    for (max_num_seqs, tpot_slo, concurrency, bound_by) in [
        (8, None, 8, MaxNumSeqs),
        (64, Some(millis(100)), 64, MaxNumSeqs),
        (64, Some(millis(35)), 24, TpotSlo),
        // 182,789 tokens ÷ 1,300 a request.
        (1024, None, 140, KvMemory),
        (1024, Some(millis(100)), 140, KvMemory),
        (1024, Some(millis(60)), 103, TpotSlo),
        (140, None, 140, MaxNumSeqs),
    ] {
        let found = capacity(&spec(max_num_seqs, tpot_slo)).unwrap();
        let got = (found.concurrency.get(), found.bound_by);
        assert_eq!(got, (concurrency, bound_by), "{max_num_seqs} {tpot_slo:?}");
    }
}

#[test]
fn a_batch_at_its_tpot_cap_meets_the_slo_and_one_more_does_not() {
    let slo = millis(35);
    let caps = capacity(&spec(1024, Some(slo))).unwrap().caps;
    let cap = caps.tpot_slo.unwrap().get();
    let tpot = |seqs| capacity(&spec(seqs, None)).unwrap().tpot;
    assert!(tpot(cap) <= slo && tpot(cap + 1) > slo, "{cap}");
    assert_eq!(capacity(&spec(64, Some(HOUR))).unwrap().caps.tpot_slo, None);
}

#[test]
fn service_time_is_own_decode_steps_and_everybodys_prefills() {
    let (few, many) = (capacity(&spec(8, None)).unwrap(), capacity(&spec(64, None)).unwrap());
    let is = |got: Duration, expected_s: f64| {
        assert!((got.as_secs_f64() / expected_s - 1.0).abs() < 1e-3, "{got:?}, not {expected_s} s");
    };
    is(few.service_time, 7.420);
    is(many.service_time, 14.309);
    is(few.tpot, 0.024578);
    is(many.tpot, 0.047532);
    // At one request at once TPOT is the decode step, and the service time has one prefill more.
    let one = capacity(&spec(1, None)).unwrap();
    let decode = StepLoad { decode_seqs: 1, decode_context: 1300, ..StepLoad::default() };
    let step = spec(1, None).engine.profile.step_time(&decode);
    assert_eq!(one.tpot, step);
    let prefill = one.service_time - 300 * step;
    assert!(prefill > millis(40) && prefill < millis(60), "{prefill:?}");
}

#[test]
fn a_larger_batch_is_advised_only_where_it_saves_replicas() {
    let few = sized(&spec(8, None));
    assert_eq!(few.sizing.with_headroom.replicas, 41);
    let raised = few.raised.unwrap();
    assert_eq!((raised.max_num_seqs.get(), raised.replicas), (140, 7));
    assert_eq!(sized(&spec(1024, None)).raised, None);
    assert_eq!(sized(&spec(140, None)).raised, None);
    assert_eq!(sized(&spec(64, Some(millis(46)))).raised, None);
}

#[test]
fn what_is_left_of_the_ttft_slo_may_be_waited() {
    let found = sized(&spec(64, None));
    let unqueued = found.capacity.ttft_unqueued;
    assert_eq!(found.wait_max + unqueued, Duration::from_secs(2));
    // A step under way, and one with the whole prompt.
    assert!(unqueued > millis(95) && unqueued < millis(135), "{unqueued:?}");
}

#[track_caller]
fn refused(change: impl FnOnce(&mut EngineSpec), expected: &str) {
    let mut spec = spec(64, None);
    change(&mut spec);
    let error = capacity(&spec).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn the_impossible_is_refused() {
    refused(|s| s.input_tokens_mean = 0.0, "the mean of input tokens is 0; it must be");
    refused(|s| s.output_tokens_mean = 0.5, "the mean of output tokens is 0.5; it must be");
    refused(|s| s.output_tokens_mean = f64::NAN, "the mean of output tokens is NaN");
    refused(|s| s.input_tokens_mean = 41_000.0, "a mean request has 41300 tokens, and the model");
    refused(|s| s.engine.kv_capacity_tokens = 1_299, "a mean request has 1300 tokens, and the KV");
    refused(|s| s.tpot_slo = Some(millis(10)), "a token takes 22");
    refused(|s| s.ttft_slo = millis(50), "the first token takes 121");
    refused(
        |s| s.engine.max_num_seqs = Concurrency::new(9_000).unwrap(),
        &SizingError::from(ConfigError::BatchedTokensBelowSeqs {
            max_num_batched_tokens: 8_192,
            max_num_seqs: 9_000,
        })
        .to_string(),
    );
}

#[test]
fn a_trial_agrees_with_headroom_and_shows_what_lacking_it_means() {
    let spec = spec(8, None);
    let found = sized(&spec);
    let trial = Trial::new(TrialSpec {
        engine: spec,
        max_num_seqs: found.capacity.concurrency,
        gpus_per_replica: 1,
        arrival_rate: RequestRate::saturating(40.0),
        service_time: found.capacity.service_time,
        seed: 1,
    })
    .unwrap();
    let bare = trial.run(found.sizing.without_headroom.replicas).unwrap();
    let enough = trial.run(found.sizing.with_headroom.replicas).unwrap();
    assert_eq!((bare.completed, enough.completed), (bare.requests, bare.requests));
    assert!(bare.attainment < 0.7 && enough.attainment > 0.95, "{bare:?} {enough:?}");
    assert_eq!(trial.run(41).unwrap(), enough);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Longer requests and tighter SLOs never raise a cap; the smallest cap is what is used.
    #[test]
    fn caps_fall_with_length_and_with_tighter_slos(
        profile in 0..EngineProfile::all().len(),
        seqs in 1_u32..1024,
        input in 1.0_f64..8_000.0,
        output in 1.0_f64..2_000.0,
        more in 1.0_f64..2.0,
        slo_ms in 300_u64..3_000,
    ) {
        let engine = EngineConfig {
            max_num_seqs: Concurrency::new(seqs).unwrap(),
            ..EngineConfig::for_profile(&EngineProfile::all()[profile])
        };
        let of = |input_tokens_mean, output_tokens_mean, slo_ms| {
            let tpot_slo = Some(millis(slo_ms));
            let spec = EngineSpec {
                engine, input_tokens_mean, output_tokens_mean, ttft_slo: HOUR, tpot_slo,
            };
            capacity(&spec)
        };
        let Ok(found) = of(input, output, slo_ms) else { return Ok(()) };
        let caps = found.caps;
        let all = [caps.max_num_seqs, caps.kv, caps.tpot_slo.unwrap_or(caps.kv)];
        prop_assert_eq!(Some(found.concurrency), all.into_iter().min());
        prop_assert!(found.tpot <= millis(slo_ms));
        prop_assert!(found.service_time >= found.tpot);
        if let Ok(longer) = of(input * more, output * more, slo_ms) {
            prop_assert!(longer.caps.kv <= caps.kv);
        }
        if let Ok(tighter) = of(input, output, slo_ms / 2) {
            prop_assert!(tighter.concurrency <= found.concurrency);
            let unbounded = Concurrency::new(u32::MAX);
            prop_assert!(tighter.caps.tpot_slo.or(unbounded) <= caps.tpot_slo.or(unbounded));
        }
    }
}
