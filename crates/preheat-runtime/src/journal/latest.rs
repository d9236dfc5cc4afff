//! A pool's status from its journal alone: what the last process that decided for it last knew.
//!
//! **Invariant:** totals stay empty. What a process came to since it started is not in its last
//! entries; [`super::tally`] adds up the whole journal.

use std::time::Duration;

use preheat_api::journal::EntryBody;
use preheat_api::status::PoolStatus;
use preheat_core::Instant;

use super::error::JournalError;
use super::reader::JournalReader;
use crate::controller::{Totals, status};

/// Ticks among which the last latency is looked for: a minute at the usual interval.
const TICKS_LOOKED_AT: u32 = 30;

/// The status of `pool` as of its newest tick; `None` when it has none.
///
/// # Errors
/// When the journal, or an entry of it, can't be read.
pub fn latest_status(
    reader: &JournalReader,
    pool: &str,
) -> Result<Option<PoolStatus>, JournalError> {
    let mut ticks = reader.ticks_before(pool, i64::MAX.unsigned_abs(), TICKS_LOOKED_AT)?;
    let Some(newest) = ticks.first() else { return Ok(None) };
    let checkpoint = reader.last_checkpoint(pool)?.map(|stored| stored.entry.body);
    // Without a policy nothing says what is too old to be believed.
    let mut staleness_max = Duration::MAX;
    let mut status = PoolStatus { pool: pool.to_owned(), ..PoolStatus::default() };
    if let Some(EntryBody::Checkpoint(checkpoint)) = checkpoint {
        status = status::of_policy(pool, &checkpoint.policy);
        status::of_memory(&mut status, &checkpoint.memory);
        staleness_max = checkpoint.policy.spec().staleness_max;
    }
    status::of_entry(&mut status, &newest.entry, staleness_max);
    let mut totals = Totals::new(0);
    ticks.reverse();
    for tick in &ticks {
        totals.count(None, &tick.entry.body);
    }
    status.gateway = totals.gateway();
    Ok(Some(status))
}

/// When the newest entry of any pool was made.
///
/// # Errors
/// When SQLite can't read the file.
pub fn latest_moment(reader: &JournalReader) -> Result<Instant, JournalError> {
    let mut latest = Instant::ORIGIN;
    for pool in reader.pools()? {
        if let Some((_, last)) = reader.span(&pool)? {
            latest = latest.max(last);
        }
    }
    Ok(latest)
}
