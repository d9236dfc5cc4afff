//! The ticks of a journal, as they were decided.

use std::path::Path;

use preheat_api::journal::EntryBody;
use preheat_compare::shadow::{Shadow, ShadowReport};
use preheat_core::{Instant, Policy};
use preheat_runtime::journal::{JournalReader, Selection};

use super::super::why;
use crate::cli::ShadowReportArgs;
use crate::failure::hinted;

/// The report of each pool that has one.
pub(super) fn read(args: &ShadowReportArgs) -> anyhow::Result<Vec<ShadowReport>> {
    let journal = args.journal.as_deref().unwrap_or_else(|| Path::new(".preheat"));
    let reader = why::open(journal)?;
    let mut reports = Vec::new();
    for pool in why::pools(&reader, args.pool.as_deref())? {
        reports.extend(report(&reader, &pool, args)?);
    }
    if reports.is_empty() {
        let (message, hint) = (
            format!("{} has no two ticks to compare anything between", journal.display()),
            "let preheat observe for a while, or give another --journal, --pool or a longer --from",
        );
        return Err(hinted(message, hint));
    }
    Ok(reports)
}

fn report(
    reader: &JournalReader,
    pool: &str,
    args: &ShadowReportArgs,
) -> anyhow::Result<Option<ShadowReport>> {
    let Some(last) = reader.last_record(pool)? else { return Ok(None) };
    let from = args.from.map(|from| last.entry.at.saturating_sub(from));
    // Without a checkpoint before, the first in the file says what is decided by.
    let policy = match from {
        Some(from) => policy_at(reader, pool, from)?,
        None => None,
    };
    let mut shadow = policy.map(|policy| Shadow::new(pool, &policy));
    let selection = Selection { pool: Some(pool.to_owned()), from, ..Selection::default() };
    for stored in reader.entries(selection) {
        match (stored?.entry.body, &mut shadow) {
            (EntryBody::Checkpoint(checkpoint), Some(shadow)) => shadow.policy(&checkpoint.policy),
            (EntryBody::Checkpoint(checkpoint), none) => {
                *none = Some(Shadow::new(pool, &checkpoint.policy));
            }
            (EntryBody::Decided(tick), Some(shadow)) => {
                shadow.tick(&tick.observation, &tick.plan, Some(&tick.explanation));
            }
            (EntryBody::Held(tick), Some(shadow)) => {
                shadow.tick(&tick.observation, &tick.plan, None);
            }
            // A tick before the first checkpoint is left from what was cut off the journal's begin.
            (EntryBody::Decided(_) | EntryBody::Held(_), None) => {}
        }
    }
    Ok(shadow.and_then(Shadow::report))
}

/// What was decided by at a moment.
fn policy_at(reader: &JournalReader, pool: &str, at: Instant) -> anyhow::Result<Option<Policy>> {
    let stored = reader.checkpoint_at(pool, at)?;
    Ok(stored.and_then(|stored| match stored.entry.body {
        EntryBody::Checkpoint(checkpoint) => Some(checkpoint.policy),
        EntryBody::Decided(_) | EntryBody::Held(_) => None,
    }))
}
