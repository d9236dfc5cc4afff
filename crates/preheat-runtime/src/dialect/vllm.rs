//! vLLM's metric names, from those of V0 engines to 0.32.
//!
//! **Invariant:** `num_requests_waiting_by_reason` splits `num_requests_waiting` and is never added
//! to it; `_created` series are times and never counters; no series is chosen by its `model_name`.
//!
//! One server can hold several engines (data parallel), told apart by the label `engine`. Counts
//! are summed over them. KV utilization is their mean: engines of one server have equally many
//! blocks, so that the mean is the share of all blocks in use. The deepest sleep is the server's.

use std::borrow::Cow;

use preheat_core::Utilization;

use super::{Bucket, EngineCounters, EngineScrape, Histogram, SleepState};
use crate::exposition::{Exposition, Format, Labels, SeriesSample};

/// More engines than any server runs. Series of further ones are left out.
const ENGINES_MAX: usize = 1024;

/// Twenty times as many buckets as vLLM's finest histogram. Further ones are left out.
const BUCKETS_MAX: usize = 512;

/// Names of every series that is read, for a server that can be asked for only these.
pub const SERIES_NAMES: [&str; 19] = [
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "vllm:engine_sleep_state",
    "vllm:request_success_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:num_preemptions_total",
    "vllm:cache_config_info",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:time_to_first_token_seconds_sum",
    "vllm:time_to_first_token_seconds_count",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:inter_token_latency_seconds_sum",
    "vllm:inter_token_latency_seconds_count",
    "vllm:time_per_output_token_seconds_bucket",
    "vllm:time_per_output_token_seconds_sum",
    "vllm:time_per_output_token_seconds_count",
];

/// A body with nothing of vLLM's in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no vLLM metric in {bytes} bytes ({malformed} lines could not be read)")]
pub struct Unrecognised {
    /// Length of the body.
    pub bytes: usize,
    /// Lines with a wanted name that could not be read.
    pub malformed: u32,
}

/// Reads a body. Lines that can't be read are skipped.
///
/// # Errors
///
/// [`Unrecognised`] when not one of the series that are read is in it.
pub fn read(body: &[u8], format: Format) -> Result<EngineScrape, Unrecognised> {
    let mut exposition = Exposition::new(body, format);
    let mut server = Server::default();
    let mut seen = false;
    while let Some(sample) = exposition.next_sample_where(|name| Series::of(name).is_some()) {
        if let Some(series) = Series::of(sample.name.as_bytes()) {
            seen = true;
            server.add(series, &sample);
        }
    }
    if seen {
        Ok(server.into_scrape())
    } else {
        Err(Unrecognised { bytes: body.len(), malformed: exposition.malformed() })
    }
}

/// A series that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    Running,
    Waiting,
    KvUtilization,
    Sleep,
    Success,
    PromptTokens,
    GenerationTokens,
    Preemptions,
    CacheConfig,
    Latency(Latency, Part),
}

/// Which latency histogram. vLLM calls ITL `time_per_output_token` in older versions, and some versions
/// write it under both names, which is why the old one is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latency {
    Ttft,
    Itl,
    ItlOldName,
}

/// Which of a histogram's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Bucket,
    Sum,
    Count,
}

impl Series {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name.strip_prefix(b"vllm:")? {
            b"num_requests_running" => Self::Running,
            b"num_requests_waiting" => Self::Waiting,
            b"kv_cache_usage_perc" | b"gpu_cache_usage_perc" => Self::KvUtilization,
            b"engine_sleep_state" => Self::Sleep,
            b"request_success_total" => Self::Success,
            b"prompt_tokens_total" => Self::PromptTokens,
            b"generation_tokens_total" => Self::GenerationTokens,
            b"num_preemptions_total" => Self::Preemptions,
            b"cache_config_info" => Self::CacheConfig,
            histogram => {
                let (latency, part) = Self::latency(histogram)?;
                Self::Latency(latency, part)
            }
        })
    }

    fn latency(name: &[u8]) -> Option<(Latency, Part)> {
        let (latency, suffix) =
            if let Some(suffix) = name.strip_prefix(b"time_to_first_token_seconds_") {
                (Latency::Ttft, suffix)
            } else if let Some(suffix) = name.strip_prefix(b"inter_token_latency_seconds_") {
                (Latency::Itl, suffix)
            } else {
                (Latency::ItlOldName, name.strip_prefix(b"time_per_output_token_seconds_")?)
            };
        let part = match suffix {
            b"bucket" => Part::Bucket,
            b"sum" => Part::Sum,
            b"count" => Part::Count,
            _ => return None,
        };
        Some((latency, part))
    }
}

/// What a body said so far.
#[derive(Default)]
struct Server {
    model_name: Option<String>,
    engines: Vec<Engine>,
}

/// One engine's series, as read: a value may be NaN. Where a series is there twice, the first one
/// counts.
#[derive(Default)]
struct Engine {
    label: String,
    running: Option<f64>,
    waiting: Option<f64>,
    kv_utilization: Option<f64>,
    kv_capacity_tokens: Option<u64>,
    sleep: Option<SleepState>,
    completions: Completions,
    prompt_tokens: Option<f64>,
    generation_tokens: Option<f64>,
    preemptions: Option<f64>,
    ttft: RawHistogram,
    itl: RawHistogram,
    itl_old_name: RawHistogram,
}

impl Server {
    fn add(&mut self, series: Series, sample: &SeriesSample<'_>) {
        let labels = WantedLabels::of(sample.labels);
        if self.model_name.is_none() {
            self.model_name = labels.model_name.map(Into::into);
        }
        let Some(engine) = self.engine(labels.engine.as_deref().unwrap_or("")) else { return };
        let value = sample.value;
        match series {
            Series::Running => first(&mut engine.running, value),
            Series::Waiting => first(&mut engine.waiting, value),
            Series::KvUtilization => first(&mut engine.kv_utilization, value),
            Series::PromptTokens => first(&mut engine.prompt_tokens, value),
            Series::GenerationTokens => first(&mut engine.generation_tokens, value),
            Series::Preemptions => first(&mut engine.preemptions, value),
            Series::Success => {
                engine.completions.add(labels.finished_reason.as_deref(), value);
            }
            Series::Sleep => {
                if value == 1.0 {
                    engine.sleep = engine.sleep.max(sleep_state(labels.sleep_state.as_deref()));
                }
            }
            Series::CacheConfig => {
                engine.kv_capacity_tokens =
                    engine.kv_capacity_tokens.or(kv_capacity(sample.labels));
            }
            Series::Latency(latency, part) => {
                let histogram = match latency {
                    Latency::Ttft => &mut engine.ttft,
                    Latency::Itl => &mut engine.itl,
                    Latency::ItlOldName => &mut engine.itl_old_name,
                };
                match part {
                    Part::Bucket => histogram.add_bucket(labels.le, value),
                    Part::Sum => first(&mut histogram.sum, value),
                    Part::Count => first(&mut histogram.count, value),
                }
            }
        }
    }

    /// The engine with this label; a handful of them at most, so a search is the fastest way.
    fn engine(&mut self, label: &str) -> Option<&mut Engine> {
        let found = self.engines.iter().rposition(|engine| engine.label == label);
        let at = match found {
            Some(at) => at,
            None if self.engines.len() >= ENGINES_MAX => return None,
            None => {
                self.engines.push(Engine { label: label.to_owned(), ..Engine::default() });
                self.engines.len() - 1
            }
        };
        self.engines.get_mut(at)
    }

    fn into_scrape(self) -> EngineScrape {
        let engines = &self.engines;
        let itl = merged(engines, |engine| &engine.itl);
        EngineScrape {
            running: whole(total(engines, |engine| engine.running)),
            waiting: whole(total(engines, |engine| engine.waiting)),
            kv_utilization: mean(engines, |engine| engine.kv_utilization)
                .and_then(Utilization::new),
            kv_capacity_tokens: engines
                .iter()
                .filter_map(|engine| engine.kv_capacity_tokens)
                .reduce(u64::saturating_add),
            sleep: engines.iter().filter_map(|engine| engine.sleep).max(),
            counters: EngineCounters {
                completions: counted(total(engines, |engine| engine.completions.total)),
                prompt_tokens: counted(total(engines, |engine| engine.prompt_tokens)),
                generation_tokens: counted(total(engines, |engine| engine.generation_tokens)),
                preemptions: counted(total(engines, |engine| engine.preemptions)),
            },
            ttft: merged(engines, |engine| &engine.ttft),
            itl: itl.or_else(|| merged(engines, |engine| &engine.itl_old_name)),
            model_name: self.model_name,
        }
    }
}

/// The labels that matter, found in one pass.
#[derive(Default)]
struct WantedLabels<'a> {
    engine: Option<Cow<'a, str>>,
    model_name: Option<Cow<'a, str>>,
    finished_reason: Option<Cow<'a, str>>,
    sleep_state: Option<Cow<'a, str>>,
    le: Option<f64>,
}

impl<'a> WantedLabels<'a> {
    fn of(labels: Labels<'a>) -> Self {
        let mut wanted = Self::default();
        for label in labels {
            match label.name.as_ref() {
                "engine" => wanted.engine = Some(label.value),
                "model_name" => wanted.model_name = Some(label.value),
                "finished_reason" => wanted.finished_reason = Some(label.value),
                "sleep_state" => wanted.sleep_state = Some(label.value),
                "le" => wanted.le = label.value.parse().ok(),
                _ => {}
            }
        }
        wanted
    }
}

/// `request_success_total` over its reasons. An abort is a client that hung up or a server that
/// went away, an error is a failure: neither ended well. Every other reason did (`stop`, `length`,
/// `repetition`, and whatever a later version adds).
#[derive(Default)]
struct Completions {
    total: Option<f64>,
    seen: [bool; 3],
}

impl Completions {
    fn add(&mut self, reason: Option<&str>, value: f64) {
        let seen = match reason {
            Some("abort" | "error") => return,
            Some("stop") => Some(0),
            Some("length") => Some(1),
            Some("repetition") => Some(2),
            Some(_) | None => None,
        };
        if let Some(seen) = seen
            && std::mem::replace(&mut self.seen[seen], true)
        {
            return;
        }
        self.total = Some(self.total.unwrap_or(0.0) + value);
    }
}

#[derive(Default)]
struct RawHistogram {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
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

/// The sum of several engines' histograms. A bound that not all of them have is left out: the
/// cumulative counts at the common bounds stay exact without it.
fn merged(engines: &[Engine], part: impl Fn(&Engine) -> &RawHistogram) -> Option<Histogram> {
    let raw = || engines.iter().map(&part).filter(|raw| !raw.is_empty());
    let bounds = raw().next()?.buckets.iter().map(|&(le, _)| le);
    let mut buckets = Vec::with_capacity(bounds.len() + 1);
    for (at, le) in bounds.enumerate() {
        // All engines write the same bounds in the same order, so the place is nearly always right.
        let at_bound = |raw: &RawHistogram| {
            let here = raw.buckets.get(at).filter(|bucket| bucket.0 == le);
            here.or_else(|| raw.buckets.iter().find(|bucket| bucket.0 == le)).map(|bucket| bucket.1)
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

fn sleep_state(label: Option<&str>) -> Option<SleepState> {
    match label? {
        "awake" => Some(SleepState::Awake),
        "weights_offloaded" => Some(SleepState::WeightsOffloaded),
        "discard_all" => Some(SleepState::DiscardAll),
        _ => None,
    }
}

/// `kv_cache_size_tokens` where the version writes it; else blocks × tokens per block.
fn kv_capacity(labels: Labels<'_>) -> Option<u64> {
    let number = |name: &str| labels.get(name)?.parse::<u64>().ok();
    number("kv_cache_size_tokens")
        .or_else(|| number("num_gpu_blocks")?.checked_mul(number("block_size")?))
        .filter(|&tokens| tokens > 0)
}

fn first(slot: &mut Option<f64>, value: f64) {
    slot.get_or_insert(value);
}

fn total(engines: &[Engine], field: impl Fn(&Engine) -> Option<f64>) -> Option<f64> {
    engines.iter().filter_map(field).reduce(|a, b| a + b)
}

fn mean(engines: &[Engine], field: impl Fn(&Engine) -> Option<f64> + Copy) -> Option<f64> {
    let count = engines.iter().filter_map(field).count();
    total(engines, field).map(|total| total / count as f64)
}

/// A count of things. `None` for NaN, infinities and negatives.
fn counted(value: Option<f64>) -> Option<u64> {
    value.filter(|value| value.is_finite() && *value >= 0.0).map(|value| value.round() as u64)
}

fn whole(value: Option<f64>) -> Option<u32> {
    counted(value).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
