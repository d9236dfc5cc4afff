//! Engines' metrics as a Prometheus keeps them, read as if the engines had been asked.
//!
//! **Invariant:** a replica's scrape has the time of its oldest newest value: what Prometheus has not
//! seen for long is old, whatever the time of the query.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use preheat_core::{Instant, ReplicaId, Sample};

use super::answer::Series;
use super::client::Prometheus;
use super::there::{self, There};
use crate::clock::Clock;
use crate::dialect::{Dialects, EngineScrape, Unrecognised};
use crate::exposition::Format;
use crate::scrape::{ScrapeError, ScrapeResult};

/// How far back a pod's last scrape may be: as far as Prometheus itself looks.
pub(super) const LOOKBACK: Duration = Duration::from_secs(300);

/// A Prometheus that is asked in the engines' place.
#[derive(Clone, Debug)]
pub struct PodSource {
    /// Which one.
    pub prometheus: Prometheus,
    /// The label that names a pod.
    pub pod_label: String,
}

impl PodSource {
    /// What it last saw of these pods of a namespace, in their order. One that it has not seen for
    /// five minutes is an error of that pod alone.
    pub async fn scrape(
        &self,
        clock: &Clock,
        namespace: &str,
        dialects: &Dialects,
        pods: &[(ReplicaId, &str)],
    ) -> Vec<(ReplicaId, ScrapeResult)> {
        if pods.is_empty() {
            return Vec::new();
        }
        let names: Vec<&str> = pods.iter().map(|(_, name)| *name).collect();
        let selector = format!("namespace=\"{namespace}\"");
        let query = pod_query(dialects, &selector, &self.pod_label, &names, LOOKBACK);
        match self.prometheus.instant(&query, None).await {
            Ok(series) => {
                let now = clock.now();
                let seen = pod_scrapes(&series, dialects, &self.pod_label, now);
                let there = self.there(dialects, &selector, &names, &seen, now).await;
                let result = |(id, name): &(ReplicaId, &str)| {
                    let (seen, there) = (seen.get(*name), there.get(*name));
                    (*id, self.told(&series, dialects, name, seen.cloned(), there, now))
                };
                pods.iter().map(result).collect()
            }
            Err(error) => {
                let error = Arc::new(error);
                let failed = |(id, _): &(ReplicaId, &str)| {
                    (*id, Err(ScrapeError::Prometheus(Arc::clone(&error))))
                };
                pods.iter().map(failed).collect()
            }
        }
    }
}

impl PodSource {
    /// What else there is of pods that tell too little.
    async fn there(
        &self,
        dialects: &Dialects,
        selector: &str,
        pods: &[&str],
        seen: &BTreeMap<String, PodScrape>,
        now: Instant,
    ) -> BTreeMap<String, There> {
        let doubtful = pods.iter().filter(|pod| there::is_doubtful(seen.get(**pod), now));
        let doubtful: Vec<&str> = doubtful.copied().collect();
        if doubtful.is_empty() {
            return BTreeMap::new();
        }
        let query = there::query(&dialects.prefixes(), selector, &self.pod_label, &doubtful);
        there::ask(&self.prometheus, &query, &self.pod_label).await
    }

    /// What was seen of a pod, with the names that may be new ones of what it lacks.
    fn told(
        &self,
        series: &[Series],
        dialects: &Dialects,
        pod: &str,
        seen: Option<PodScrape>,
        there: Option<&There>,
        now: Instant,
    ) -> ScrapeResult {
        let Some(there) = there else {
            let seen = seen.ok_or(ScrapeError::Unseen(LOOKBACK))?;
            return seen.map_err(ScrapeError::Malformed);
        };
        if let Some(silence) = there.silence(dialects) {
            return Err(ScrapeError::Untold(silence));
        }
        seen.ok_or(ScrapeError::Unseen(LOOKBACK))?.map_err(ScrapeError::Malformed)?;
        let of_pod = series.iter().filter(|one| one.label(&self.pod_label) == Some(pod));
        scrape(&of_pod.collect::<Vec<_>>(), dialects, &there.names, now)
            .map_err(ScrapeError::Malformed)
    }
}

/// What a Prometheus last saw of one pod.
pub type PodScrape = Result<Sample<EngineScrape>, Unrecognised>;

/// Asks for every series that the dialects read, of these pods, with the times of their scrapes: a
/// range of raw samples, where an instant query would put its own time on old ones.
pub fn pod_query(
    dialects: &Dialects,
    selector: &str,
    pod_label: &str,
    pods: &[&str],
    lookback: Duration,
) -> String {
    let mut names: Vec<&str> = dialects.series_names().collect();
    names.sort_unstable();
    let (names, pods) = (names.join("|"), one_of(pods));
    let selector = if selector.is_empty() { String::new() } else { format!(",{selector}") };
    let lookback = lookback.as_secs().max(1);
    format!("{{__name__=~\"{names}\",{pod_label}=~\"{pods}\"{selector}}}[{lookback}s]")
}

/// Names, for a matcher by regular expression.
pub(super) fn one_of(names: &[&str]) -> String {
    names.join("|").replace('.', "\\\\.")
}

/// What it answered, pod by pod. `now` bounds the times: a clock that runs ahead makes nothing fresh.
pub fn pod_scrapes(
    series: &[Series],
    dialects: &Dialects,
    pod_label: &str,
    now: Instant,
) -> BTreeMap<String, PodScrape> {
    let mut pods: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for one in series {
        if let Some(pod) = one.label(pod_label) {
            pods.entry(pod).or_default().push(one);
        }
    }
    let read = |(pod, series): (&str, Vec<&Series>)| {
        (pod.to_owned(), scrape(&series, dialects, &BTreeSet::new(), now))
    };
    pods.into_iter().map(read).collect()
}

fn scrape(
    series: &[&Series],
    dialects: &Dialects,
    names: &BTreeSet<String>,
    now: Instant,
) -> PodScrape {
    let newest = |one: &&Series| one.points.last().map_or(f64::NEG_INFINITY, |point| point.at);
    // A series that ended before the last scrape is not there any more.
    let last = series.iter().map(newest).fold(f64::NEG_INFINITY, f64::max);
    let values = series.iter().filter(|one| newest(one) >= last);
    let values = values.filter_map(|one| Some((*one, one.points.last()?.value)));
    let scrape = read(values, dialects, names)?;
    let at = Duration::try_from_secs_f64(last).unwrap_or_default();
    Ok(Sample::new(scrape, Instant::ORIGIN.saturating_add(at).min(now)))
}

/// Series of one pod with a value of each, as if the pod had served them, and more names, of which
/// nothing is read.
pub(super) fn read<'a>(
    values: impl IntoIterator<Item = (&'a Series, f64)>,
    dialects: &Dialects,
    names: &BTreeSet<String>,
) -> Result<EngineScrape, Unrecognised> {
    let mut body = String::new();
    let mut seen = HashSet::new();
    for (one, value) in values {
        let mut line = one.name().to_owned();
        line.push('{');
        for (name, value) in &one.labels {
            // Labels that only say where it was scraped tell nothing apart: a pod is one engine.
            if matches!(name.as_str(), "__name__" | "instance" | "job" | "pod" | "namespace") {
                continue;
            }
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            line.push_str(&format!("{name}=\"{value}\","));
        }
        line.push('}');
        if seen.insert(line.clone()) {
            body.push_str(&format!("{line} {value}\n"));
        }
    }
    for name in names.iter().filter(|name| !dialects.knows(name)) {
        body.push_str(&format!("{name} NaN\n"));
    }
    dialects.read(body.as_bytes(), Format::Text)
}

#[cfg(test)]
mod tests {
    use super::super::answer::Point;
    use super::*;

    fn series(name: &str, pod: &str, points: &[(f64, f64)]) -> Series {
        let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Series {
            labels: [("__name__", name), ("pod", pod), ("instance", "10.0.0.1:8000")]
                .map(label)
                .into(),
            points: points.iter().map(|&(at, value)| Point { at, value }).collect(),
        }
    }

    #[test]
    fn a_pod_is_as_old_as_its_last_scrape() {
        let answer = [
            series("vllm:num_requests_running", "a", &[(980.0, 3.0), (990.0, 4.0)]),
            series("vllm:num_requests_waiting", "a", &[(980.0, 0.0), (990.0, 1.0)]),
            series("vllm:num_requests_running", "b", &[(700.0, 9.0)]),
            series("vllm:num_requests_waiting", "b", &[(700.0, 9.0)]),
            // Of a clock that runs ahead, and renamed at the last scrape.
            series("vllm:num_requests_running", "c", &[(2000.0, 5.0)]),
            series("vllm:num_requests_waiting", "c", &[(1990.0, 6.0)]),
        ];
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(1000));
        let scrapes = pod_scrapes(&answer, &Dialects::known(), "pod", now);
        let seen = |pod: &str| {
            let sample = scrapes.get(pod).unwrap().as_ref().unwrap();
            (sample.value.running, sample.value.waiting, sample.observed_at.as_secs_f64())
        };
        assert_eq!(seen("a"), (Some(4), Some(1), 990.0));
        assert_eq!(seen("b"), (Some(9), Some(9), 700.0));
        assert_eq!(seen("c"), (Some(5), None, 1000.0));
        assert_eq!(scrapes.len(), 3);
    }

    /// A rollout under way: an old version, a new one, one that has renamed what must be told, and
    /// another engine.
    #[test]
    fn versions_and_engines_are_mixed_in_one_pool() {
        let both = |pod: &str, running: &str, waiting: &str, kv: &str| {
            [
                series(running, pod, &[(990.0, 4.0)]),
                series(waiting, pod, &[(990.0, 1.0)]),
                series(kv, pod, &[(990.0, 0.5)]),
            ]
        };
        let (running, waiting) = ("vllm:num_requests_running", "vllm:num_requests_waiting");
        let answer = [
            both("old", running, waiting, "vllm:gpu_cache_usage_perc"),
            both("new", running, waiting, "vllm:kv_cache_usage_perc"),
            both("next", running, "vllm:num_requests_queued", "vllm:kv_cache_usage_perc"),
            both("other", "sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"),
        ]
        .concat();
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(1000));
        let scrapes = pod_scrapes(&answer, &Dialects::known(), "pod", now);
        let seen = |pod: &str| scrapes.get(pod).unwrap().as_ref().unwrap().value.clone();
        for pod in ["old", "new", "other"] {
            let seen = seen(pod);
            assert_eq!((seen.running, seen.waiting), (Some(4), Some(1)), "{pod}");
            assert_eq!(seen.kv_utilization.map(preheat_core::Utilization::get), Some(0.5), "{pod}");
            assert_eq!(seen.trouble(), None, "{pod}");
        }
        assert_eq!(seen("other").dialect, Some("sglang"));
        let next = seen("next");
        assert_eq!((next.running, next.waiting), (Some(4), None), "absent, and not zero");
        assert!(next.trouble().unwrap().contains("`vllm:num_requests_queued`"), "{next:?}");
    }

    #[test]
    fn the_query_asks_for_raw_samples_of_these_pods() {
        let custom = preheat_api::dialect::MetricNames {
            running: Some("r".to_owned()),
            waiting: Some("w".to_owned()),
            ..Default::default()
        };
        let dialects = Dialects::of(&preheat_api::dialect::Dialect::Custom(Box::new(custom)));
        let query = pod_query(
            &dialects,
            "namespace=\"n\"",
            "pod",
            &["a-1", "b.2"],
            Duration::from_secs(60),
        );
        assert_eq!(query, r#"{__name__=~"r|w",pod=~"a-1|b\\.2",namespace="n"}[60s]"#);
    }
}
