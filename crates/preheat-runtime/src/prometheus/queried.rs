//! Queries of a user's own in the engines' place.
//!
//! **Invariant:** what a query tells of a replica is as old as the oldest of the series that it reads
//! of that replica. The time of the query is nobody's: Prometheus answers with what it saw last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use preheat_api::dialect::MetricQueries;
use preheat_core::{Instant, ReplicaId, Sample};

use super::answer::Series;
use super::client::PrometheusError;
use super::source::{LOOKBACK, PodSource, read};
use super::there::{self, There};
use crate::clock::Clock;
use crate::dialect::Dialects;
use crate::scrape::{ScrapeError, ScrapeResult};

/// Answers to all queries of one round.
#[derive(Debug, Default)]
struct Answers {
    /// With the signal's key as their name.
    told: Vec<Series>,
    /// When the series that were read were scraped last.
    scraped: Vec<Series>,
}

impl PodSource {
    /// What the queries tell of these pods of a namespace, in their order. A series that says which
    /// namespace it is from counts for that alone.
    pub async fn query(
        &self,
        clock: &Clock,
        namespace: &str,
        queries: &MetricQueries,
        pods: &[(ReplicaId, &str)],
    ) -> Vec<(ReplicaId, ScrapeResult)> {
        if pods.is_empty() {
            return Vec::new();
        }
        match self.answers(queries).await {
            Ok(answers) => {
                let now = clock.now();
                let told = |(id, pod): &(ReplicaId, &str)| {
                    (*id, self.told_of(&answers, queries, namespace, pod, now))
                };
                let mut told: Vec<(ReplicaId, ScrapeResult)> = pods.iter().map(told).collect();
                self.tell_silent_from_gone(namespace, pods, &mut told).await;
                told
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

    /// A pod of which the queries tell nothing, and which is scraped all the same, has other metrics.
    async fn tell_silent_from_gone(
        &self,
        namespace: &str,
        pods: &[(ReplicaId, &str)],
        told: &mut [(ReplicaId, ScrapeResult)],
    ) {
        let is_unseen =
            |(_, result): &(ReplicaId, ScrapeResult)| matches!(result, Err(ScrapeError::Unseen(_)));
        let unseen: Vec<&str> = pods
            .iter()
            .zip(&*told)
            .filter(|(_, it)| is_unseen(it))
            .map(|((_, pod), _)| *pod)
            .collect();
        if unseen.is_empty() {
            return;
        }
        let selector = format!("namespace=\"{namespace}\"");
        let query = there::query(&BTreeSet::new(), &selector, &self.pod_label, &unseen);
        let there = there::ask(&self.prometheus, &query, &self.pod_label).await;
        for ((_, pod), result) in pods.iter().zip(told) {
            if is_unseen(result) && there.get(*pod).is_some_and(There::is_up) {
                let silence = "nothing that `engine.queries` ask for is there of it".to_owned();
                result.1 = Err(ScrapeError::Untold(silence));
            }
        }
    }

    /// One after the other: a Prometheus that hangs costs one timeout.
    async fn answers(&self, queries: &MetricQueries) -> Result<Answers, PrometheusError> {
        let mut answers = Answers::default();
        for (key, query) in queries.given() {
            let told = self.prometheus.instant(query.as_str(), None).await?;
            answers.told.extend(told.into_iter().map(|series| named(series, key)));
        }
        for selector in queries.selectors() {
            let query = format!("min by ({}) (timestamp({selector}))", self.pod_label);
            answers.scraped.extend(self.prometheus.instant(&query, None).await?);
        }
        Ok(answers)
    }

    fn told_of(
        &self,
        answers: &Answers,
        queries: &MetricQueries,
        namespace: &str,
        pod: &str,
        now: Instant,
    ) -> ScrapeResult {
        let is_of = |series: &&Series| {
            series.label(&self.pod_label) == Some(pod)
                && series.label("namespace").is_none_or(|of| of == namespace)
        };
        let newest = |series: &Series| series.points.last().map(|point| point.value);
        let told = answers.told.iter().filter(is_of);
        let told: Vec<(&Series, f64)> =
            told.filter_map(|series| Some((series, newest(series)?))).collect();
        let scraped = answers.scraped.iter().filter(is_of).filter_map(newest);
        let oldest = scraped.fold(f64::INFINITY, f64::min);
        let oldest = Duration::try_from_secs_f64(oldest).ok();
        let (false, Some(oldest)) = (told.is_empty(), oldest) else {
            let labelled =
                |all: &[Series]| all.iter().any(|it| it.label(&self.pod_label).is_some());
            let is_unlabelled = |all: &[Series]| !all.is_empty() && !labelled(all);
            return Err(if is_unlabelled(&answers.told) || is_unlabelled(&answers.scraped) {
                ScrapeError::Unlabelled(self.pod_label.clone())
            } else {
                ScrapeError::Unseen(LOOKBACK)
            });
        };
        let mut scrape = read(told, &Dialects::queried(queries), &BTreeSet::new())
            .map_err(ScrapeError::Malformed)?;
        // Of a signal that is not told, a user knows the expression.
        let spelled = |key: &str| {
            let given = queries.given().find(|(of, _)| *of == key);
            given.map_or_else(|| key.to_owned(), |(_, query)| query.as_str().to_owned())
        };
        for (_, name) in &mut scrape.told_by {
            *name = spelled(name).into();
        }
        for name in scrape.untold.iter_mut().flat_map(|untold| &mut untold.names) {
            *name = spelled(name);
        }
        Ok(Sample::new(scrape, Instant::ORIGIN.saturating_add(oldest).min(now)))
    }
}

/// A series that tells a signal, by the signal's key.
pub fn named(mut series: Series, key: &str) -> Series {
    series.labels.insert("__name__".to_owned(), key.to_owned());
    series
}
