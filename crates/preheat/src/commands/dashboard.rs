//! `preheat dashboard`: the page of a journal after the fact, or of one that is being written.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use preheat_api::status::Status;
use preheat_web::{Admin, Source, StatusSource, journal_status};

use super::why::JOURNAL_FILE;
use crate::cli::DashboardArgs;
use crate::failure::{Answer, hinted, hinted_if};

pub(crate) fn run(args: &DashboardArgs) -> anyhow::Result<Answer> {
    serve(args.listen, args.token_file.as_deref(), "", source(&args.journal)?)
}

/// What a journal, or that of a state directory, tells.
pub(crate) fn source(journal: &Path) -> anyhow::Result<Source> {
    let journal = if journal.is_dir() { journal.join(JOURNAL_FILE) } else { journal.to_path_buf() };
    let first = journal_status(&journal).map_err(|error| {
        let hint = error.hint();
        hinted_if(error, hint)
    })?;
    let status = status_source(journal.clone(), first);
    Ok(Source { status, journal: Some(journal), controls: None, figures: None, live: false })
}

/// Serves the page until Ctrl-C; prints its address, with the place in it that is meant.
pub(crate) fn serve(
    listen: SocketAddr,
    token_file: Option<&Path>,
    place: &str,
    source: Source,
) -> anyhow::Result<Answer> {
    let token = super::read_token(token_file)?;
    if !listen.ip().is_loopback() && token.is_none() {
        let message = format!("{listen} can be reached from other machines, and no token is set");
        return Err(hinted(message, "set a token with `--token-file`, or listen on 127.0.0.1"));
    }
    super::runtime()?.block_on(async {
        let stop = super::up::stop_signal()?;
        let admin = Admin::bind(listen, token)
            .await
            .map_err(|error| super::up::cannot_bind("--listen", listen, &error))?;
        super::print(&format!("http://{}/{place}\n", admin.local_addr()?))?;
        admin.serve(source, stop).await;
        Ok(Answer::Yes)
    })
}

/// The status that the journal ends with at the moment; while it can't be read, the last that was.
fn status_source(journal: PathBuf, first: Status) -> StatusSource {
    let last = Mutex::new(first);
    Arc::new(move || {
        let read = journal_status(&journal);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(status) = read {
            *last = status;
        }
        last.clone()
    })
}
