//! The report of `preheat shadow report` in words and tables.

use std::fmt::Write;
use std::time::Duration;

use preheat_compare::shadow::{Differences, ScaleUp, ScaleUps, ShadowReport, Trouble, Troubles};
use preheat_core::Instant;

use crate::moments;
use crate::wording::{counted, span, time};

/// Rows of a list; `--json` has all.
const ROWS_MAX: usize = 12;

pub(super) fn text(report: &ShadowReport) -> String {
    let mut text = format!(
        "{}  {} watched, {} to {}\n\n",
        report.pool,
        span(report.watched_s),
        moment(report.from_s),
        moment(report.until_s)
    );
    sides(&mut text, report);
    differences(&mut text, report);
    scale_ups(&mut text, &report.scale_ups);
    troubles(&mut text, &report.troubles);
    text.push_str("\nHow far to believe it:\n");
    for note in &report.notes {
        // Writing to a string can't fail.
        let _ = writeln!(text, "- {note}");
    }
    text
}

fn sides(text: &mut String, report: &ShadowReport) {
    let _ = writeln!(
        text,
        "{:<22} {:>13} {:>6} {:>6} {:>7} {:>8}",
        "", "replica-hours", "fewest", "most", "starts", "changes"
    );
    for (name, side) in [("what there was", &report.there), ("preheat wanted", &report.wanted)] {
        let _ = writeln!(
            text,
            "{name:<22} {:>13.2} {:>6} {:>6} {:>7} {:>8}",
            side.replica_hours, side.replicas_min, side.replicas_peak, side.starts, side.changes
        );
    }
}

fn differences(text: &mut String, report: &ShadowReport) {
    text.push('\n');
    for (name, found) in [("more", &report.more), ("fewer", &report.fewer)] {
        let Differences { times, s, replicas_peak, replica_hours } = found;
        if *times == 0 {
            let _ = writeln!(text, "preheat never wanted {name}.");
            continue;
        }
        let _ = writeln!(
            text,
            "preheat wanted {name} {} for {}: at most {replicas_peak} {name}, {replica_hours:.2} \
             replica-hours.",
            counted(*times, "time", "times"),
            time(*s)
        );
    }
}

fn scale_ups(text: &mut String, ups: &ScaleUps) {
    if ups.all.is_empty() {
        text.push_str("\nThe other never scaled up.\n");
        return;
    }
    let _ = write!(
        text,
        "\nThe other scaled up {}. preheat wanted as many earlier {}, at once {}, later {}, never {}",
        counted(ups.all.len() as u64, "time", "times"),
        ups.earlier,
        ups.at_once,
        ups.later,
        ups.never
    );
    if let Some(lead_s) = ups.lead_p50_s {
        let _ = write!(text, "; half of those {} or more", lead(lead_s));
    }
    text.push_str(".\n");
    let _ = writeln!(text, "\n{:<20} {:>12}  {:<}", "when", "replicas", "preheat wanted as many");
    for ScaleUp { at_s, before, after, lead_s, lead_is_at_least } in ups.all.iter().take(ROWS_MAX) {
        let lead = match lead_s {
            Some(lead_s) if *lead_is_at_least => format!("{}, or more", lead(*lead_s)),
            Some(lead_s) => lead(*lead_s),
            None => "never, while it had them".to_owned(),
        };
        let replicas = format!("{before} -> {after}");
        let _ = writeln!(text, "{:<20} {replicas:>12}  {lead}", moment(*at_s));
    }
    left_out(text, ups.all.len());
}

fn troubles(text: &mut String, troubles: &Troubles) {
    if troubles.first_tokens > 0 {
        let (late, all) = (troubles.late, troubles.first_tokens);
        let _ = writeln!(
            text,
            "\nFirst tokens: {all}, of them {late} late ({:.4} within the SLO).",
            1.0 - late as f64 / all as f64
        );
    }
    if troubles.all.is_empty() {
        text.push_str(
            "\nNo first token was late, and where nobody counts those, no queue was long.\n",
        );
        return;
    }
    let _ = writeln!(
        text,
        "\nFirst tokens were late, or where nobody counts those, requests queued for every replica, {}. \
         With what preheat wanted a lead time before, more replicas would have been ready at {} of \
         them, and no more at {}.",
        counted(troubles.all.len() as u64, "time", "times"),
        troubles.with_more,
        troubles.without_more
    );
    let _ = writeln!(
        text,
        "\n{:<20} {:>8} {:>7} {:>6} {:>6} {:>7}  {:<}",
        "when", "for", "waiting", "late", "ready", "wanted", "a lead time before"
    );
    for trouble in troubles.all.iter().take(ROWS_MAX) {
        let Trouble { at_s, s, queued_peak, late, ready, wanted, wanted_lead_time_before } =
            trouble;
        let known = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let _ = writeln!(
            text,
            "{:<20} {:>8} {queued_peak:>7} {:>6} {ready:>6} {wanted:>7}  {:<}",
            moment(*at_s),
            time(*s),
            known(*late),
            known(wanted_lead_time_before.map(u64::from))
        );
    }
    left_out(text, troubles.all.len());
}

fn left_out(text: &mut String, rows: usize) {
    if let Some(more) = rows.checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "... and {more} more, which --json has");
    }
}

/// `2 min earlier`, `30 s later`.
fn lead(lead_s: f64) -> String {
    match lead_s {
        lead_s if lead_s > 0.0 => format!("{} earlier", time(lead_s)),
        lead_s if lead_s < 0.0 => format!("{} later", time(-lead_s)),
        _ => "at once".to_owned(),
    }
}

fn moment(at_s: f64) -> String {
    let at = Duration::try_from_secs_f64(at_s).unwrap_or_default();
    moments::shown(Instant::ORIGIN.saturating_add(at))
}
