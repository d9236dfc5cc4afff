//! A simulated day as a Prometheus would have scraped it of vLLM engines, in the OpenMetrics text that
//! `promtool` fills a storage from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use preheat_core::{Instant, Observation, ReplicaId, ReplicaPhase};
use preheat_runtime::prometheus::recorded_names;

use super::{DAY_S, INTERVAL_S};

/// What one scrape of one engine tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Scrape {
    at: u64,
    running: u32,
    waiting: u32,
    /// Requests, prompt tokens, generated tokens, first tokens, and those in time.
    counters: [u64; 5],
}

/// What Prometheus has of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// What the shipped rules record, and of the engines' own only what tells which they are, and their
    /// histogram.
    Recorded,
    /// What was scraped. Nobody scraped for eight minutes and for two; the first replica's engine began
    /// anew once, and a gauge was no number.
    Torn,
}

impl Kept {
    /// What the counters are called, each with the labels that tell it apart.
    fn counters(self) -> [(String, &'static str); 5] {
        let bucket = || "vllm:time_to_first_token_seconds_bucket".to_owned();
        let buckets = [(bucket(), ",le=\"+Inf\""), (bucket(), ",le=\"2.5\"")];
        let [requests, prompt, generated] = match self {
            Self::Recorded => {
                let names = recorded_names();
                let name = |name: Option<String>| (name.expect("it is recorded"), "");
                [names.completions, names.prompt_tokens, names.generation_tokens].map(name)
            }
            Self::Torn => [
                ("vllm:request_success_total".to_owned(), ",finished_reason=\"stop\""),
                ("vllm:prompt_tokens_total".to_owned(), ""),
                ("vllm:generation_tokens_total".to_owned(), ""),
            ],
        };
        let [all, in_time] = buckets;
        [requests, prompt, generated, all, in_time]
    }
}

/// Scrapes of each replica, in time since the begin.
#[derive(Default)]
pub(crate) struct Day {
    replicas: BTreeMap<ReplicaId, Vec<Scrape>>,
    engines: BTreeMap<ReplicaId, Engine>,
    now: u64,
}

/// What an engine tells, whenever it is asked.
#[derive(Default)]
struct Engine {
    now: Scrape,
    counted_at: Option<Instant>,
}

impl Day {
    /// Takes in what there was at a tick. What was scraped since the last one found what that one left.
    pub(crate) fn watch(&mut self, seen: &Observation) {
        let now = (seen.now.as_secs_f64() as u64).min(DAY_S);
        for at in self.now + 1..=now {
            self.scrape(at);
        }
        self.now = now;
        observe(&mut self.engines, seen);
    }

    fn scrape(&mut self, at: u64) {
        for (id, engine) in &self.engines {
            // Each has its own moment in the interval.
            if (at + id.0 * 7).is_multiple_of(INTERVAL_S) {
                let scrapes = self.replicas.entry(*id).or_default();
                scrapes.push(Scrape { at, ..engine.now });
            }
        }
    }

    /// All of it as series of each of these models, family by family, as OpenMetrics wants them; `begin`
    /// is in seconds since the Unix epoch.
    pub(crate) fn open_metrics(&self, begin: u64, models: &[(&str, Kept)]) -> String {
        let mut text = String::new();
        for (model, kept) in models {
            self.write(&mut text, begin, model, *kept);
        }
        let family = |line: &&str| line.split('{').next().unwrap_or_default().to_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_by_cached_key(family);
        lines.join("\n") + "\n# EOF\n"
    }

    fn write(&self, text: &mut String, begin: u64, model: &str, kept: Kept) {
        let (counters, recorded) = (kept.counters(), recorded_names());
        for (number, (id, scrapes)) in self.replicas.iter().enumerate() {
            let is_first = number == 0;
            let labels = format!(
                "engine=\"0\",instance=\"10.0.0.{id}:8000\",job=\"vllm\",model_name=\"{model}\""
            );
            let mut set_back = [0; 5];
            let mut last = [0; 5];
            for (index, scrape) in scrapes.iter().enumerate() {
                let is_torn = kept == Kept::Torn;
                let minute = scrape.at / 60;
                if is_torn && ((360..368).contains(&minute) || (600..602).contains(&minute)) {
                    continue;
                }
                if is_torn && is_first && index == scrapes.len() / 2 {
                    set_back = last;
                }
                last = scrape.counters;
                let at = begin + scrape.at;
                let mut line = |name: &str, more: &str, value: &str| {
                    writeln!(text, "{name}{{{labels}{more}}} {value} {at}").expect("it takes it");
                };
                let is_no_number = is_torn && index == 100;
                let running =
                    if is_no_number { "NaN".to_owned() } else { scrape.running.to_string() };
                line("vllm:num_requests_running", "", &running);
                let waiting = scrape.waiting.to_string();
                if kept == Kept::Recorded {
                    line(recorded.running.as_deref().expect("it is recorded"), "", &running);
                    line(recorded.waiting.as_deref().expect("it is recorded"), "", &waiting);
                } else {
                    line("vllm:num_requests_waiting", "", &waiting);
                    // Clients that hang up are told apart, and are no requests that were served.
                    let hung_up = (index / 10).to_string();
                    line("vllm:request_success_total", ",finished_reason=\"abort\"", &hung_up);
                }
                for (place, (name, more)) in counters.iter().enumerate() {
                    let value = scrape.counters[place] - set_back[place];
                    line(name, more, &value.to_string());
                }
            }
        }
    }
}

/// What the engines have counted after a tick. A gateway tells of all first tokens together: each
/// ready replica has its share of them.
fn observe(engines: &mut BTreeMap<ReplicaId, Engine>, seen: &Observation) {
    let serves = |phase| matches!(phase, ReplicaPhase::Ready | ReplicaPhase::Draining);
    let mut serving = Vec::new();
    for replica in seen.replicas.iter().filter(|replica| serves(replica.phase)) {
        serving.push(replica.id);
        let engine = engines.entry(replica.id).or_default();
        engine.now.running = replica.in_flight.map_or(0, |sample| sample.value);
        engine.now.waiting = replica.queue_depth.map_or(0, |sample| sample.value);
        let Some(counters) = replica.counters else { continue };
        if engine.counted_at.replace(counters.observed_at) < Some(counters.observed_at) {
            let new = counters.value;
            let [completions, prompt, generated, ..] = &mut engine.now.counters;
            *completions += new.completions;
            *prompt += new.prompt_tokens;
            *generated += new.generation_tokens;
        }
    }
    engines.retain(|id, _| serving.contains(id));
    let Some(first) = seen.gateway.as_ref().and_then(|gateway| gateway.first_tokens) else {
        return;
    };
    let in_time = first.count - first.late;
    let count = serving.len().max(1) as u64;
    for (index, engine) in (seen.tick.0..).zip(engines.values_mut()) {
        let share = |of: u64| of / count + u64::from(index % count < of % count);
        engine.now.counters[3] += share(first.count);
        engine.now.counters[4] += share(in_time);
    }
}
