//! `preheat dashboard`: the page of a journal after the fact, or of one that is being written.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use preheat_api::status::Status;
use preheat_web::{Admin, Source, StatusSource, journal_status};

use super::why::JOURNAL_FILE;
use crate::cli::DashboardArgs;
use crate::failure::{Answer, hinted, hinted_if};

pub(crate) fn run(args: &DashboardArgs) -> anyhow::Result<Answer> {
    let journal =
        if args.journal.is_dir() { args.journal.join(JOURNAL_FILE) } else { args.journal.clone() };
    let first = journal_status(&journal).map_err(|error| {
        let hint = error.hint();
        hinted_if(error, hint)
    })?;
    let token = super::read_token(args.token_file.as_deref())?;
    if !args.listen.ip().is_loopback() && token.is_none() {
        let message =
            format!("{} can be reached from other machines, and no token is set", args.listen);
        return Err(hinted(message, "set a token with `--token-file`, or listen on 127.0.0.1"));
    }
    super::runtime()?.block_on(async {
        let stop = super::up::stop_signal()?;
        let admin = Admin::bind(args.listen, token)
            .await
            .map_err(|error| super::up::cannot_bind("--listen", args.listen, &error))?;
        super::print(&format!("http://{}/\n", admin.local_addr()?))?;
        let status = status_source(journal.clone(), first);
        admin.serve(Source { status, journal: Some(journal), live: false }, stop).await;
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
