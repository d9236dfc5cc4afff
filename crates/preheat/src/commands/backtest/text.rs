//! A backtest as people read it.

use std::fmt::Write as _;

use preheat_compare::backtest::Backtest;
use preheat_compare::{Outcome, Workload};

pub(super) fn text(found: &Backtest, workload: &Workload) -> String {
    let mut out = String::new();
    let slo = workload.config.bounds.ttft_slo;
    let requests = workload.trace.requests.len();
    let hours = workload.trace.span().as_secs_f64() / 3600.0;
    // Writing to a string can't fail.
    let _infallible = writeln!(
        out,
        "{}: {requests} requests in {hours:.1} h on {}, TTFT ≤ {slo:?}\n",
        found.name, workload.profile
    );
    let _infallible = writeln!(
        out,
        "{:<24} {:>10} {:>10} {:>9} {:>9} {:>6}",
        "", "attainment", "GPU-hours", "TTFT p50", "TTFT p99", "peak"
    );
    if let Some(happened) = &found.happened {
        let attainment = happened.attainment.map_or("unknown".to_owned(), |it| format!("{it:.4}"));
        let _infallible = writeln!(
            out,
            "{:<24} {attainment:>10} {:>10.1} {:>9} {:>9} {:>6}",
            "what was measured", happened.gpu_hours, "", "", happened.replicas_peak
        );
    }
    if let Some(replayed) = &found.replayed {
        row(&mut out, "the same, in the model", replayed);
    }
    for (name, outcome) in &found.policies {
        row(&mut out, name, outcome);
    }
    if let Some(optimum) = found.optimum_gpu_hours {
        let quantile = workload.config.bounds.attainment_slo;
        let _infallible = writeln!(out, "{:<24} {quantile:>10.4} {optimum:>10.1}", "the optimum");
    }
    out.push_str("\nHow far to believe it:\n");
    for note in &found.trust.notes {
        let _infallible = writeln!(out, "- {note}");
    }
    let _infallible = writeln!(
        out,
        "\nTo set, for a pool that may hold {} GPUs:\n\n{}",
        found.recommendation.gpus, found.recommendation.yaml
    );
    out
}

fn row(out: &mut String, name: &str, outcome: &Outcome) {
    let secs = |secs: Option<f64>| secs.map_or(String::new(), |secs| format!("{secs:.2} s"));
    let _infallible = writeln!(
        out,
        "{name:<24} {:>10.4} {:>10.1} {:>9} {:>9} {:>6}",
        outcome.attainment,
        outcome.gpu_hours,
        secs(outcome.ttft_p50_s),
        secs(outcome.ttft_p99_s),
        outcome.replicas_peak
    );
}
