//! The redrawn traces against the figures that the recorded ones have (`traces/README.md` of the
//! project's shared data lists them).

#![cfg(test)]

use std::time::Duration;

use preheat_traffic::{
    EmbeddedTrace, INPUT_LEVELS, LengthDistribution, OUTPUT_LEVELS, STRATA, Trace, embedded,
};

#[track_caller]
fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let off = (found - expected).abs() / expected;
    assert!(off <= tolerance, "{what}: {found}, expected {expected} within {tolerance}");
}

fn index_of_dispersion(trace: &Trace) -> f64 {
    let counts = trace.counts(Duration::from_secs(10)).unwrap();
    let mean = trace.requests.len() as f64 / counts.len() as f64;
    let square = |count: &u32| (f64::from(*count) - mean).powi(2);
    counts.iter().map(square).sum::<f64>() / counts.len() as f64 / mean
}

#[test]
fn conversation_has_the_recorded_figures() {
    let trace = embedded(EmbeddedTrace::AzureConversation, 1);
    let summary = trace.summary();
    assert_eq!(summary.requests, 19_366);
    near("span", summary.span_s, 3501.7, 0.01);
    near("peak 10 s", summary.rate_peak_10s, 9.8, 1e-9);
    near("peak 60 s", summary.rate_peak_60s, 8.5, 0.01);
    near("gap cv", summary.gap_cv.unwrap(), 1.09, 0.1);
    near("dispersion", index_of_dispersion(&trace), 4.0, 0.01);
    near("input mean", summary.input_tokens.mean, 1155.0, 0.03);
    near("input p50", f64::from(summary.input_tokens.p50), 1020.0, 0.05);
    near("input p99", f64::from(summary.input_tokens.p99), 4142.0, 0.05);
    near("output mean", summary.output_tokens.mean, 211.0, 0.03);
    near("output p50", f64::from(summary.output_tokens.p50), 129.0, 0.1);
    near("output p99", f64::from(summary.output_tokens.p99), 601.0, 0.1);
}

#[test]
fn code_has_the_recorded_figures() {
    let trace = embedded(EmbeddedTrace::AzureCode, 1);
    let summary = trace.summary();
    assert_eq!(summary.requests, 8_819);
    near("span", summary.span_s, 57.3 * 60.0, 0.01);
    near("peak 10 s", summary.rate_peak_10s, 32.7, 1e-9);
    near("peak 60 s", summary.rate_peak_60s, 10.5, 0.01);
    near("gap cv", summary.gap_cv.unwrap(), 13.2, 0.1);
    near("dispersion", index_of_dispersion(&trace), 71.3, 0.01);
    near("input mean", summary.input_tokens.mean, 2048.0, 0.03);
    near("input p50", f64::from(summary.input_tokens.p50), 1469.0, 0.05);
    near("input p99", f64::from(summary.input_tokens.p99), 7436.0, 0.01);
    near("output mean", summary.output_tokens.mean, 28.0, 0.1);
    near("output p50", f64::from(summary.output_tokens.p50), 13.0, 0.1);
    near("output p99", f64::from(summary.output_tokens.p99), 251.0, 0.2);
    let counts = trace.counts(Duration::from_secs(10)).unwrap();
    let idle = counts.iter().filter(|count| **count == 0).count() as f64;
    near("idle share", idle / counts.len() as f64, 0.56, 0.01);
}

fn median(levels: &[f64]) -> usize {
    levels.iter().position(|level| *level == 0.5).unwrap()
}

/// Deriving figures from what was drawn gives about the figures it was drawn from.
#[test]
fn redrawn_strata_are_near_the_figures() {
    for of in EmbeddedTrace::ALL {
        let figures = LengthDistribution::embedded(of);
        let again = LengthDistribution::of(&embedded(of, 2)).unwrap();
        assert_eq!(figures.strata().len(), STRATA);
        for (figure, redrawn) in figures.strata().iter().zip(again.strata()) {
            let (input_middle, output_middle) = (median(&INPUT_LEVELS), median(&OUTPUT_LEVELS));
            let pair = |of: &[u32], at: usize| f64::from(of[at]);
            near(
                "input",
                pair(&redrawn.input, input_middle),
                pair(&figure.input, input_middle),
                0.1,
            );
            let output = pair(&redrawn.output, output_middle);
            let expected = pair(&figure.output, output_middle);
            assert!((output - expected).abs() <= 2.0 + 0.25 * expected, "{output} {expected}");
        }
    }
}

#[test]
fn the_seed_decides_everything() {
    for of in EmbeddedTrace::ALL {
        assert_eq!(embedded(of, 7), embedded(of, 7));
        assert_ne!(embedded(of, 7), embedded(of, 8));
        assert_eq!(EmbeddedTrace::from_name(of.name()), Some(of));
        assert!(of.attribution().contains("CC BY 4.0"));
    }
}
