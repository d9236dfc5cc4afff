//! `preheat lab`: the lesson, served or written.

use std::path::Path;
use std::sync::Arc;

use preheat_api::status::Status;
use preheat_compare::PoolError;
use preheat_compare::backtest::{Beside, PastFigures};
use preheat_engine::EngineProfile;
use preheat_runtime::prometheus::PrometheusConfig;
use preheat_web::Source;

use super::backtest::from_prometheus;
use crate::cli::LabArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

pub(crate) fn run(args: &LabArgs) -> anyhow::Result<Answer> {
    if let Some(file) = &args.print {
        return print(file);
    }
    let source = match (&args.journal, args.past.source.config_of_the_past()) {
        (Some(journal), _) => super::dashboard::source(journal)?,
        (None, Some(config)) => Source { figures: Some(figures(config, args)?), ..of_nothing() },
        (None, None) => of_nothing(),
    };
    super::dashboard::serve(args.listen, args.token_file.as_deref(), "#/lab", source)
}

/// What the Prometheus tells of the pool's past, in the figures that the step "On your cluster" takes.
fn figures(config: PrometheusConfig, args: &LabArgs) -> anyhow::Result<Arc<PastFigures>> {
    if let Some(profile) = args.profile.as_deref()
        && EngineProfile::find(profile).is_none()
    {
        return Err(super::pool::refused(PoolError::Profile { name: profile.to_owned() }));
    }
    let mut line = Line::stderr();
    let read = from_prometheus::read(config, &args.past, args.slo_ttft, &mut line);
    let history = super::runtime()?.block_on(read)?;
    let beside = Beside {
        told_by: "as `preheat lab` was told".to_owned(),
        cold_start: args.cold_start,
        slo_ttft: Some(args.slo_ttft),
        max_num_seqs: args.max_num_seqs,
        latency: None,
        profile: args.profile.clone(),
    };
    let name = args.past.pool.as_deref().or(args.past.selector.as_deref()).unwrap_or("history");
    let figures = PastFigures::of(name, &history, &beside);
    if figures.qps.is_none() {
        let hint = "choose another --pool, --selector or --from, or a longer --step";
        return Err(hinted(format!("{name}: {}", figures.notes.join("; ")), hint));
    }
    line.print(&format!("the step \"On your cluster\" has the figures of {name}"));
    Ok(Arc::new(figures))
}

fn of_nothing() -> Source {
    let status = Status { version: env!("CARGO_PKG_VERSION").to_owned(), ..Status::default() };
    let status = Arc::new(move || status.clone());
    Source { status, journal: None, controls: None, figures: None, live: false }
}

fn print(file: &Path) -> anyhow::Result<Answer> {
    let mut line = Line::stderr();
    let html = preheat_lab::print(&mut |step| line.draw(&format!("simulating: {step}")))?;
    if file == Path::new("-") {
        super::print(&html)?;
        return Ok(Answer::Yes);
    }
    std::fs::write(file, html).map_err(|error| {
        hinted(
            format!("{} can't be written: {error}", file.display()),
            "name a file in a folder that exists, or `-` for stdout",
        )
    })?;
    line.print(&format!("wrote {}", file.display()));
    Ok(Answer::Yes)
}
