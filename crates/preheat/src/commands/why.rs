//! `preheat why`: the journal's answer to why a pool was scaled, or was not.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use preheat_api::journal::JournalEntry;
use preheat_api::words;
use preheat_core::Instant;
use preheat_runtime::journal::{JournalReader, Selection, StoredEntry};

use crate::cli::WhyArgs;
use crate::failure::{Answer, hinted};
use crate::moments;

/// File name of the journal in a state directory.
pub(crate) const JOURNAL_FILE: &str = "journal.db";

pub(crate) fn run(args: &WhyArgs) -> anyhow::Result<Answer> {
    let reader = open(&args.journal)?;
    let mut text = String::new();
    for pool in pools(&reader, args.pool.as_deref())? {
        let Some(last) = reader.last_record(&pool)? else { continue };
        let entries = match args.changes {
            Some(count) => changes(&reader, &pool, count)?,
            None => at(&reader, &pool, last, args.at.as_deref())?,
        };
        for StoredEntry { entry, .. } in entries {
            if args.json {
                let _ = writeln!(text, "{}", serde_json::to_string(&entry)?);
            } else {
                tell(&mut text, &entry, args.changes.is_some());
            }
        }
    }
    super::print(&text)?;
    Ok(Answer::Yes)
}

/// Opens a journal, given as a file or as the state directory that it is in.
pub(crate) fn open(path: &Path) -> anyhow::Result<JournalReader> {
    let file = if path.is_dir() { path.join(JOURNAL_FILE) } else { PathBuf::from(path) };
    JournalReader::open_read_only(file).map_err(|error| {
        let hint = error.hint();
        match hint {
            Some(hint) => hinted(error, hint),
            None => error.into(),
        }
    })
}

/// The pools to look at.
pub(crate) fn pools(reader: &JournalReader, pool: Option<&str>) -> anyhow::Result<Vec<String>> {
    let all = reader.pools()?;
    match pool {
        None => Ok(all),
        Some(pool) if all.iter().any(|name| name == pool) => Ok(vec![pool.to_owned()]),
        Some(pool) => Err(hinted(
            format!("the journal has no pool {pool:?}"),
            format!("it has: {}", all.join(", ")),
        )),
    }
}

/// The tick at the moment asked for: the last one before its end.
fn at(
    reader: &JournalReader,
    pool: &str,
    last: StoredEntry,
    text: Option<&str>,
) -> anyhow::Result<Vec<StoredEntry>> {
    let Some(text) = text else { return Ok(vec![last]) };
    let moment = moments::parse(text, last.entry.at)?;
    let until = moment.saturating_add(moments::SAME_SECOND);
    let mut found = None;
    for entry in ticks(reader, pool, Some(until)) {
        found = Some(entry?);
    }
    found.map(|entry| vec![entry]).ok_or_else(|| {
        hinted(
            format!("the journal of {pool} has nothing as early as {}", moments::shown(moment)),
            format!("its last tick is at {}", moments::shown(last.entry.at)),
        )
    })
}

fn changes(reader: &JournalReader, pool: &str, count: u32) -> anyhow::Result<Vec<StoredEntry>> {
    let mut found = std::collections::VecDeque::new();
    for entry in ticks(reader, pool, None) {
        let entry = entry?;
        let acted = entry.entry.body.plan().is_some_and(|plan| !plan.actions.is_empty());
        if acted {
            found.push_back(entry);
        }
        if found.len() > count as usize {
            found.pop_front();
        }
    }
    Ok(found.into())
}

fn ticks(
    reader: &JournalReader,
    pool: &str,
    until: Option<Instant>,
) -> impl Iterator<Item = anyhow::Result<StoredEntry>> {
    let pool = Some(pool.to_owned());
    let entries = reader.entries(Selection { pool, until, ..Selection::default() });
    entries.map(|entry| entry.map_err(anyhow::Error::from)).filter(|entry| {
        // Errors pass, to be reported.
        entry.as_ref().map_or(true, |stored| stored.entry.body.observation().is_some())
    })
}

fn tell(text: &mut String, entry: &JournalEntry, brief: bool) {
    // Writing to a string can't fail.
    let _ = write!(text, "{}  {}  ", moments::shown(entry.at), entry.pool);
    if let Some(headline) = words::entry(&entry.body) {
        let _ = writeln!(text, "{headline}");
    }
    if brief {
        return;
    }
    if let (Some(explanation), Some(observation)) =
        (entry.body.explanation(), entry.body.observation())
    {
        for line in words::details(explanation, observation, moments::shown) {
            let _ = writeln!(text, "  {line}");
        }
    }
}
