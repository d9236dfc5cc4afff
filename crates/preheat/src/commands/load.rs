//! `preheat load`: replays a trace against an endpoint and reports what its clients saw.

use std::fmt::Write;

use anyhow::Context;
use preheat_load::{AnswerMode, Endpoint, LoadConfig, LoadProgress, LoadReport, Quantiles, Target};
use tokio::sync::watch;

use super::traces::{self, TraceRequest};
use crate::cli::LoadArgs;
use crate::failure::Answer;
use crate::terminal::Line;

pub(crate) fn run(args: &LoadArgs) -> anyhow::Result<Answer> {
    let request = TraceRequest {
        name: &args.trace,
        format: args.format.as_deref(),
        from: args.part.from,
        until: args.part.until,
        rate_scale: args.part.rate_scale,
        seed: args.seed,
    };
    let mut line = Line::stderr();
    let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
    let mut config = LoadConfig::new(Target::parse(&args.url)?, args.model.clone());
    config.time_scale = args.time_scale;
    config.ttft_slo = Some(args.slo_ttft);
    config.tpot_slo = args.slo_tpot;
    config.request_timeout = args.timeout;
    config.retries_max = args.retries;
    config.seed = args.seed;
    if args.chat {
        config.endpoint = Endpoint::Chat;
    }
    if args.no_stream {
        config.answer_mode = AnswerMode::Whole;
    }
    let report = super::runtime()?.block_on(async {
        let (progress, mut watcher) = watch::channel(LoadProgress::default());
        let (cancel, cancelled) = watch::channel(false);
        let interrupted = super::up::stop_signal()?;
        tokio::spawn(async move {
            interrupted.await;
            let _nobody_listens = cancel.send(true);
        });
        let drawing = tokio::spawn(async move {
            while watcher.changed().await.is_ok() {
                line.draw(&progress_text(&watcher.borrow_and_update()));
            }
            line.clear();
        });
        let report = preheat_load::run(config, trace, progress, cancelled).await?;
        drawing.await.context("the progress display failed")?;
        anyhow::Ok(report)
    })?;
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        super::print(&report_text(&report))?;
    }
    let met = report.attainment.is_some_and(|attained| attained >= args.slo_attainment)
        && report.completed > 0;
    Ok(if met { Answer::Yes } else { Answer::No })
}

pub(crate) fn progress_text(progress: &LoadProgress) -> String {
    let ttft = progress.ttft_recent_p99_s.map_or_else(|| "-".to_owned(), |s| format!("{s:.2} s"));
    format!(
        "{:>4.0} s  {}/{} sent  {} in flight  {} done  {} failed  TTFT p99 {ttft}",
        progress.elapsed_s,
        progress.sent,
        progress.requests,
        progress.in_flight,
        progress.completed,
        progress.failed,
    )
}

/// Tokens of an event, in the mean, from which on they are told: a server may join two now and then.
const TOKENS_SEVERAL: f64 = 1.5;

/// The report as people read it.
pub(crate) fn report_text(report: &LoadReport) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "requests     {} in {:.0} s: {} completed, {} failed, {} unfinished, {} retries",
        report.requests,
        report.duration_s,
        report.completed,
        report.failed,
        report.unfinished,
        report.retries
    );
    if let (Some(attained), Some(slo)) = (report.attainment, report.ttft_slo_s) {
        let tpot = report.tpot_slo_s.map_or_else(String::new, |s| format!(", TPOT ≤ {s} s"));
        let _ = writeln!(text, "attainment   {attained:.4} (TTFT ≤ {slo} s{tpot})");
    }
    for (name, quantiles) in [
        ("TTFT", &report.ttft_s),
        ("ITL", &report.itl_s),
        ("TPOT", &report.tpot_s),
        ("E2E", &report.e2e_s),
        ("sender lag", &report.lag_s),
    ] {
        if let Some(Quantiles { p50, p90, p99, .. }) = quantiles {
            let _ = write!(text, "{name:<12} p50 {p50:.3} s   p90 {p90:.3} s   p99 {p99:.3} s");
            // Beside the time of a token, that between events of several looks like a contradiction.
            let tokens = report.tokens_per_event().filter(|tokens| *tokens > TOKENS_SEVERAL);
            if let ("ITL", Some(tokens)) = (name, tokens) {
                let _ = write!(text, "   (between events of {tokens:.1} tokens)");
            }
            text.push('\n');
        }
    }
    let _ = writeln!(text, "streams cut  {}", report.streams_cut);
    for (kind, count) in &report.errors {
        let _ = writeln!(text, "error        {kind}: {count}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_events_of_several_tokens_is_told_as_such() {
        let quantiles = r#"{"p50":0.4,"p90":0.4,"p99":0.4,"max":0.4,"mean":0.4}"#;
        let itl = |output_tokens: u64| {
            let report = format!(
                r#"{{"requests":1,"completed":1,"failed":0,"unfinished":0,"not_sent":0,
                "errors":{{}},"streams_cut":0,"retries":0,"input_tokens":9,
                "output_tokens":{output_tokens},"events":10,"usage_missing":0,"prompts_clipped":0,
                "duration_s":1.0,"time_scale":20.0,"itl_s":{quantiles}}}"#
            );
            let report: LoadReport = serde_json::from_str(&report).expect("a report");
            let text = report_text(&report);
            text.lines().find(|line| line.starts_with("ITL")).expect("ITL").to_owned()
        };
        let plain = "ITL          p50 0.400 s   p90 0.400 s   p99 0.400 s";
        assert_eq!(itl(11), plain);
        assert_eq!(itl(132), format!("{plain}   (between events of 13.2 tokens)"));
    }
}
