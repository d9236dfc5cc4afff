//! Minutes of pools, read once and kept.
//!
//! **Invariant:** a minute is kept only when no tick can be added to it any more.
//!
//! **Invariant:** so many are kept and no more; the pool that was asked for longest ago goes first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use preheat_runtime::journal::{JournalError, JournalReader};

use super::{Stretch, TICKS_PER_REQUEST, each_tick, second};

/// Length of what is kept.
pub(super) const MINUTE_S: u64 = 60;
/// Minutes kept over all pools: a week of six pools, in about 30 MB. A reconfiguration counts as one.
const KEPT_MAX: usize = 6 * 7 * 24 * 60;
/// Minutes read at once, newest first. At the shortest tick interval, 10 ms, these are 18,000 ticks: fewer
/// than a request may read, so that each gets further.
const CHUNK: u64 = 3;

/// Which minute holds this moment.
pub(super) fn minute_of(at: preheat_core::Instant) -> u64 {
    at.as_nanos() / 1_000_000_000 / MINUTE_S
}

/// Minutes of pools.
#[derive(Debug, Default)]
pub(crate) struct Minutes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    pools: BTreeMap<String, PoolMinutes>,
    /// Counts requests, to know which pool was asked for last.
    clock: u64,
}

#[derive(Debug, Default)]
struct PoolMinutes {
    minutes: BTreeMap<u64, Stretch>,
    /// Of all minutes.
    reconfigurations: usize,
    used_at: u64,
}

impl Minutes {
    /// Hands over the minutes of `pool` in `range` that have ticks, and says from which minute on
    /// that is all there is: a request reads so many ticks and no more, newest first.
    pub(super) fn read(
        &self,
        reader: &JournalReader,
        pool: &str,
        range: Range<u64>,
        mut take: impl FnMut(u64, &Stretch),
    ) -> Result<u64, JournalError> {
        let Some((oldest, newest)) = reader.span(pool)? else { return Ok(range.start) };
        // Outside of what is recorded there is nothing to read.
        let (first, end) =
            (minute_of(oldest).max(range.start), (minute_of(newest) + 1).min(range.end));
        // The newest minute is still being written, and the oldest being pruned.
        let settled = (minute_of(oldest) + 1)..minute_of(newest);
        let mut budget = TICKS_PER_REQUEST;
        let mut complete_from = end;
        while complete_from > first {
            let chunk = complete_from.saturating_sub(CHUNK).max(first)..complete_from;
            let mut found = self.kept(pool, chunk.clone());
            if found.len() as u64 != chunk.end - chunk.start {
                if budget == 0 {
                    return Ok(complete_from);
                }
                let read;
                (found, read) = read_chunk(reader, pool, chunk.clone(), budget)?;
                if read == budget {
                    // It may have been cut short.
                    return Ok(complete_from);
                }
                budget -= read;
                self.keep(pool, found.range(settled.clone()));
            }
            found.iter().for_each(|(minute, stretch)| take(*minute, stretch));
            complete_from = chunk.start;
        }
        Ok(range.start)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What a panic leaves is a part of what could have been kept.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, pool: &str, minutes: Range<u64>) -> BTreeMap<u64, Stretch> {
        let mut kept = self.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let Some(pool) = kept.pools.get_mut(pool) else { return BTreeMap::new() };
        pool.used_at = clock;
        pool.minutes.range(minutes).map(|(minute, stretch)| (*minute, stretch.clone())).collect()
    }

    fn keep<'a>(&self, pool: &str, minutes: impl Iterator<Item = (&'a u64, &'a Stretch)>) {
        let mut kept = self.lock();
        let clock = kept.clock;
        let entry = kept.pools.entry(pool.to_owned()).or_default();
        entry.used_at = clock;
        minutes.for_each(|(minute, stretch)| entry.put(*minute, stretch.clone()));
        kept.shrink();
    }
}

impl Kept {
    fn shrink(&mut self) {
        while self.pools.values().map(PoolMinutes::size).sum::<usize>() > KEPT_MAX {
            let oldest = self.pools.iter().min_by_key(|(_, pool)| pool.used_at);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            self.pools.remove(&name);
        }
    }
}

impl PoolMinutes {
    fn put(&mut self, minute: u64, stretch: Stretch) {
        self.reconfigurations += stretch.changes.len();
        let replaced = self.minutes.insert(minute, stretch);
        self.reconfigurations -= replaced.map_or(0, |replaced| replaced.changes.len());
    }

    fn size(&self) -> usize {
        self.minutes.len() + self.reconfigurations
    }
}

/// The minutes of a chunk, those without a tick among them, and how many ticks that took.
fn read_chunk(
    reader: &JournalReader,
    pool: &str,
    chunk: Range<u64>,
    limit: u32,
) -> Result<(BTreeMap<u64, Stretch>, u32), JournalError> {
    let mut found: BTreeMap<u64, Stretch> =
        chunk.clone().map(|minute| (minute, Stretch::default())).collect();
    let (from, until) = (second(chunk.start * MINUTE_S), second(chunk.end * MINUTE_S));
    let read = each_tick(reader, pool, from, until, limit, |at, tick| {
        found.entry(minute_of(at)).or_default().merge(tick);
    })?;
    Ok((found, read))
}
