//! `preheat lab`: the lesson, served or written.

use std::path::Path;
use std::sync::Arc;

use preheat_api::status::Status;
use preheat_web::Source;

use crate::cli::LabArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

pub(crate) fn run(args: &LabArgs) -> anyhow::Result<Answer> {
    if let Some(file) = &args.print {
        return print(file);
    }
    let source = match &args.journal {
        Some(journal) => super::dashboard::source(journal)?,
        None => of_nothing(),
    };
    super::dashboard::serve(args.listen, args.token_file.as_deref(), "#/lab", source)
}

fn of_nothing() -> Source {
    let status = Status { version: env!("CARGO_PKG_VERSION").to_owned(), ..Status::default() };
    let status = Arc::new(move || status.clone());
    Source { status, journal: None, controls: None, live: false }
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
