//! The series of one metric, as they are found in a body.
//!
//! **Invariant:** where a series is there twice, the first one counts.

use std::borrow::Cow;

use super::reader::counted;
use super::table::Only;
use super::{Bucket, Histogram, SleepState};
use crate::exposition::{Labels, SeriesSample};

/// More series of one metric than any server has. Further ones are left out.
const GROUPS_MAX: usize = 1024;

/// Twenty times as many buckets as the finest known histogram. Further ones are left out.
const BUCKETS_MAX: usize = 512;

/// What is read of a metric.
#[derive(Clone, Debug)]
pub(super) struct CellSpec {
    name: String,
    form: Form,
    only: Only,
}

/// How.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Value,
    Histogram,
    SleepState { label: &'static str },
    CacheInfo { tokens: &'static str, blocks: &'static str, block_tokens: &'static str },
}

/// Which of a metric's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    Bucket,
    Sum,
    Count,
}

impl CellSpec {
    pub(super) fn new(name: &str, form: Form, only: Only) -> Self {
        Self { name: name.to_owned(), form, only }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names of its series.
    pub(super) fn series(&self) -> Vec<(String, Part)> {
        let Form::Histogram = self.form else { return vec![(self.name.clone(), Part::Value)] };
        let parts = [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)];
        parts.map(|(suffix, part)| (format!("{}{suffix}", self.name), part)).into()
    }
}

/// What a metric said.
#[derive(Debug, Default)]
pub(super) struct Cell {
    groups: Vec<Group>,
    model_name: Option<String>,
    sleep: Option<SleepState>,
}

/// The series that have the same labels.
#[derive(Debug, Default)]
struct Group {
    key: String,
    value: Option<f64>,
    histogram: RawHistogram,
}

#[derive(Debug, Default)]
struct RawHistogram {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Cell {
    /// Takes in a sample, where it is one of those that count. `key` is only room to work in.
    pub(super) fn add(
        &mut self,
        spec: &CellSpec,
        repeats: &[&str],
        part: Part,
        sample: &SeriesSample<'_>,
        key: &mut String,
    ) {
        let Some(found) = Found::of(sample.labels, spec, repeats, key) else { return };
        if self.model_name.is_none() {
            self.model_name = found.model_name.map(Into::into);
        }
        let value = match spec.form {
            Form::Value | Form::Histogram => Some(sample.value),
            Form::SleepState { .. } => {
                if sample.value == 1.0 {
                    self.sleep = self.sleep.max(sleep_state(found.sleep_state.as_deref()));
                }
                Some(sample.value)
            }
            Form::CacheInfo { tokens, blocks, block_tokens } => {
                kv_capacity(sample.labels, tokens, blocks, block_tokens)
            }
        };
        let (Some(value), Some(group)) = (value, self.group(key)) else { return };
        match part {
            Part::Value => first(&mut group.value, value),
            Part::Bucket => group.histogram.add_bucket(found.le, value),
            Part::Sum => first(&mut group.histogram.sum, value),
            Part::Count => first(&mut group.histogram.count, value),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The model of the first series that names one.
    pub(super) fn model_name(&self) -> Option<String> {
        self.model_name.clone()
    }

    /// The deepest sleep that any series tells of.
    pub(super) const fn sleep(&self) -> Option<SleepState> {
        self.sleep
    }

    pub(super) fn sum(&self) -> Option<f64> {
        self.groups.iter().filter_map(|group| group.value).reduce(|a, b| a + b)
    }

    /// Of engines of one server, which have equally much of everything.
    pub(super) fn mean(&self) -> Option<f64> {
        let count = self.groups.iter().filter(|group| group.value.is_some()).count();
        self.sum().map(|sum| sum / count as f64)
    }

    /// The sum of its groups' histograms. A bound that not all of them have is left out: the
    /// cumulative counts at the common bounds stay exact without it.
    pub(super) fn histogram(&self) -> Option<Histogram> {
        let raw = || self.groups.iter().map(|group| &group.histogram).filter(|raw| !raw.is_empty());
        let bounds = raw().next()?.buckets.iter().map(|&(le, _)| le);
        let mut buckets = Vec::with_capacity(bounds.len() + 1);
        for (at, le) in bounds.enumerate() {
            // All engines write the same bounds in the same order, so the place is nearly always
            // right.
            let at_bound = |raw: &RawHistogram| {
                let here = raw.buckets.get(at).filter(|bucket| bucket.0 == le);
                let found = here.or_else(|| raw.buckets.iter().find(|bucket| bucket.0 == le));
                found.map(|bucket| bucket.1)
            };
            if raw().all(|raw| at_bound(raw).is_some()) {
                let count = raw().filter_map(at_bound).sum::<f64>();
                buckets.push(Bucket { le, count: counted(Some(count))? });
            }
        }
        let sum_of = |field: fn(&RawHistogram) -> Option<f64>| {
            raw().map(field).try_fold(0.0, |sum, value| Some(sum + value?))
        };
        Histogram::new(buckets, counted(sum_of(|raw| raw.count)), sum_of(|raw| raw.sum))
    }

    /// The group with these labels; a handful of them at most, so a search is the fastest way.
    fn group(&mut self, key: &str) -> Option<&mut Group> {
        let found = self.groups.iter().rposition(|group| group.key == key);
        let at = match found {
            Some(at) => at,
            None if self.groups.len() >= GROUPS_MAX => return None,
            None => {
                self.groups.push(Group { key: key.to_owned(), ..Group::default() });
                self.groups.len() - 1
            }
        };
        self.groups.get_mut(at)
    }
}

impl RawHistogram {
    fn add_bucket(&mut self, le: Option<f64>, count: f64) {
        let Some(le) = le.filter(|le| !le.is_nan()) else { return };
        let ascending = self.buckets.last().is_none_or(|&(last, _)| last < le);
        if self.buckets.len() < BUCKETS_MAX
            && (ascending || self.buckets.iter().all(|&(known, _)| known != le))
        {
            self.buckets.push((le, count));
        }
    }

    const fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// The labels that matter, found in one pass.
#[derive(Default)]
struct Found<'a> {
    model_name: Option<Cow<'a, str>>,
    sleep_state: Option<Cow<'a, str>>,
    le: Option<f64>,
}

impl<'a> Found<'a> {
    /// `None` for a series that does not count. `key` is left with all that tells one from another.
    fn of(labels: Labels<'a>, spec: &CellSpec, repeats: &[&str], key: &mut String) -> Option<Self> {
        key.clear();
        let mut found = Self::default();
        let mut has = false;
        for label in labels {
            let (name, value) = (label.name.as_ref(), label.value);
            match spec.only {
                Only::With(wanted, is) if name == wanted => {
                    if value != is {
                        return None;
                    }
                    has = true;
                }
                Only::Without(unwanted, are) if name == unwanted => {
                    if are.contains(&value.as_ref()) {
                        return None;
                    }
                }
                Only::Unlabelled(label) if name == label && !value.is_empty() => return None,
                Only::All | Only::With(..) | Only::Without(..) | Only::Unlabelled(..) => {}
            }
            if name == "le" {
                found.le = value.parse().ok();
                continue;
            }
            if repeats.contains(&name) {
                continue;
            }
            // A quote can't be told from the end of a value, which only joins what is malformed.
            for part in [name, "=\"", &value, "\""] {
                key.push_str(part);
            }
            match (spec.form, name) {
                (Form::SleepState { label }, name) if name == label => {
                    found.sleep_state = Some(value);
                }
                (_, "model_name" | "model") => found.model_name = Some(value),
                _ => {}
            }
        }
        let lacks = matches!(spec.only, Only::With(..)) && !has;
        (!lacks).then_some(found)
    }
}

fn sleep_state(label: Option<&str>) -> Option<SleepState> {
    match label? {
        "awake" => Some(SleepState::Awake),
        "weights_offloaded" => Some(SleepState::WeightsOffloaded),
        "discard_all" => Some(SleepState::DiscardAll),
        _ => None,
    }
}

/// Tokens where the version writes them; else blocks × tokens of a block.
fn kv_capacity(labels: Labels<'_>, tokens: &str, blocks: &str, block_tokens: &str) -> Option<f64> {
    let number = |name: &str| labels.get(name)?.parse::<u64>().ok();
    let capacity = number(tokens).or_else(|| number(blocks)?.checked_mul(number(block_tokens)?))?;
    (capacity > 0).then_some(capacity as f64)
}

fn first(slot: &mut Option<f64>, value: f64) {
    slot.get_or_insert(value);
}
