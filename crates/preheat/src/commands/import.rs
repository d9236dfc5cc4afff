//! `preheat import`: other autoscalers' manifests in, the nearest configuration out.

use std::io::{self, Read, Write};
use std::path::Path;

use preheat_api::import::{Imported, kubernetes, local, read};

use crate::cli::{ImportArgs, ImportTo};
use crate::failure::{Answer, hinted, hinted_if};
use crate::wording::counted;

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<Answer> {
    let is_stdin = args.file.as_os_str() == "-";
    let file = if is_stdin { Path::new("stdin") } else { &args.file };
    let text = match is_stdin {
        true => io::read_to_string(io::stdin().lock().take(READ_MAX)),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| {
        let hint = "pass a file of manifests, or `-` and pipe `kubectl get hpa chat -o yaml` in";
        hinted(format!("{}: can't be read: {error}", file.display()), hint)
    })?;
    let all = read(&text, file).map_err(|error| {
        let hint = error.hint();
        hinted_if(error, hint)
    })?;
    let written = match args.to {
        ImportTo::Kubernetes => kubernetes(&all, file),
        ImportTo::Local => local(&all, file).map_err(|problem| {
            let hint = "import them in several files, or with lower `maxReplicas`";
            hinted(format!("{}: {problem}", file.display()), hint)
        })?,
    };
    super::print(&written)?;
    // Whoever pipes stdout into a file still sees what it cost. A closed stderr leaves nobody to tell.
    let _told = io::stderr().write_all(summary(&all, file).as_bytes());
    Ok(Answer::Yes)
}

/// Beyond what is taken, so that a stream without end is refused like a large file.
const READ_MAX: u64 = 32 << 20;

fn summary(all: &[Imported], file: &Path) -> String {
    let mut text = String::new();
    for imported in all {
        let lost = imported.notes.iter().filter(|note| note.line > 0);
        text.push_str(&format!(
            "{} {}: {} not carried over\n",
            imported.kind,
            imported.full_name(),
            counted(lost.clone().count() as u64, "key", "keys")
        ));
        for note in lost {
            text.push_str(&format!(
                "  {}:{}: {}: {}\n",
                file.display(),
                note.line,
                note.path,
                note.text
            ));
        }
    }
    text
}
