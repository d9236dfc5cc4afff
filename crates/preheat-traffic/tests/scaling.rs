//! What rate scaling keeps: counts per bin multiplied alike, idle stretches idle, lengths' mix.

#![cfg(test)]

use std::time::Duration;

use preheat_traffic::{
    EmbeddedTrace, LengthDistribution, Placement, RATE_SCALE_MAX, RateSeries, Shaping, Trace,
    TraceRequest, TrafficError, embedded,
};
use proptest::prelude::*;

fn counts(trace: &Trace, width_s: u64) -> Vec<f64> {
    let counts = trace.counts(Duration::from_secs(width_s)).unwrap();
    counts.into_iter().map(f64::from).collect()
}

/// Every bin with enough requests to tell has `factor` times its requests, within `tolerance`.
#[track_caller]
fn check_shape(of: EmbeddedTrace, factor: f64, tolerance: f64) {
    let original = embedded(of, 1);
    let scaled = original.scaled(factor, 2).unwrap();
    let total = scaled.requests.len() as f64 / original.requests.len() as f64;
    assert!((total / factor - 1.0).abs() < 0.02, "{of:?}: rate times {total}, not {factor}");
    let (before, after) = (counts(&original, 10), counts(&scaled, 10));
    for (bin, before) in before.iter().enumerate() {
        let after = after.get(bin).copied().unwrap_or(0.0);
        if before * factor.min(1.0) >= 30.0 {
            let ratio = after / before / factor;
            assert!((ratio - 1.0).abs() < tolerance, "{of:?} bin {bin}: {before} → {after}");
        }
    }
    let idle = |counts: &[f64]| counts.iter().filter(|count| **count == 0.0).count();
    let (idle_before, idle_after) = (idle(&before), idle(&after));
    if factor > 1.0 {
        assert!(idle_after * 100 >= idle_before * 95, "{of:?}: {idle_before} → {idle_after} idle");
    }
}

#[test]
fn bursts_keep_their_place_and_length() {
    check_shape(EmbeddedTrace::AzureCode, 3.0, 0.15);
    check_shape(EmbeddedTrace::AzureCode, 1.5, 0.2);
    check_shape(EmbeddedTrace::AzureCode, 20.0, 0.15);
    check_shape(EmbeddedTrace::AzureConversation, 10.0, 0.1);
    check_shape(EmbeddedTrace::AzureConversation, 0.7, 0.35);
    check_shape(EmbeddedTrace::AzureCode, 0.5, 0.45);
}

#[test]
fn gaps_vary_as_before_and_peaks_stand_out_as_before() {
    for (of, factor) in [
        (EmbeddedTrace::AzureConversation, 2.0),
        (EmbeddedTrace::AzureConversation, 20.0),
        (EmbeddedTrace::AzureCode, 2.0),
        (EmbeddedTrace::AzureCode, 5.0),
    ] {
        let original = embedded(of, 1);
        let (before, after) = (original.summary(), original.scaled(factor, 3).unwrap().summary());
        let peaks = after.peak_to_mean_60s.unwrap() / before.peak_to_mean_60s.unwrap();
        assert!((peaks - 1.0).abs() < 0.05, "{of:?} × {factor}: peaks {peaks}");
        if of == EmbeddedTrace::AzureConversation {
            let (before, after) = (before.gap_cv.unwrap(), after.gap_cv.unwrap());
            assert!(after < 1.25 * before, "{of:?} × {factor}: gap cv {before} → {after}");
        }
    }
}

#[test]
fn lengths_keep_their_distribution() {
    let original = embedded(EmbeddedTrace::AzureConversation, 1).summary();
    let scaled = embedded(EmbeddedTrace::AzureConversation, 1).scaled(4.0, 2).unwrap().summary();
    for (before, after) in [
        (original.input_tokens, scaled.input_tokens),
        (original.output_tokens, scaled.output_tokens),
    ] {
        assert!((after.mean / before.mean - 1.0).abs() < 0.02);
        assert!((f64::from(after.p90) / f64::from(before.p90) - 1.0).abs() < 0.03);
        assert_eq!(after.max, before.max);
    }
}

#[test]
fn a_whole_factor_is_exact_and_keeps_the_originals() {
    let original = embedded(EmbeddedTrace::AzureCode, 1);
    let scaled = original.scaled(3.0, 2).unwrap();
    assert_eq!(scaled.requests.len(), 3 * original.requests.len());
    let mut rest = scaled.requests.iter();
    // Both are sorted, so one pass finds every original (copies may be equal to it).
    assert!(
        original
            .requests
            .iter()
            .all(|request| { rest.by_ref().find(|r| r.arrival >= request.arrival).is_some() })
    );
}

#[test]
fn factors_that_are_refused() {
    let trace = embedded(EmbeddedTrace::AzureCode, 1);
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, RATE_SCALE_MAX * 1.01] {
        assert!(matches!(trace.scaled(factor, 0), Err(TrafficError::RateScale { .. })));
    }
    let many = trace.scaled(300.0, 0).unwrap();
    assert!(matches!(many.scaled(300.0, 0), Err(TrafficError::TooLarge { .. })));
    let one = Trace { requests: trace.requests.into_iter().take(1).collect() };
    assert!(matches!(one.scaled(1e-12, 0), Err(TrafficError::NothingLeft { .. })));
    assert_eq!(one.scaled(5.0, 0).unwrap().requests.len(), 5);
}

#[test]
fn a_series_is_cut_and_scaled_before_it_is_drawn() {
    // Two bins of a rate series that could not be drawn as a whole.
    let counts = vec![1_000_000_000.0, 100.0, 300.0, 1_000_000_000.0];
    let series = RateSeries { bin: Duration::from_secs(600), counts };
    let shaping = Shaping {
        from: Duration::from_secs(600),
        until: Some(Duration::from_secs(1800)),
        rate_scale: 0.5,
        seed: 4,
        placement: Placement::Uniform,
        lengths: LengthDistribution::fixed(256, 32),
    };
    let trace = series.shaped(&shaping).unwrap();
    assert_eq!(trace.counts(Duration::from_secs(600)).unwrap(), [50, 150]);
    assert!(trace.requests.iter().all(|r| (r.input_tokens, r.output_tokens) == (256, 32)));
    let whole = Shaping { from: Duration::ZERO, until: None, ..shaping };
    assert!(matches!(series.shaped(&whole), Err(TrafficError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn scaled_traces_are_sorted_repeatable_and_inside_the_span(
        arrivals in prop::collection::vec((0u64..1_000_000, 1u32..9000, 1u32..2000), 1..60),
        factor in 0.05f64..8.0,
        seed: u64,
    ) {
        let request = |(millis, input_tokens, output_tokens)| TraceRequest {
            arrival: Duration::from_millis(millis), input_tokens, output_tokens,
        };
        let trace = Trace::new(arrivals.into_iter().map(request).collect());
        let scaled = match trace.scaled(factor, seed) {
            Ok(scaled) => scaled,
            Err(error) => {
                let nothing = matches!(error, TrafficError::NothingLeft { .. });
                prop_assert!(nothing);
                return Ok(());
            }
        };
        prop_assert_eq!(&scaled, &trace.scaled(factor, seed).unwrap());
        prop_assert!(scaled.requests.is_sorted_by_key(|r| r.arrival));
        let last = |trace: &Trace| trace.requests.last().map(|r| r.arrival);
        prop_assert!(last(&scaled) <= last(&trace));
        let lengths = |r: &TraceRequest| (r.input_tokens, r.output_tokens);
        prop_assert!(scaled.requests.iter().all(
            |r| trace.requests.iter().any(|of| lengths(of) == lengths(r))));
    }
}
