//! What is known of each step of a pool's past, and the traffic that it makes.
//!
//! **Invariant:** a counter that falls was set back, and counts from zero; what it counted over a gap
//! is spread over the gap. What no counter saw is unknown, and told of.

use std::time::Duration;

use preheat_traffic::{LengthDistribution, RateSeries, Shaping, Trace, TrafficError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Happened;

/// Points of a counter further apart than this many steps have a gap between them.
const GAP_STEPS: f64 = 3.0;
/// Lengths are means over so long on either side: tokens are counted when a request ends, and
/// requests when they come.
const LENGTHS_OVER: Duration = Duration::from_secs(300);
/// Who is seen again after no longer than this was there meanwhile: a Prometheus that is started again
/// misses minutes.
const HOLE_MAX: Duration = Duration::from_secs(900);
/// Where nothing tells of tokens: Azure's conversations.
const TOKENS_DEFAULT: (u32, u32) = (1020, 211);
/// A smaller share of steps with a queue is not told of: every fleet has some.
const CLIPPED_TOLD: f64 = 0.01;

/// A pool's past in steps of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The length of a step.
    pub step: Duration,
    /// One after the other.
    pub steps: Vec<Step>,
    /// Time from order to ready, of each start that was seen whole.
    pub cold_starts: Vec<Duration>,
    /// Counters that were set back.
    pub resets: u64,
    /// Where arrivals were counted.
    pub arrivals_from: String,
}

/// What is known of a step; what is absent, nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Requests that came.
    pub arrivals: Option<f64>,
    /// Prompt tokens of requests that ended.
    pub prompt_tokens: Option<f64>,
    /// Tokens generated.
    pub generation_tokens: Option<f64>,
    /// Requests whose tokens these are.
    pub completions: Option<f64>,
    /// Ready replicas.
    pub ready: Option<f64>,
    /// All that cost something, starting ones included.
    pub existing: Option<f64>,
    /// Requests in slots at its end.
    pub running: Option<f64>,
    /// Requests that waited at its end.
    pub waiting: Option<f64>,
    /// First tokens.
    pub first_tokens: Option<f64>,
    /// Those within the SLO.
    pub in_time: Option<f64>,
}

/// How far a history can be believed. Field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trust {
    /// Seconds of a step: what happened within one is not known.
    pub step_s: f64,
    /// Steps.
    pub steps: u64,
    /// Share of them of which arrivals are not known; they are taken as the steps around them.
    pub gap_share: f64,
    /// Counters that were set back, by restarts.
    pub resets: u64,
    /// Share of steps at whose end a request or more waited for each ready replica: what would have
    /// come to a larger fleet is not known, only what came to this one.
    pub clipped_share: f64,
    /// Starts that were seen whole.
    pub cold_starts_seen: u64,
    /// In words.
    pub notes: Vec<String>,
}

/// Why a history can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Nothing came, or nobody counted.
    #[error("no request is in the history: {0}")]
    Empty(String),
    /// More than can be replayed.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
}

/// A counter over time, summed over series, in steps from a begin.
#[derive(Clone, Debug)]
pub struct Cumulative {
    begin: f64,
    step: f64,
    /// What was counted in each.
    pub counts: Vec<f64>,
    /// Whether any series tells of it.
    pub known: Vec<bool>,
    /// How often one was set back.
    pub resets: u64,
}

/// A gauge over time, summed over series.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// Its sum at the end of each step.
    pub values: Vec<Option<f64>>,
    /// How many series told it.
    pub series: Vec<u32>,
    /// By how much more each told than it did before, in each step. One that ends takes nothing away:
    /// what was in an engine that goes has ended as well.
    pub grew: Vec<f64>,
}

impl Cumulative {
    /// What these series count together, each ascending in time, in seconds. One that begins later than
    /// the history counts from zero: its engine began then, or in the gap before it in which nobody
    /// was asked.
    pub fn of(begin: f64, step: Duration, steps: usize, series: &[Vec<(f64, f64)>]) -> Self {
        let (counts, known) = (vec![0.0; steps], vec![false; steps]);
        let step = step.as_secs_f64().max(1e-3);
        let mut sum = Self { begin, step, counts, known, resets: 0 };
        let mut told: Vec<f64> = series.iter().flatten().map(|(at, _)| *at).collect();
        told.sort_by(f64::total_cmp);
        for points in series {
            sum.add(points, &told);
        }
        sum
    }

    /// Takes in one of them. `told` is when any of them was.
    fn add(&mut self, points: &[(f64, f64)], told: &[f64]) {
        let mut before: Option<(f64, f64)> = None;
        for &(at, value) in points {
            if !value.is_finite() || value < 0.0 {
                continue;
            }
            match before {
                None if at > self.begin + self.step * 1.5 => {
                    let earlier = told.partition_point(|other| *other < at);
                    let last = told.get(..earlier).and_then(<[f64]>::last);
                    let from = last.map_or(at - self.step, |last| last.min(at - self.step));
                    self.spread(from, at, value);
                }
                None => {}
                Some((then, was)) if at > then => {
                    let fell = value < was;
                    self.resets += u64::from(fell);
                    self.spread(then, at, if fell { value } else { value - was });
                }
                Some(_) => continue,
            }
            before = Some((at, value));
        }
    }

    /// Spreads what was counted between two times evenly.
    fn spread(&mut self, from: f64, until: f64, count: f64) {
        let is_gap = until - from > GAP_STEPS * self.step;
        let place = |at: f64| ((at - self.begin) / self.step).max(0.0);
        let (first, last) = (place(from), place(until));
        let width = (last - first).max(f64::MIN_POSITIVE);
        let mut index = first as usize;
        while (index as f64) < last {
            let share = ((index + 1) as f64).min(last) - (index as f64).max(first);
            if let (Some(slot), Some(known)) =
                (self.counts.get_mut(index), self.known.get_mut(index))
            {
                *slot += count * share / width;
                *known |= !is_gap;
            } else {
                return;
            }
            index += 1;
        }
    }
}

impl Gauge {
    /// Nobody told yet.
    pub fn new(steps: usize) -> Self {
        Self { values: vec![None; steps], series: vec![0; steps], grew: vec![0.0; steps] }
    }

    /// Takes in one series: of each step, the last value. One that begins later than the history grows
    /// from zero.
    pub fn add(
        &mut self,
        begin: f64,
        step: Duration,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) {
        let mut last: Vec<Option<f64>> = vec![None; self.values.len()];
        let mut before = None;
        for (at, value) in points.into_iter().filter(|(_, value)| value.is_finite()) {
            let steps = (at - begin) / step.as_secs_f64().max(1e-3);
            // A value at a step's end is that step's, and the first is at the begin.
            let place = (steps.ceil() - 1.0).max(0.0) as usize;
            let was = before.replace(value).unwrap_or(if steps > 1.5 { 0.0 } else { value });
            if let (Some(slot), Some(grew)) = (last.get_mut(place), self.grew.get_mut(place)) {
                *slot = Some(value);
                *grew += value - was;
            }
        }
        for ((sum, series), value) in self.values.iter_mut().zip(&mut self.series).zip(last) {
            if let Some(value) = value {
                *sum = Some(sum.unwrap_or(0.0) + value);
                *series += 1;
            }
        }
    }
}

impl Gauge {
    /// Whether it was told in each step, or shortly before and after: who was there twice was there
    /// between, though nobody looked.
    pub fn there(&self, step: Duration) -> Vec<bool> {
        let mut there: Vec<bool> = self.series.iter().map(|told| *told > 0).collect();
        let hole_max = (HOLE_MAX.as_secs_f64() / step.as_secs_f64().max(1e-3)) as usize;
        let mut last: Option<usize> = None;
        for (index, _) in self.series.iter().enumerate().filter(|(_, told)| **told > 0) {
            let hole = last.map_or(0..0, |last| last + 1..index);
            if hole.len() <= hole_max {
                there.get_mut(hole).into_iter().flatten().for_each(|there| *there = true);
            }
            last = Some(index);
        }
        there
    }
}

impl History {
    /// Arrivals of each step from what ended in it and what was inside more than before.
    pub fn arrivals(completions: &Cumulative, inside: &Gauge) -> Vec<Option<f64>> {
        // A moment between two scrapes makes a step negative: the next one makes up for it.
        let mut owed = 0.0;
        let steps = completions.counts.iter().zip(&completions.known).zip(&inside.grew);
        let arrivals = steps.map(|((ended, known), grew)| {
            let came = ended + grew + owed;
            owed = came.min(0.0);
            known.then_some(came.max(0.0))
        });
        arrivals.collect()
    }

    /// The traffic, with arrivals placed at random in their steps, and how far it can be believed.
    ///
    /// # Errors
    /// When there is none, or more than can be replayed.
    pub fn trace(&self, seed: u64) -> Result<(Trace, Trust), HistoryError> {
        let known = || self.steps.iter().filter_map(|step| step.arrivals);
        let total = known().fold(0.0, |sum, count| sum + count);
        if total < 1.0 {
            return Err(HistoryError::Empty(format!(
                "{} of {} steps tell of arrivals, which make {total:.1}",
                known().count(),
                self.steps.len()
            )));
        }
        let counts = filled(&self.steps.iter().map(|step| step.arrivals).collect::<Vec<_>>());
        let lengths = LengthDistribution::fixed(TOKENS_DEFAULT.0, TOKENS_DEFAULT.1);
        let shaping = Shaping { seed, lengths, ..Shaping::default() };
        let mut trace = RateSeries { bin: self.step, counts }.shaped(&shaping)?;
        let tokens = self.tokens_by_step();
        let width = self.step.as_secs_f64().max(1e-3);
        for request in &mut trace.requests {
            let index = (request.arrival.as_secs_f64() / width) as usize;
            if let Some(Some((input, output))) = tokens.get(index) {
                (request.input_tokens, request.output_tokens) = (*input, *output);
            }
        }
        let trust = self.trust(tokens.iter().any(Option::is_some));
        Ok((trace, trust))
    }

    /// Mean lengths of the requests around each step.
    fn tokens_by_step(&self) -> Vec<Option<(u32, u32)>> {
        let reach =
            (LENGTHS_OVER.as_secs_f64() / self.step.as_secs_f64().max(1e-3)).ceil() as usize;
        let sums = |field: fn(&Step) -> Option<f64>| {
            let mut sum = 0.0;
            let mut sums = vec![0.0];
            sums.extend(self.steps.iter().map(|step| {
                sum += field(step).unwrap_or(0.0);
                sum
            }));
            sums
        };
        let prompt = sums(|step| step.prompt_tokens);
        let generated = sums(|step| step.generation_tokens);
        let ended = sums(|step| step.completions);
        let last = self.steps.len();
        let mean = |index: usize| {
            let (from, until) = (index.saturating_sub(reach), (index + reach + 1).min(last));
            let over = |sums: &[f64]| Some(sums.get(until)? - sums.get(from)?);
            let requests = over(&ended).filter(|ended| *ended >= 1.0)?;
            let of = |sums: &[f64]| {
                let tokens = over(sums).filter(|tokens| *tokens > 0.0)? / requests;
                Some(tokens.round().clamp(1.0, f64::from(u32::MAX)) as u32)
            };
            Some((of(&prompt)?, of(&generated)?))
        };
        let mut means: Vec<Option<(u32, u32)>> = (0..last).map(mean).collect();
        // Where nothing ended, whatever ended before it is the best guess.
        let mut newest = means.iter().flatten().next().copied();
        for mean in &mut means {
            newest = mean.or(newest);
            *mean = newest;
        }
        means
    }

    fn trust(&self, has_tokens: bool) -> Trust {
        let (gap_share, clipped_share) = (self.gap_share(), self.clipped_share());
        let mut notes = vec![
            format!("arrivals: {}", self.arrivals_from),
            format!(
                "arrivals are placed at random in steps of {:?}: bursts within one are lost",
                self.step
            ),
        ];
        notes.push(if has_tokens {
            "lengths: every request has the mean of the five minutes around it; where lengths vary, \
             queues are longer than here"
                .to_owned()
        } else {
            let (input, output) = TOKENS_DEFAULT;
            format!("lengths: nothing tells of tokens, so every request has {input} in and {output} out")
        });
        if gap_share > 0.0 {
            notes.push(format!(
                "gaps: of {:.1} % of the steps nothing is known, and what came is taken from around them",
                gap_share * 100.0
            ));
        }
        notes.extend(self.clipped_note());
        if self.cold_starts.is_empty() {
            notes.push("cold starts: none was seen whole; the one given is believed".to_owned());
        }
        Trust {
            step_s: self.step.as_secs_f64(),
            steps: self.steps.len() as u64,
            gap_share,
            resets: self.resets,
            clipped_share,
            cold_starts_seen: self.cold_starts.len() as u64,
            notes,
        }
    }

    /// Share of steps of which arrivals are not known.
    pub(super) fn gap_share(&self) -> f64 {
        self.share(|step| step.arrivals.is_none())
    }

    /// Share of steps at whose end a request or more waited for each ready replica.
    fn clipped_share(&self) -> f64 {
        self.share(|step| {
            step.waiting.zip(step.ready).is_some_and(|(waiting, ready)| waiting >= ready.max(1.0))
        })
    }

    fn share(&self, of: fn(&Step) -> bool) -> f64 {
        let count = self.steps.iter().filter(|step| of(step)).count();
        count as f64 / self.steps.len().max(1) as f64
    }

    /// Where more would have come, or come through, than the history has.
    pub(super) fn clipped_note(&self) -> Option<String> {
        let share = self.clipped_share();
        (share > CLIPPED_TOLD).then(|| {
            format!(
                "clipped: in {:.1} % of the steps requests queued for every replica; what clients \
                 would have sent to a larger fleet, or gave up, is not in the history",
                share * 100.0
            )
        })
    }

    /// The median of the starts that were seen whole.
    pub fn cold_start_median(&self) -> Option<Duration> {
        let mut sorted = self.cold_starts.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// What was measured, with `cold_start` paid for each start where only ready replicas are known.
    pub fn happened(&self, gpus_per_replica: u32, cold_start: Duration) -> Option<Happened> {
        let existing: Vec<f64> = self.existing(cold_start)?;
        let hours = self.step.as_secs_f64() / 3600.0;
        let first: f64 = self.steps.iter().filter_map(|step| step.first_tokens).sum();
        let in_time: f64 = self.steps.iter().filter_map(|step| step.in_time).sum();
        let peak = existing.iter().copied().fold(0.0, f64::max);
        Some(Happened {
            attainment: (first >= 1.0).then(|| in_time / first),
            gpu_hours: existing.iter().sum::<f64>() * hours * f64::from(gpus_per_replica),
            replicas_peak: peak.ceil() as u32,
        })
    }

    /// Replicas that cost something in each step. Where only ready ones are known, each has been
    /// starting for a cold start before.
    pub fn existing(&self, cold_start: Duration) -> Option<Vec<f64>> {
        let told: Vec<Option<f64>> = self.steps.iter().map(|step| step.existing).collect();
        if told.iter().any(Option::is_some) {
            return Some(filled(&told));
        }
        let ready: Vec<Option<f64>> = self.steps.iter().map(|step| step.ready).collect();
        ready.iter().flatten().next()?;
        let ready = filled(&ready);
        let lead = (cold_start.as_secs_f64() / self.step.as_secs_f64().max(1e-3)).round() as usize;
        let mut existing = ready.clone();
        for (before, pair) in ready.windows(2).enumerate() {
            let &[was, is] = pair else { continue };
            let from = (before + 1).saturating_sub(lead);
            for slot in existing.get_mut(from..=before).into_iter().flatten() {
                *slot += (is - was).max(0.0);
            }
        }
        Some(existing)
    }
}

/// Absent values as those around them: between two, on the line from one to the other.
fn filled(values: &[Option<f64>]) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let found = value.unwrap_or_else(|| {
            let known = |(at, value): (usize, &Option<f64>)| value.map(|value| (at, value));
            let before = values.iter().enumerate().take(index).rev().find_map(known);
            let after = values.iter().enumerate().skip(index).find_map(known);
            match (before, after) {
                (Some((a, x)), Some((b, y))) => {
                    x + (y - x) * (index - a) as f64 / (b - a).max(1) as f64
                }
                (Some((_, x)), None) | (None, Some((_, x))) => x,
                (None, None) => 0.0,
            }
        });
        out.push(found);
    }
    out
}

#[cfg(test)]
mod tests;
