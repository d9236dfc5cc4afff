//! A pool's past as a Prometheus tells it that has scraped the engines.
//!
//! **Invariant:** raw counters are asked for, and increases taken here: what a reset or a gap hides is
//! known then.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_api::dialect::{DialectName, MetricQueries};
use preheat_compare::backtest::{Cumulative, Gauge, History, Step};
use preheat_runtime::dialect::known;
use preheat_runtime::dialect::table::{Dialect, Only, Signal, Source};
use preheat_runtime::prometheus::{Prometheus, PrometheusConfig, Series, named};

use super::super::prometheus::{failed, now_s, queries, selector};
use crate::cli::BacktestArgs;
use crate::failure::hinted;
use crate::terminal::Line;

/// The time that is asked of, and whose.
struct Asked<'a> {
    prometheus: Prometheus,
    selector: String,
    /// In place of what is known of engines.
    queries: Option<MetricQueries>,
    replica_label: &'a str,
    from: u64,
    until: u64,
    step: Duration,
    steps: usize,
}

pub(super) async fn read(
    config: PrometheusConfig,
    args: &BacktestArgs,
    line: &mut Line,
) -> anyhow::Result<History> {
    let asked = Asked::of(config, args)?;
    line.draw("which engine is it?");
    let dialect = asked.dialect().await?;
    let (told, of) = (dialect.title, asked.selector.clone());
    let lacks = |signal: Signal| {
        let hint =
            "docs/engines.md says what each engine tells; a journal of preheat's own tells more";
        hinted(format!("{told} metrics of {{{of}}} do not tell {}", signal.name()), hint)
    };
    line.draw("requests inside");
    let running = asked.replicas(&dialect, Signal::Running).await?;
    let waiting = asked.replicas(&dialect, Signal::Waiting).await?;
    let mut inside = Gauge::new(asked.steps);
    let mut queued = Gauge::new(asked.steps);
    let mut ready = vec![0.0; asked.steps];
    for series in running.values() {
        let mut replica = Gauge::new(asked.steps);
        for (sign, series) in series {
            let points = || series.points.iter().map(|point| (point.at, sign * point.value));
            replica.add(asked.from as f64, asked.step, points());
            inside.add(asked.from as f64, asked.step, points());
        }
        for (ready, told) in ready.iter_mut().zip(&replica.series) {
            *ready += f64::from(u8::from(*told > 0));
        }
    }
    for series in waiting.values().flatten() {
        let points = || series.1.points.iter().map(|point| (point.at, series.0 * point.value));
        queued.add(asked.from as f64, asked.step, points());
        inside.add(asked.from as f64, asked.step, points());
    }
    line.draw("requests and tokens");
    let ended = asked.counter(&dialect, Signal::Completions).await?;
    let Some(ended) = ended else { return Err(lacks(Signal::Completions)) };
    let prompt = asked.counter(&dialect, Signal::PromptTokens).await?;
    let generated = asked.counter(&dialect, Signal::GenerationTokens).await?;
    line.draw("first tokens");
    let slo = args.replica.slo_ttft.as_secs_f64();
    let first = asked.first_tokens(&dialect, slo).await?;
    let arrivals = History::arrivals(&ended, &inside);
    let of = |counter: &Option<Cumulative>, index: usize| {
        counter.as_ref().and_then(|counter| counter.counts.get(index).copied())
    };
    let step = |index: usize| {
        let (first_tokens, in_time) = first.get(index).copied().flatten().unzip();
        Step {
            arrivals: arrivals.get(index).copied().flatten(),
            completions: ended.counts.get(index).copied(),
            prompt_tokens: of(&prompt, index),
            generation_tokens: of(&generated, index),
            ready: ready.get(index).copied(),
            existing: None,
            waiting: queued.values.get(index).copied().flatten(),
            first_tokens,
            in_time,
        }
    };
    Ok(History {
        step: asked.step,
        steps: (0..asked.steps).map(step).collect(),
        cold_starts: Vec::new(),
        resets: ended.resets,
        arrivals_from: format!(
            "what {told} engines finished, and what was in them more than before; requests that were \
             cut or refused are not in it"
        ),
    })
}

impl<'a> Asked<'a> {
    fn of(config: PrometheusConfig, args: &'a BacktestArgs) -> anyhow::Result<Self> {
        let queries = queries(&args.query)?;
        let selector = match &queries {
            Some(_) => String::new(),
            None => selector(args.selector.as_deref(), args.pool.as_deref())?,
        };
        let now = now_s();
        let until = now.saturating_sub(args.until.as_secs());
        let step = Duration::from_secs(args.step.as_secs().max(1));
        let steps = args.from.as_secs() / step.as_secs();
        let from = until.saturating_sub(steps * step.as_secs());
        Ok(Self {
            prometheus: Prometheus::new(config).map_err(failed)?,
            selector,
            queries,
            replica_label: &args.replica_label,
            from,
            until,
            step,
            steps: usize::try_from(steps).unwrap_or(usize::MAX).min(10_000_000),
        })
    }

    /// The dialect whose running requests are told. Of two, the one that is told most often.
    async fn dialect(&self) -> anyhow::Result<Dialect> {
        if let Some(queries) = &self.queries {
            return Ok(Dialect::custom("--query", &queries.names()));
        }
        let dialects = DialectName::ALL.map(known::dialect);
        let names: Vec<&str> = dialects
            .iter()
            .flat_map(|dialect| dialect.sources(Signal::Running))
            .map(|source| source.name.as_ref())
            .collect();
        let query = format!("count by (__name__) ({})", self.series_of(&names));
        let hour = Duration::from_secs(3600);
        let found = self.prometheus.range(&query, self.from, self.until, hour).await;
        let found = found.map_err(failed)?;
        let told = |dialect: &Dialect| -> usize {
            let sources = dialect.sources(Signal::Running);
            let of = |series: &&Series| sources.iter().any(|source| source.name == series.name());
            found.iter().filter(of).map(|series| series.points.len()).sum()
        };
        let best = dialects.iter().rev().max_by_key(|dialect| told(dialect));
        best.filter(|dialect| told(dialect) > 0).cloned().ok_or_else(|| {
            hinted(
                format!("no known engine tells {{{}}} in that time", self.selector),
                format!(
                    "looked for {}; try the selector in Prometheus' own page",
                    names.join(", ")
                ),
            )
        })
    }

    fn series_of(&self, names: &[&str]) -> String {
        format!("{{__name__=~\"{}\",{}}}", names.join("|"), self.selector)
    }

    /// What is called one of these names, or is told by the query of that name.
    async fn series(&self, names: &[&str]) -> anyhow::Result<Vec<Series>> {
        let range = async |query: &str| {
            let found = self.prometheus.range(query, self.from, self.until, self.step).await;
            found.map_err(failed)
        };
        let Some(queries) = &self.queries else { return range(&self.series_of(names)).await };
        let mut all = Vec::new();
        for (key, query) in queries.given().filter(|(key, _)| names.contains(key)) {
            let found = range(query.as_str()).await?;
            all.extend(found.into_iter().map(|series| named(series, key)));
        }
        Ok(all)
    }

    /// The series that tell a signal, replica by replica, each with its sign. Where a replica has
    /// several names for it, the newest counts.
    async fn replicas(
        &self,
        dialect: &Dialect,
        signal: Signal,
    ) -> anyhow::Result<BTreeMap<String, Vec<(f64, Series)>>> {
        let sources = dialect.sources(signal);
        let mut names: Vec<&str> = Vec::new();
        for source in sources {
            names.push(&source.name);
            names.extend(source.plus);
            names.extend(source.less);
        }
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = self.series(&names).await?;
        let mut replicas: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for series in found {
            let replica = series.label(self.replica_label).unwrap_or_default().to_owned();
            replicas.entry(replica).or_default().push(series);
        }
        let chosen = |series: Vec<Series>| {
            let told = |source: &&Source| series.iter().any(|one| one.name() == source.name);
            let source = sources.iter().find(told)?;
            let mut seen: Vec<BTreeMap<String, String>> = Vec::new();
            let mut kept = Vec::new();
            for one in series {
                let sign = match one.name() {
                    name if name == source.name => 1.0,
                    name if source.plus.contains(&name) => 1.0,
                    name if source.less == Some(name) => -1.0,
                    _ => continue,
                };
                let mut labels = one.labels.clone();
                labels.retain(|name, _| !dialect.repeats.contains(&name.as_str()));
                if counts(source, &one) && !seen.contains(&labels) {
                    seen.push(labels);
                    kept.push((sign, one));
                }
            }
            Some(kept)
        };
        let replicas = replicas.into_iter().filter_map(|(name, all)| Some((name, chosen(all)?)));
        Ok(replicas.collect())
    }

    async fn counter(
        &self,
        dialect: &Dialect,
        signal: Signal,
    ) -> anyhow::Result<Option<Cumulative>> {
        let replicas = self.replicas(dialect, signal).await?;
        if replicas.is_empty() {
            return Ok(None);
        }
        let mut counter = Cumulative::new(self.from as f64, self.step, self.steps);
        for (_, series) in replicas.values().flatten() {
            counter.add(series.points.iter().map(|point| (point.at, point.value)));
        }
        Ok(Some(counter))
    }

    /// First tokens of each step, and those within the SLO, by the histogram's buckets.
    async fn first_tokens(
        &self,
        dialect: &Dialect,
        slo: f64,
    ) -> anyhow::Result<Vec<Option<(f64, f64)>>> {
        let mut steps = vec![None; self.steps];
        let Some(source) = dialect.sources(Signal::Ttft).first() else { return Ok(steps) };
        let seconds = self.step.as_secs();
        let buckets = format!("{{__name__=\"{}_bucket\",{}}}", source.name, self.selector);
        let query = format!("sum by (le) (increase({buckets}[{seconds}s]))");
        let found = self.prometheus.range(&query, self.from, self.until, self.step).await;
        let mut by_step: Vec<Vec<(f64, f64)>> = vec![Vec::new(); self.steps];
        for series in found.map_err(failed)? {
            let Some(le) = series.label("le").and_then(|le| le.parse::<f64>().ok()) else {
                continue;
            };
            for point in &series.points {
                let place = ((point.at - self.from as f64) / seconds as f64).round() - 1.0;
                if place >= 0.0
                    && let Some(slot) = by_step.get_mut(place as usize)
                {
                    slot.push((le, point.value));
                }
            }
        }
        for (step, mut buckets) in steps.iter_mut().zip(by_step) {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            *step = within(&buckets, slo);
        }
        Ok(steps)
    }
}

/// Whether a series is one of a source's.
fn counts(source: &Source, series: &Series) -> bool {
    match source.only {
        Only::All => true,
        Only::With(label, value) => series.label(label) == Some(value),
        Only::Without(label, values) => {
            series.label(label).is_none_or(|value| !values.contains(&value))
        }
    }
}

/// All of them, and those up to `slo`, on the line between the buckets around it.
fn within(buckets: &[(f64, f64)], slo: f64) -> Option<(f64, f64)> {
    let (_, total) = buckets.iter().find(|(le, _)| le.is_infinite())?;
    let below = buckets.iter().take_while(|(le, _)| *le <= slo).last();
    let (lower, before) = below.copied().unwrap_or((0.0, 0.0));
    let above = buckets.iter().find(|(le, _)| *le > slo && le.is_finite());
    let inside = above.map_or(before, |(upper, through)| {
        before + (through - before) * (slo - lower) / (upper - lower)
    });
    Some((*total, inside.clamp(0.0, *total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_the_slo_divides_is_divided() {
        let buckets = [(1.0, 10.0), (3.0, 30.0), (f64::INFINITY, 40.0)];
        assert_eq!(within(&buckets, 2.0), Some((40.0, 20.0)));
        assert_eq!(within(&buckets, 1.0), Some((40.0, 10.0)));
        assert_eq!(within(&buckets, 0.5), Some((40.0, 5.0)));
        // Beyond the last bound, nobody knows of those between.
        assert_eq!(within(&buckets, 9.0), Some((40.0, 30.0)));
        assert_eq!(within(&[(1.0, 10.0)], 1.0), None);
    }
}
