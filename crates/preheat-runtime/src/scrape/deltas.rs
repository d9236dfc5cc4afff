//! What happened between two scrapes, and latency quantiles over a window of them.
//!
//! **Invariant:** pure. Time comes in with each scrape; nothing here reads a clock or does I/O.
//!
//! **Invariant:** no delta is ever negative. Two scrapes out of order, or of the same moment, have
//! no delta.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::{Counters, Instant, LatencyMean, LatencyWindow, Sample};

use crate::dialect::{Bucket, EngineCounters, EngineScrape, Histogram};

/// Marks that a [`LatencyHistory`] keeps at most: both ends of [`MARKS_PER_WINDOW`] steps, one mark
/// before them, and the newest, which alone may be less than a step from the one before it.
const MARKS_MAX: usize = MARKS_PER_WINDOW as usize + 3;

/// How finely a window's start can be placed: 60 s in steps of 2 s.
const MARKS_PER_WINDOW: u32 = 30;

/// Whether `later` comes from another life of the engine than `earlier`: one total fell. Then every
/// total of the engine has started again from zero, those that have since grown past their old
/// value included.
pub fn restarted(earlier: &EngineScrape, later: &EngineScrape) -> bool {
    let fell = |before: Option<u64>, after: Option<u64>| before > after && after.is_some();
    let histogram_fell = |before: &Option<Histogram>, after: &Option<Histogram>| {
        let (Some(before), Some(after)) = (before, after) else { return false };
        before.count() > after.count()
            || before.same_layout(after)
                && before.buckets().iter().zip(after.buckets()).any(|(b, a)| b.count > a.count)
    };
    let (before, after) = (&earlier.counters, &later.counters);
    fell(before.completions, after.completions)
        || fell(before.prompt_tokens, after.prompt_tokens)
        || fell(before.generation_tokens, after.generation_tokens)
        || fell(before.preemptions, after.preemptions)
        || histogram_fell(&earlier.ttft, &later.ttft)
        || histogram_fell(&earlier.itl, &later.itl)
}

/// Whether `later` is surely of the same life of the engine as `earlier`: some total is in both, and
/// none fell.
pub fn continues(earlier: &EngineScrape, later: &EngineScrape) -> bool {
    let (before, after) = (&earlier.counters, &later.counters);
    let has_both = before.completions.is_some() && after.completions.is_some()
        || before.prompt_tokens.is_some() && after.prompt_tokens.is_some()
        || before.generation_tokens.is_some() && after.generation_tokens.is_some()
        || before.preemptions.is_some() && after.preemptions.is_some()
        || earlier.ttft.is_some() && later.ttft.is_some()
        || earlier.itl.is_some() && later.itl.is_some();
    has_both && !restarted(earlier, later)
}

/// What was counted between two scrapes. After a restart that is the new value, as everything in it
/// was counted since. `None` unless both scrapes have completions and tokens and time
/// passed between them; preemptions are told only by some engines.
pub fn counters_between(
    earlier: &Sample<EngineScrape>,
    later: &Sample<EngineScrape>,
) -> Option<Counters> {
    let over = later.observed_at.since(earlier.observed_at);
    if over.is_zero() {
        return None;
    }
    let restarted = restarted(&earlier.value, &later.value);
    let delta = |total: fn(&EngineCounters) -> Option<u64>| {
        let before = total(&earlier.value.counters)?;
        let after = total(&later.value.counters)?;
        Some(if restarted { after } else { after.saturating_sub(before) })
    };
    Some(Counters {
        over,
        completions: delta(|totals| totals.completions)?,
        prompt_tokens: delta(|totals| totals.prompt_tokens)?,
        generation_tokens: delta(|totals| totals.generation_tokens)?,
        preemptions: delta(|totals| totals.preemptions),
    })
}

/// Mean ITL between two scrapes, after a restart since then. `None` when nothing was measured, or
/// when a sum or a count is unknown or fell.
pub fn itl_between(
    earlier: &Sample<EngineScrape>,
    later: &Sample<EngineScrape>,
) -> Option<LatencyMean> {
    let over = later.observed_at.since(earlier.observed_at);
    let after = later.value.itl.as_ref()?;
    let (count, sum) = if restarted(&earlier.value, &later.value) {
        (after.count(), after.sum())
    } else {
        let before = earlier.value.itl.as_ref()?;
        (after.count().checked_sub(before.count())?, after.sum() - before.sum())
    };
    if count == 0 || over.is_zero() {
        return None;
    }
    Some(LatencyMean { over, count, mean: duration(sum / count as f64)? })
}

/// The measurements between two states of one histogram. `None` when their bounds differ or a
/// count fell.
pub fn histogram_between(earlier: &Histogram, later: &Histogram) -> Option<Histogram> {
    if !earlier.same_layout(later) {
        return None;
    }
    let mut buckets = Vec::with_capacity(later.buckets().len());
    for (before, after) in earlier.buckets().iter().zip(later.buckets()) {
        buckets.push(Bucket { le: after.le, count: after.count.checked_sub(before.count)? });
    }
    Histogram::new(buckets, None, Some(later.sum() - earlier.sum()))
}

/// Quantiles and mean of a histogram of seconds. `None` when it is empty or its sum is unknown.
pub fn latency_window(histogram: &Histogram) -> Option<LatencyWindow> {
    let count = histogram.count();
    let mean_secs = (count > 0).then(|| histogram.sum() / count as f64)?;
    Some(LatencyWindow {
        count,
        mean: duration(mean_secs)?,
        p50: duration(quantile(histogram, 0.5)?)?,
        p90: duration(quantile(histogram, 0.9)?)?,
        p99: duration(quantile(histogram, 0.99)?)?,
    })
}

/// A quantile as PromQL's `histogram_quantile` estimates it: linear inside its bucket, from zero in
/// the first one, and the highest finite bound when it falls into the infinite bucket. `None` for
/// an empty histogram and for one without a finite bound.
///
/// With 10 measurements up to 0.1 s and 10 more up to 0.5 s, rank 0.9 × 20 = 18 is the 8th of 10
/// in (0.1, 0.5]: 0.1 + 0.4 × 8 ÷ 10 = 0.42 s.
pub fn quantile(histogram: &Histogram, level: f64) -> Option<f64> {
    let (infinite, finite) = histogram.buckets().split_last()?;
    let highest = finite.last()?.le;
    if infinite.count == 0 || !(0.0..=1.0).contains(&level) {
        return None;
    }
    let rank = level * infinite.count as f64;
    let Some(at) = finite.iter().position(|bucket| bucket.count as f64 >= rank) else {
        return Some(highest);
    };
    let Bucket { le: upper, count: through } = *finite.get(at)?;
    let below = at.checked_sub(1).and_then(|before| finite.get(before));
    let (lower, before) = below.map_or((0.0, 0), |bucket| (bucket.le, bucket.count));
    let inside = through - before;
    // A first bound at or below zero has no width to place the quantile in.
    if inside == 0 || upper <= lower {
        return Some(upper);
    }
    Some(lower + (upper - lower) * (rank - before as f64) / inside as f64)
}

/// `None` for what no duration can hold: NaN, negative, or beyond centuries.
fn duration(secs: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(secs).ok()
}

/// One histogram's measurements over a sliding window, so that a tail quantile doesn't rest on the
/// few of one tick. Restarts are taken out: totals go on from where they were.
#[derive(Clone, Debug)]
pub struct LatencyHistory {
    window: Duration,
    /// The last raw state.
    last: Option<Histogram>,
    /// Ascending in time; each is the running total at a moment. At most [`MARKS_MAX`].
    marks: VecDeque<Mark>,
}

#[derive(Clone, Debug)]
struct Mark {
    at: Instant,
    total: Histogram,
}

impl LatencyHistory {
    /// An empty history that reports on the last `window`.
    pub const fn new(window: Duration) -> Self {
        Self { window, last: None, marks: VecDeque::new() }
    }

    /// Takes in the state at `at`. `restarted` says that it is from a new life of the engine, so
    /// that all of it was measured since the state before. A state that is not later than the one
    /// before is ignored; one with other bounds, or with an unknown sum on either side, starts the
    /// history again, as there is no telling what of it is new.
    pub fn push(&mut self, at: Instant, histogram: &Histogram, restarted: bool) {
        if self.marks.back().is_some_and(|newest| at <= newest.at) {
            return;
        }
        let total = self.total_with(histogram, restarted);
        if total.is_none() {
            self.marks.clear();
        }
        self.last = Some(histogram.clone());
        self.make_room(at);
        let total = total.unwrap_or_else(|| histogram.clone());
        self.marks.push_back(Mark { at, total });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.last = None;
        self.marks.clear();
    }

    /// What was measured over the last window, which ends at the newest state. When scrapes failed
    /// for longer than the window, it reaches back to the last one before them. `None` when nothing
    /// was measured.
    pub fn window(&self) -> Option<Sample<LatencyWindow>> {
        let newest = self.marks.back()?;
        let start = newest.at.saturating_sub(self.window);
        let before = self.marks.len().checked_sub(2)?;
        let oldest = self.marks.iter().take(before).find(|mark| mark.at >= start);
        let oldest = oldest.or_else(|| self.marks.get(before))?;
        let measured = histogram_between(&oldest.total, &newest.total)?;
        Some(Sample::new(latency_window(&measured)?, newest.at))
    }

    /// The running total once `histogram` is added. `None` when it can't be continued.
    fn total_with(&self, histogram: &Histogram, restarted: bool) -> Option<Histogram> {
        let total = &self.marks.back()?.total;
        if !total.same_layout(histogram) {
            return None;
        }
        let measured = if restarted {
            histogram.clone()
        } else {
            histogram_between(self.last.as_ref()?, histogram)?
        };
        let pairs = total.buckets().iter().zip(measured.buckets());
        let buckets = pairs.map(|(total, new)| Bucket {
            le: total.le,
            count: total.count.saturating_add(new.count),
        });
        let sum = total.sum() + measured.sum();
        // A sum that was unknown once would otherwise stay so for ever.
        if sum.is_nan() {
            return None;
        }
        Histogram::new(buckets.collect(), None, Some(sum))
    }

    /// Drops marks that no window can start at any more. When scrapes come faster than the window's
    /// step, a newest mark less than a step from the one before it gives way to what follows.
    fn make_room(&mut self, at: Instant) {
        let start = at.saturating_sub(self.window);
        while self.marks.len() > 1 && self.marks.get(1).is_some_and(|mark| mark.at < start) {
            self.marks.pop_front();
        }
        let step = self.window / MARKS_PER_WINDOW;
        if let Some(before) = self.marks.len().checked_sub(2)
            && let (Some(before), Some(newest)) = (self.marks.get(before), self.marks.back())
            && newest.at.since(before.at) < step
        {
            self.marks.pop_back();
        }
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
