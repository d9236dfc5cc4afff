//! The report of `preheat coldstart` in words, a table and a picture.

use std::fmt::Write;

use super::report::{PhaseRow, PoolReport, Report};
use super::savings::Technique;
use crate::wording::{counted, span, time};
use preheat_api::words;

/// Width of the bar of a whole start.
const BAR_CELLS: f64 = 40.0;

pub(super) fn text(report: &Report) -> String {
    let pools: Vec<String> = report.pools.iter().map(pool_text).collect();
    let mut text = pools.join("\n");
    for pool in &report.pools_without_starts {
        // Writing to a string can't fail.
        let _ = write!(text, "\n{pool}  no start became ready\n");
    }
    text
}

fn pool_text(pool: &PoolReport) -> String {
    let mut text = headline(pool);
    text.push('\n');
    text.push_str(&phases(pool));
    text.push('\n');
    if !pool.machines.is_empty() {
        text.push_str(&machines(pool));
        text.push('\n');
    }
    text.push_str(&savings(pool));
    text
}

fn headline(pool: &PoolReport) -> String {
    let mut text = format!(
        "{}  {} in {}, {:.0} a day",
        pool.pool,
        counted(pool.starts as u64, "start became ready", "starts became ready"),
        span(pool.watched_s),
        pool.starts_per_day
    );
    if pool.unfinished > 0 {
        // Writing to a string can't fail.
        let _ = write!(
            text,
            "; {} given up or under way, and {} as longer than seen",
            counted(pool.unfinished as u64, "more was", "more were"),
            if pool.unfinished == 1 { "counts" } else { "count" }
        );
    }
    if pool.wakes > 0 {
        let _ = write!(text, "; {}", counted(pool.wakes as u64, "wake", "wakes"));
    }
    text.push_str(".\n");
    text
}

/// One row a phase, with a bar that begins where the one before ends.
fn phases(pool: &PoolReport) -> String {
    let mut text =
        format!("{:<13} {:>6} {:>8} {:>8} {:>6}\n", "phase", "starts", "p50", "p90", "share");
    let mut from = 0.0;
    for row in &pool.phases {
        let to = from + row.share;
        text.push_str(&phase_row(row, &bar(from, to)));
        from = to;
    }
    let (p50_s, p90_s, starts) = (pool.p50_s, pool.p90_s, pool.starts);
    text.push_str(&row("whole start", starts, p50_s, p90_s, 1.0, &bar(0.0, 1.0)));
    if let [only] = pool.phases.as_slice() {
        // Writing to a string can't fail.
        let _ =
            writeln!(text, "Phases are not told apart here: {} is the whole start.", only.phase);
    }
    text
}

fn phase_row(phase: &PhaseRow, bar: &str) -> String {
    row(phase.phase, phase.starts, phase.p50_s, phase.p90_s, phase.share, bar)
}

fn row(name: &str, starts: usize, p50_s: f64, p90_s: f64, share: f64, bar: &str) -> String {
    let (p50, p90) = (time(p50_s), time(p90_s));
    format!("{name:<13} {starts:>6} {p50:>8} {p90:>8} {share:>6.2}  {bar}\n")
}

/// From one share of a start to another; what takes any time at all shows.
fn bar(from: f64, to: f64) -> String {
    let cell = |share: f64| (share * BAR_CELLS).round() as usize;
    let (begin, end) = (cell(from), cell(to));
    let bar = if end > begin { "█".repeat(end - begin) } else { "▏".to_owned() };
    format!("{}{bar}", " ".repeat(begin))
}

/// One row for machines that held the same.
fn machines(pool: &PoolReport) -> String {
    let mut text =
        format!("{:<26} {:>6} {:>8} {:>8}\n", "on a machine with", "starts", "p50", "p90");
    for row in &pool.machines {
        let held = match row.machine {
            machine if machine.is_unknown() => "nobody knows".to_owned(),
            machine => words::machine(machine),
        };
        let (p50, p90) = (time(row.p50_s), time(row.p90_s));
        // Writing to a string can't fail.
        let _ = writeln!(text, "{held:<26} {:>6} {p50:>8} {p90:>8}", row.starts);
    }
    text
}

fn savings(pool: &PoolReport) -> String {
    let mut text = format!("{:<22} {:>8} {:>16}\n", "would save", "a start", "GPU-hours a day");
    for saving in &pool.savings {
        let saves = saving.saves_s.map_or_else(|| "-".to_owned(), time);
        let per_day =
            saving.gpu_hours_per_day.map_or_else(|| "-".to_owned(), |h| format!("{h:.2}"));
        let name = technique(saving.technique);
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<22} {saves:>8} {per_day:>16}");
    }
    text.push('\n');
    for saving in &pool.savings {
        let _ = writeln!(text, "- {}: {}.", technique(saving.technique), saving.assumption);
    }
    let gpus = pool.gpus_per_replica;
    let basis = if pool.gpus_per_replica_known {
        String::new()
    } else {
        " (assumed; --config or --profile would tell)".to_owned()
    };
    let _ = writeln!(
        text,
        "- A start's saving is the mean over those that became ready; GPU-hours a day are that × {:.1} \
         starts a day × {}{basis}. Savings overlap: they do not add up.",
        pool.starts_per_day,
        counted(u64::from(gpus), "GPU a replica", "GPUs a replica")
    );
    text
}

fn technique(technique: Technique) -> &'static str {
    match technique {
        Technique::ImagePrePulled => "image pre-pulled",
        Technique::WeightsOnNvme => "weights on local NVMe",
        Technique::CompileCache => "compile cache",
        Technique::Sleep => "sleep, not stop",
    }
}
