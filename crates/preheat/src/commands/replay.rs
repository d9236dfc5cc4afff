//! `preheat replay`: decides every tick of a journal again, and compares bit for bit.

use std::fmt::Write;
use std::io;

use preheat_runtime::journal::{ReplayReport, Selection, replay};

use super::why;
use crate::cli::ReplayArgs;
use crate::failure::Answer;
use crate::moments;

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Answer> {
    let reader = why::open(&args.journal)?;
    why::pools(&reader, args.pool.as_deref())?;
    if args.export {
        let selection = Selection { pool: args.pool.clone(), ..Selection::default() };
        reader.export(selection, &mut io::stdout().lock())?;
        return Ok(Answer::Yes);
    }
    let report = replay(&reader, args.pool.as_deref())?;
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        super::print(&text(&report))?;
    }
    Ok(if report.agrees() { Answer::Yes } else { Answer::No })
}

fn text(report: &ReplayReport) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "{} ticks decided again: {} agree bit for bit, {} differ, {} could not be checked",
        report.records, report.agreed, report.differed, report.skipped
    );
    if let Some(difference) = &report.first_difference {
        let _ = writeln!(
            text,
            "first difference: pool {}, tick {}, at {}, in {}\n  recorded  {}\n  redecided {}",
            difference.pool,
            difference.tick.0,
            moments::shown(difference.at),
            difference.what,
            difference.recorded,
            difference.redecided
        );
    }
    text
}
