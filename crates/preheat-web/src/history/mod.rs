//! What happened to a pool, from its journal, in as many steps as a chart can show.
//!
//! Short ranges are read tick by tick. Long ones are put together from minutes, which are read once
//! and kept: a week of ticks is more than one request may read, so a request reads back as far as it
//! may and says how far that was.
//!
//! **Invariant:** work and memory of a request are bounded, however long the journal is.

mod bucket;
mod changes;
mod minutes;

use std::time::Duration;

use preheat_api::reconfiguration::Reconfiguration;
use preheat_api::v1::History;
use preheat_core::Instant;
use preheat_runtime::journal::{JournalError, JournalReader};

use self::bucket::{Bucket, columns};
use self::changes::Follower;
use self::minutes::MINUTE_S;
pub(crate) use self::minutes::Minutes;

/// Most steps of an answer: more than a chart of a large screen has pixels.
const POINTS_MAX: u32 = 2000;
/// Longest range: a year. A journal is kept for a week unless told otherwise.
const RANGE_MAX_S: u64 = 366 * 24 * 3600;
/// Ticks read for one request: about a second of work.
const TICKS_PER_REQUEST: u32 = 20_000;
/// Ticks read at once, so that few are in memory.
const TICKS_PER_PAGE: u32 = 500;
/// Length that is read at once, newest first; so short that one request always gets some of it.
const STRETCH_S: u64 = 180;
/// Steps that are wider are put together from minutes.
const DIRECT_WIDTH_MAX_S: u64 = 30;
/// Reconfigurations of an answer: more than anybody reads. Beyond, somebody or something turns knobs all
/// the time.
const RECONFIGURATIONS_MAX: usize = 100;
/// Widths that people can read an axis of; beyond, whole multiples of the last.
const WIDTHS_S: &[u64] = &[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Whole seconds since the world's origin.
    from_s: u64,
    steps: u64,
    width_s: u64,
}

impl Range {
    /// From and until, in seconds, widened to whole steps, of which there are about `points`.
    /// `None` when there is nothing between them, or more than [`RANGE_MAX_S`].
    pub(crate) fn new(from_s: f64, until_s: f64, points: u32) -> Option<Self> {
        // Beyond, whole seconds are not exact; it is the year 292 million.
        let sane = |seconds: f64| (0.0..9e15).contains(&seconds);
        if !sane(from_s) || !sane(until_s) {
            return None;
        }
        let (from, until) = (from_s.floor() as u64, until_s.ceil() as u64);
        let length = until.checked_sub(from).filter(|length| (1..=RANGE_MAX_S).contains(length))?;
        let width_s = width(length.div_ceil(u64::from(points.clamp(1, POINTS_MAX))));
        let first = from / width_s;
        Some(Self { from_s: first * width_s, steps: until.div_ceil(width_s) - first, width_s })
    }

    fn until_s(self) -> u64 {
        self.from_s + self.steps * self.width_s
    }

    /// The step that holds this second, if one does.
    fn step(self, second: u64) -> Option<usize> {
        let step = second.checked_sub(self.from_s)? / self.width_s;
        usize::try_from(step).ok().filter(|_| step < self.steps)
    }
}

/// The narrowest width that is easy to read and not below `seconds`.
fn width(seconds: u64) -> u64 {
    let widest = WIDTHS_S.last().copied().unwrap_or(1);
    let listed = WIDTHS_S.iter().copied().find(|width| *width >= seconds);
    listed.unwrap_or_else(|| seconds.div_ceil(widest) * widest)
}

/// What happened in a stretch of time, down to a single tick.
#[derive(Clone, Debug, Default)]
struct Stretch {
    sums: Bucket,
    changes: Vec<Reconfiguration>,
}

impl Stretch {
    fn merge(&mut self, other: Self) {
        self.sums.merge(&other.sums);
        self.changes.extend(other.changes);
    }
}

/// Reads a range of a pool's history.
///
/// # Errors
/// When the journal, or an entry of it, can't be read.
pub(crate) fn read(
    reader: &JournalReader,
    minutes: &Minutes,
    pool: &str,
    range: Range,
) -> Result<History, JournalError> {
    let mut steps = vec![Bucket::default(); usize::try_from(range.steps).unwrap_or_default()];
    let mut changes = Vec::new();
    let mut add = |second: u64, stretch: &Stretch| {
        if let Some(step) = range.step(second).and_then(|step| steps.get_mut(step)) {
            step.merge(&stretch.sums);
            changes.extend(stretch.changes.iter().cloned());
        }
    };
    let complete_from_s = if range.width_s > DIRECT_WIDTH_MAX_S {
        let (first, end) = (range.from_s / MINUTE_S, range.until_s().div_ceil(MINUTE_S));
        let from = minutes.read(reader, pool, first..end, |minute, stretch| {
            add(minute * MINUTE_S, stretch);
        })?;
        from * MINUTE_S
    } else {
        read_directly(reader, pool, range, |at, tick| add(at.as_nanos() / NANOS_PER_S, tick))?
    };
    // The newest stretches came first.
    changes.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let left_out = changes.len().saturating_sub(RECONFIGURATIONS_MAX);
    Ok(History {
        pool: pool.to_owned(),
        from_s: range.from_s as f64,
        until_s: range.until_s() as f64,
        width_s: range.width_s as f64,
        complete_from_s: complete_from_s.max(range.from_s) as f64,
        series: columns(range.from_s, range.width_s, &steps),
        reconfigurations: changes.split_off(left_out),
        reconfigurations_left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
    })
}

/// Hands every tick of a range over, newest stretch first, and says from which second on that is all
/// there is.
fn read_directly(
    reader: &JournalReader,
    pool: &str,
    range: Range,
    mut take: impl FnMut(Instant, &Stretch),
) -> Result<u64, JournalError> {
    let (mut until_s, mut budget) = (range.until_s(), TICKS_PER_REQUEST);
    while until_s > range.from_s && budget > 0 {
        let from_s = until_s.saturating_sub(STRETCH_S).max(range.from_s);
        let (from, until) = (second(from_s), second(until_s));
        let mut ticks = Vec::new();
        let read = each_tick(reader, pool, from, until, budget, |at, tick| {
            ticks.push((at, tick));
        })?;
        if read == budget {
            // It may have been cut short.
            return Ok(until_s);
        }
        ticks.iter().for_each(|(at, tick)| take(*at, tick));
        (until_s, budget) = (from_s, budget - read);
    }
    Ok(until_s)
}

const NANOS_PER_S: u64 = 1_000_000_000;

fn second(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
}

/// Hands each tick from `from` on and before `until` over, at most `limit`; how many there were.
fn each_tick(
    reader: &JournalReader,
    pool: &str,
    mut from: Instant,
    until: Instant,
    limit: u32,
    mut take: impl FnMut(Instant, Stretch),
) -> Result<u32, JournalError> {
    let mut read = 0;
    let mut follower = Follower::new(reader, pool, from, until)?;
    while read < limit {
        let page = reader.ticks_by_time(pool, from, until, TICKS_PER_PAGE.min(limit - read))?;
        let Some(last) = page.last() else { break };
        // No two ticks of a pool are at one moment.
        from = last.entry.at.saturating_add(Duration::from_nanos(1));
        read += u32::try_from(page.len()).unwrap_or(u32::MAX);
        for stored in &page {
            let body = &stored.entry.body;
            let changed = body.observation().and_then(|seen| follower.next(seen));
            let changes = Vec::from_iter(changed);
            take(stored.entry.at, Stretch { sums: Bucket::of(body), changes });
        }
    }
    for (at, changed) in follower.rest() {
        take(at, Stretch { changes: vec![changed], ..Stretch::default() });
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_into_steps_that_are_easy_to_read() {
        for (from, until, points, expected) in [
            (100.0, 1000.0, 600, Some((100, 450, 2))),
            (101.3, 110.0, 600, Some((101, 9, 1))),
            (0.0, 900.0, 100, Some((0, 90, 10))),
            (7.0, 3607.0, 100, Some((0, 61, 60))),
            (0.0, 604_800.0, 600, Some((0, 336, 1800))),
            (0.0, 30.0 * 86_400.0, 100, Some((0, 90, 28_800))),
            (0.0, 10.0, 0, Some((0, 1, 10))),
            (0.0, 10_000.0, 1_000_000, Some((0, 2000, 5))),
            (10.0, 10.0, 10, None),
            (10.0, 5.0, 10, None),
            (f64::NAN, 5.0, 10, None),
            (-1.0, 5.0, 10, None),
            (0.0, 1e18, 10, None),
            (0.0, 1e9, 10, None),
        ] {
            let range = Range::new(from, until, points);
            let seen = range.map(|range| (range.from_s, range.steps, range.width_s));
            assert_eq!(seen, expected, "{from} to {until} in {points}");
        }
    }
}
