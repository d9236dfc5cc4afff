//! `preheat compare`: traces under many autoscalers, side by side.

mod table;

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use preheat_api::config::parse_duration;
use preheat_compare::html::{HtmlAbout, render};
use preheat_compare::{Comparison, ComparisonSpec, Workload, compare, select};
use preheat_sim::run::ReplicasInitial;

use super::pool;
use super::traces::{self, TraceRequest};
use crate::cli::CompareArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

/// Cold starts of the page's sweep, in seconds.
const SWEEP_S: [u64; 7] = [0, 30, 60, 120, 180, 300, 600];

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<Answer> {
    let mut line = Line::stderr();
    let spec = spec(args)?;
    let workloads: Vec<Workload> = args
        .trace
        .iter()
        .map(|trace| workload(args, trace, &mut line))
        .collect::<Result<_, _>>()?;
    let began = Instant::now();
    let line = Mutex::new(line);
    let progress = |what: &str, finished: usize, of: usize| {
        // A poisoned lock only costs a line of progress.
        if let Ok(mut line) = line.lock() {
            line.draw(&format!("{what}: {finished} of {of} runs"));
        }
    };
    let comparison = compare(&workloads, &spec, &progress)?;
    let mut line = line.into_inner().unwrap_or_else(|_| Line::stderr());
    line.print(&format!("compared in {:.0} s of wall time", began.elapsed().as_secs_f64()));
    if let Some(path) = &args.html {
        write_page(path, &comparison)?;
        line.print(&format!("wrote {}", path.display()));
    }
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&comparison)?))?;
    } else {
        super::print(&table::text(&comparison))?;
    }
    Ok(Answer::Yes)
}

fn spec(args: &CompareArgs) -> anyhow::Result<ComparisonSpec> {
    let policies = select(&args.policies)
        .map_err(|error| hinted(error, "docs/policies/peers.md says what each one does"))?;
    if policies.is_empty() {
        return Err(hinted("--policies names none", "give names with commas between, or `all`"));
    }
    if let Some(wrong) = args.attainment.iter().find(|a| !(0.0..1.0).contains(*a)) {
        let message = format!("--attainment has {wrong}, which is no ratio below 1");
        return Err(hinted(message, "give 0.99 for 99 %"));
    }
    let cold_starts = match (args.cold_starts.as_slice(), &args.html) {
        ([], Some(_)) => SWEEP_S.map(Duration::from_secs).to_vec(),
        (chosen, _) => chosen.to_vec(),
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Ok(ComparisonSpec {
        policies,
        tune: args.tune,
        attainments: args.attainment.clone(),
        cold_starts,
        series: args.html.is_some(),
        threads: args.threads.unwrap_or(cores),
    })
}

fn workload(args: &CompareArgs, asked: &str, line: &mut Line) -> anyhow::Result<Workload> {
    let part = TracePart::of(asked, args)?;
    let request = TraceRequest {
        name: part.name,
        format: None,
        from: part.from,
        until: part.until,
        rate_scale: part.rate_scale,
        seed: args.pool.seed,
    };
    let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
    let mut workload = pool::workload(&args.pool, part.title(), trace)?;
    // Whatever the first lead time lacks, nobody could have mended.
    if args.pool.initial_replicas.is_none() {
        let first = pool::cold_start(&args.pool) + Duration::from_secs(60);
        workload.config.replicas_initial = ReplicasInitial::ForFirst(first);
    }
    Ok(workload)
}

/// `NAME`, `NAME@RATE_SCALE`, or `NAME@RATE_SCALE:FROM-UNTIL`.
struct TracePart<'a> {
    name: &'a str,
    rate_scale: f64,
    from: Option<Duration>,
    until: Option<Duration>,
}

impl<'a> TracePart<'a> {
    fn of(asked: &'a str, args: &CompareArgs) -> anyhow::Result<Self> {
        let part = &args.part;
        let whole =
            Self { name: asked, rate_scale: part.rate_scale, from: part.from, until: part.until };
        let Some((name, rest)) = asked.rsplit_once('@').filter(|_| !Path::new(asked).exists())
        else {
            return Ok(whole);
        };
        let wrong = || {
            let hint = "write `azure-code@10`, or `rates.csv@0.05:96h-144h` for a part of it";
            hinted(format!("{asked:?} is no trace with a rate scale"), hint)
        };
        let (scale, window) = match rest.split_once(':') {
            Some((scale, window)) => (scale, Some(window)),
            None => (rest, None),
        };
        let mut part = Self { name, rate_scale: scale.parse().map_err(|_| wrong())?, ..whole };
        if let Some(window) = window {
            let (from, until) = window.split_once('-').ok_or_else(wrong)?;
            part.from = Some(parse_duration(from).map_err(|_| wrong())?);
            part.until = Some(parse_duration(until).map_err(|_| wrong())?);
        }
        Ok(part)
    }

    /// What the report calls it.
    fn title(&self) -> String {
        let file = Path::new(self.name).file_name().and_then(|file| file.to_str());
        let stem = file.unwrap_or(self.name).trim_end_matches(".gz").trim_end_matches(".csv");
        format!("{stem}@{}", self.rate_scale)
    }
}

fn write_page(path: &Path, comparison: &Comparison) -> anyhow::Result<()> {
    let about = HtmlAbout {
        command: std::env::args().collect::<Vec<_>>().join(" "),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let page = render(comparison, &about);
    fs::write(path, page).with_context(|| format!("{} can't be written", path.display()))
}
