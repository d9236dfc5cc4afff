//! Fits the figures of `src/profiles.rs` anew and prints them, with their errors:
//! `cargo run --release -p preheat-engine --example fit -- crates/preheat-engine/tests/data/step_points.csv
//! crates/preheat-engine/tests/data/step_points_drawn.csv`.

#![expect(clippy::print_stdout, reason = "it is there to print")]

#[path = "../../tests/fidelity/errors.rs"]
mod errors;
mod host;
mod least_squares;
#[path = "../../tests/fidelity/points.rs"]
mod points;
#[path = "../../tests/fidelity/rows.rs"]
mod rows;
#[path = "../../tests/fidelity/serving.rs"]
mod serving;
mod table;

use std::error::Error;

use errors::Errors;
use host::{Host, Serving};
use points::{Kind, Point};
use preheat_engine::EngineProfile;
use table::Table;

fn main() -> Result<(), Box<dyn Error>> {
    let mut tables = Vec::new();
    for path in std::env::args().skip(1) {
        let read = std::fs::read_to_string(&path);
        tables.push(read.map_err(|error| format!("{path} can't be read: {error}"))?);
    }
    if tables.is_empty() {
        return Err("name files of step times, such as tests/data/step_points.csv".into());
    }
    for profile in EngineProfile::all() {
        let mut points = Vec::new();
        for table in &tables {
            points.extend(points::of(profile, table)?);
        }
        if !points.is_empty() {
            print_table(profile, &points);
        }
    }
    print_hosts()
}

/// The table as `src/profiles.rs` has it.
fn print_table(profile: &EngineProfile, points: &[Point]) {
    /// Knots on a line.
    const IN_LINE: usize = 8;
    let table = Table::fit(points);
    println!("{}", profile.name);
    println!("            [");
    for knots in table.at_knots.chunks(IN_LINE) {
        let knots: Vec<String> = knots.iter().map(|ms| format!("{ms:?}")).collect();
        println!("                {},", knots.join(", "));
    }
    let Table { per_attention, per_context, if_prefill, .. } = table;
    println!("            ],\n            {per_attention:?}, {per_context:?}, {if_prefill:?},");
    let fitted = EngineProfile { step: table.profile(), ..*profile };
    for kind in Kind::ALL {
        let of_kind = points.iter().filter(|point| point.kind == kind);
        let errors = of_kind.map(|point| (point.error(&fitted), point));
        let worst = errors.clone().max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        println!(
            "{}, in sample: {}; worst: {}",
            kind.name(),
            in_percent(&Errors::new(errors.map(|e| e.0))),
            worst.map(|(_, point)| point.describe()).unwrap_or_default()
        );
    }
    println!();
}

/// Host times fitted to the rows of each served profile, and what they make of all rows.
fn print_hosts() -> Result<(), Box<dyn Error>> {
    let mut served: Vec<(&str, Vec<Serving>)> = Vec::new();
    for profile in EngineProfile::all() {
        let rows = serving::of(profile)?.into_iter().filter(|row| row.fits(profile));
        let rows: Vec<Serving> = rows.map(|row| (profile, row)).collect();
        if !rows.is_empty() {
            served.push((profile.name, rows));
        }
    }
    let all: Vec<Serving> = served.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    println!(
        "| host time of | ms per step | ms per sequence | on rows of | TPOT % | TTFT between |"
    );
    println!("|---|---|---|---|---|---|");
    let none = ("nobody", Host::default());
    let fitted = served.iter().map(|(name, rows)| (*name, Host::fit(rows)));
    for (name, host) in [none].into_iter().chain(fitted).chain([("all", Host::fit(&all))]) {
        for (on, rows) in &served {
            println!(
                "| {name} | {} | {} | {on} | {} | {} of {} |",
                host.per_step,
                host.per_seq,
                in_percent(&host.errors(rows)),
                host.between(rows),
                rows.len()
            );
        }
    }
    Ok(())
}

fn in_percent(errors: &Errors) -> String {
    let at = |level| errors.quantile(level) * 1e2;
    format!("{:.1} / {:.1} / {:.1}", errors.median() * 1e2, at(0.9), at(1.0))
}
