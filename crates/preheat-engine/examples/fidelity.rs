//! How far the engine model is from step times and servings that it did not compute itself:
//! `cargo run --release -p preheat-engine --example fidelity`.

#![expect(clippy::print_stdout, reason = "it is there to print")]

#[path = "../tests/fidelity/errors.rs"]
mod errors;
#[path = "../tests/fidelity/points.rs"]
mod points;
#[path = "../tests/fidelity/rows.rs"]
mod rows;
#[path = "../tests/fidelity/serving.rs"]
mod serving;
#[path = "../tests/fidelity/tables.rs"]
mod tables;

use std::collections::BTreeMap;
use std::error::Error;

use errors::Errors;
use points::{Kind, Point};
use preheat_engine::{EngineConfig, EngineProfile};
use serving::{Begin, Served};

/// The points of one shape, over profiles: their errors and the profiles' names.
type ByShape = BTreeMap<(Kind, String), Vec<(f64, &'static str)>>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("errors in % of the point, median / p90 / largest");
    kernels("fitted to", &[tables::GRID, tables::DRAWN])?;
    let by_shape = kernels("held out", &[tables::HELD_OUT])?;
    worst(by_shape);
    println!("\nserving in a closed loop");
    println!(
        "| profile | prompt | output | clients | TPOT ms | modelled | error % | TTFT ms \
         | modelled, spread | together |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for profile in EngineProfile::all() {
        served(profile)?;
    }
    Ok(())
}

fn kernels(what: &str, tables: &[&str]) -> Result<ByShape, Box<dyn Error>> {
    let mut by_shape = ByShape::new();
    println!("\n| {what} | points | decode | prompt | chunk | mixed |\n|---|---|---|---|---|---|");
    for profile in EngineProfile::all() {
        let mut points = Vec::new();
        for table in tables {
            points.extend(points::of(profile, table)?);
        }
        if points.is_empty() {
            continue;
        }
        let errors: Vec<(Point, f64)> = points.iter().map(|p| (*p, p.error(profile))).collect();
        let cells = Kind::ALL.map(|kind| {
            let of_kind = errors.iter().filter(|(p, _)| p.kind == kind).map(|(_, e)| *e);
            in_percent(&Errors::new(of_kind))
        });
        println!("| {} | {} | {} |", profile.name, points.len(), cells.join(" | "));
        for (point, error) in errors {
            let shape = (point.kind, point.describe());
            by_shape.entry(shape).or_default().push((error, profile.name));
        }
    }
    Ok(by_shape)
}

/// The shapes of steps on which the profiles are worst in the median.
fn worst(by_shape: ByShape) {
    /// Of each kind.
    const SHOWN: usize = 5;
    println!("\nthe worst shapes held out, over all profiles");
    println!("| kind | shape | profiles | median % | largest % | of |\n|---|---|---|---|---|---|");
    for kind in Kind::ALL {
        let of_kind = by_shape.iter().filter(|((of, _), _)| *of == kind);
        let median = |errors: &[(f64, &str)]| Errors::new(errors.iter().map(|e| e.0)).median();
        let mut shapes: Vec<_> =
            of_kind.map(|((_, shape), errors)| (median(errors), shape, errors)).collect();
        shapes.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (median, shape, errors) in shapes.into_iter().take(SHOWN) {
            let largest = errors.iter().max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
            let (error, profile) = largest.copied().unwrap_or_default();
            println!(
                "| {} | {shape} | {} | {:.1} | {:+.1} | {profile} |",
                kind.name(),
                errors.len(),
                median * 1e2,
                error * 1e2
            );
        }
    }
}

fn served(profile: &EngineProfile) -> Result<(), Box<dyn Error>> {
    let mut tpot = Vec::new();
    let (mut fitting, mut between) = (0, 0);
    for row in serving::of(profile)? {
        let Served { prompt_tokens, output_tokens, concurrency, ttft_ms, tpot_ms } = row;
        let config = EngineConfig::for_profile(profile);
        let [spread, together] =
            [Begin::Spread, Begin::Together].map(|begin| row.model(config, begin));
        let error = spread.tpot_ms / tpot_ms - 1.0;
        let fits = row.fits(profile);
        println!(
            "| {} | {prompt_tokens} | {output_tokens} | {concurrency}{} | {tpot_ms:.1} | {:.1} \
             | {:+.1} | {ttft_ms:.0} | {:.0} | {:.0} |",
            profile.name,
            if fits { "" } else { ", beyond the KV cache" },
            spread.tpot_ms,
            error * 1e2,
            spread.ttft_ms,
            together.ttft_ms,
        );
        if fits {
            tpot.push(error);
            fitting += 1;
            between += u32::from((spread.ttft_ms..=together.ttft_ms).contains(&ttft_ms));
        }
    }
    if fitting > 0 {
        println!(
            "{}: {fitting} rows fit the KV cache; TPOT off by {} % (median / p90 / largest); \
             TTFT between spread and together in {between}",
            profile.name,
            in_percent(&Errors::new(tpot)),
        );
    }
    Ok(())
}

fn in_percent(errors: &Errors) -> String {
    let at = |level| errors.quantile(level) * 1e2;
    format!("{:.1} / {:.1} / {:.1}", at(0.5), at(0.9), at(1.0))
}
