//! `preheat shadow report`: what preheat would have done beside what another autoscaler did.

mod from_journal;
mod from_prometheus;
mod text;

use preheat_compare::shadow::ShadowReport;
use serde::Serialize;

use crate::cli::{ShadowArgs, ShadowQuestion};
use crate::failure::Answer;
use crate::terminal::Line;

/// Every pool that was asked for.
#[derive(Debug, Serialize)]
struct Reports {
    pools: Vec<ShadowReport>,
}

pub(crate) fn run(args: &ShadowArgs) -> anyhow::Result<Answer> {
    let ShadowQuestion::Report(args) = &args.question;
    let pools = match args.source.config_of_the_past() {
        Some(config) => {
            let mut line = Line::stderr();
            vec![super::runtime()?.block_on(from_prometheus::read(config, args, &mut line))?]
        }
        None => from_journal::read(args)?,
    };
    let reports = Reports { pools };
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&reports)?))?;
    } else {
        let texts: Vec<String> = reports.pools.iter().map(text::text).collect();
        super::print(&texts.join("\n"))?;
    }
    Ok(Answer::Yes)
}
