//! A pool's past, read from its journal for those who replay it.
//!
//! **Invariant:** so many ticks are read and no more, few of them in memory at once.

use std::time::Duration;

use preheat_api::journal::EntryBody;
use preheat_compare::backtest::{Past, Retold};
use preheat_compare::what_if::{Configured, STEP};
use preheat_core::Instant;
use preheat_runtime::journal::{JournalError, JournalReader};

/// Ticks of a past: a day at two seconds each, twice. They are three seconds of one core.
const TICKS_MAX: usize = 90_000;
/// Ticks read at once, so that few are in memory.
const PAGE_TICKS: u32 = 500;

/// How a pool is configured, as its journal tells; `None` where it does not know the pool.
///
/// # Errors
/// When the journal, or an entry of it, can't be read.
pub(crate) fn configured(
    reader: &JournalReader,
    pool: &str,
) -> Result<Option<Configured>, JournalError> {
    let checkpoint = reader.last_checkpoint(pool)?;
    let Some(EntryBody::Checkpoint(checkpoint)) = checkpoint.map(|stored| stored.entry.body) else {
        return Ok(None);
    };
    let newest = reader.ticks_before(pool, u64::MAX, PAGE_TICKS)?;
    let seen = newest.iter().filter_map(|stored| stored.entry.body.observation());
    Ok(Some(Configured::of(pool, checkpoint.policy.into(), seen)))
}

/// The past of `pool` that began so long before `until`, or before its newest entry, and what is to be
/// known of it. `go_on` is asked often, with the share that is read.
///
/// # Errors
/// In words, when the journal can't be read, the past has no tick or too many, or `go_on` said no.
pub(crate) fn read(
    reader: &JournalReader,
    pool: &str,
    last: Duration,
    until: Option<Instant>,
    go_on: &mut dyn FnMut(f64) -> bool,
) -> Result<(Retold, Vec<String>), String> {
    let told = |error: JournalError| error.to_string();
    let newest = reader.last_record(pool).map_err(told)?.map(|stored| stored.entry.at);
    let until = until.or(newest).unwrap_or(Instant::ORIGIN);
    let from = until.saturating_sub(last);
    let length = last.as_secs_f64().max(1.0);
    let (mut past, mut ticks, mut next) = (Past::new(STEP), 0, from);
    loop {
        let page = reader.ticks_by_time(pool, next, after(until), PAGE_TICKS).map_err(told)?;
        let Some(last) = page.last().map(|stored| stored.entry.at) else { break };
        page.iter().filter_map(|stored| stored.entry.body.observation()).for_each(|observation| {
            past.take(observation);
        });
        // No two ticks of a pool are at one moment.
        (ticks, next) = (ticks + page.len(), after(last));
        if ticks > TICKS_MAX {
            return Err(format!(
                "there are more than {TICKS_MAX} ticks in this time, and no more are read here; \
                 `preheat backtest` reads all"
            ));
        }
        if !go_on(last.since(from).as_secs_f64() / length) {
            return Err("stopped".to_owned());
        }
    }
    if ticks == 0 {
        return Err("the journal has no tick of this pool in this time".to_owned());
    }
    let policy = |at| {
        let checkpoint = reader.checkpoint_at(pool, at).map_err(told)?;
        Ok::<_, String>(checkpoint.and_then(|stored| match stored.entry.body {
            EntryBody::Checkpoint(checkpoint) => Some(checkpoint.policy),
            EntryBody::Decided(_) | EntryBody::Held(_) => None,
        }))
    };
    let retold = past.end();
    let (then, now) = (policy(retold.begin)?, policy(Instant::from_nanos(u64::MAX))?);
    let is_changed = then.is_some_and(|then| Some(then) != now);
    let note = "policy: it was another one when this time began; as configured is what it was last";
    Ok((retold, Vec::from_iter(is_changed.then(|| note.to_owned()))))
}

/// The next moment there is.
fn after(at: Instant) -> Instant {
    at.saturating_add(Duration::from_nanos(1))
}
