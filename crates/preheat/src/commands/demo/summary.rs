//! What came of the demo: what its clients saw, and what it cost.

use preheat_load::LoadReport;
use preheat_runtime::journal::{JournalReader, tally};
use serde::Serialize;

use super::{DemoArgs, Stage};
use crate::failure::Answer;

/// The last line of `preheat demo --json`. The names are stable.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    requests: u64,
    completed: u64,
    failed: u64,
    attainment: Option<f64>,
    ttft_s: Option<Ttft>,
    gpu_seconds: f64,
    starts: u64,
    stops: u64,
    replicas_peak: u32,
    streams_cut: u64,
    journal: String,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Ttft {
    p50: f64,
    p90: f64,
    p99: f64,
}

pub(super) fn print(args: &DemoArgs, stage: &Stage, report: &LoadReport) -> anyhow::Result<Answer> {
    let journal = stage.journal();
    let reader = JournalReader::open_read_only(&journal)?;
    let totals = tally(&reader, "chat", 1)?;
    let summary = Summary {
        requests: report.requests,
        completed: report.completed,
        failed: report.failed,
        attainment: report.attainment,
        ttft_s: report.ttft_s.map(|ttft| Ttft { p50: ttft.p50, p90: ttft.p90, p99: ttft.p99 }),
        gpu_seconds: totals.gpu_seconds,
        starts: totals.starts,
        stops: totals.stops,
        replicas_peak: totals.replicas_peak,
        streams_cut: report.streams_cut,
        journal: journal.display().to_string(),
    };
    if args.json {
        crate::commands::print(&format!("{}\n", serde_json::to_string(&summary)?))?;
    } else {
        crate::commands::print(&text(&summary, report))?;
    }
    Ok(Answer::Yes)
}

fn text(summary: &Summary, report: &LoadReport) -> String {
    let journal = &summary.journal;
    format!(
        "\n{}GPU-seconds  {:.0} ({} started, {} stopped, at most {} at once)\n\n\
         Look at all of it:         preheat dashboard {journal}\n\
         Why it did what it did:    preheat why --journal {journal} --changes 20\n\
         Decide all of it again:    preheat replay {journal}\n",
        crate::commands::load::report_text(report),
        summary.gpu_seconds,
        summary.starts,
        summary.stops,
        summary.replicas_peak,
    )
}
