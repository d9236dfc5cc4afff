//! A pool's past as a Prometheus tells it that has scraped the engines.
//!
//! **Invariant:** raw counters are asked for, and increases taken here: what a reset or a gap hides is
//! known then. For that, nothing may stand in a gap: Prometheus itself fills five minutes of one with
//! the last value.

mod first_tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_api::dialect::{DialectName, MetricQueries};
use preheat_compare::backtest::{Cumulative, Gauge, History, Step};
use preheat_runtime::dialect::known;
use preheat_runtime::dialect::table::{Dialect, Only, Row, Signal, Source};
use preheat_runtime::prometheus::{
    Hours, Prometheus, PrometheusConfig, REPLICA_LABELS, Scraped, Series, named, recorded_names,
};

use super::super::prometheus::{failed, now_s, queries, selector};
use crate::cli::PastArgs;
use crate::failure::hinted;
use crate::terminal::Line;

/// The time that is asked of, and whose.
struct Asked<'a> {
    prometheus: Prometheus,
    selector: String,
    /// In place of what is known of engines.
    queries: Option<MetricQueries>,
    replica_label: &'a str,
    until: u64,
    /// How long before that it begins.
    over: Duration,
    step: Duration,
    from: u64,
    steps: usize,
    scraped: Scraped,
}

/// What it tells, with first tokens counted by `slo_ttft`.
pub(in crate::commands) async fn read(
    config: PrometheusConfig,
    args: &PastArgs,
    slo_ttft: Duration,
    line: &mut Line,
) -> anyhow::Result<History> {
    let mut asked = Asked::of(config, args)?;
    line.draw("which engine is it?");
    let dialect = asked.dialect().await?;
    asked.learn_interval(&dialect, line).await?;
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
    let mut in_slots = Gauge::new(asked.steps);
    let mut queued = Gauge::new(asked.steps);
    let mut ready = vec![0.0; asked.steps];
    for series in running.values() {
        let mut replica = Gauge::new(asked.steps);
        for (sign, series) in series {
            let points = || series.points.iter().map(|point| (point.at, sign * point.value));
            replica.add(asked.from as f64, asked.step, points());
            inside.add(asked.from as f64, asked.step, points());
            in_slots.add(asked.from as f64, asked.step, points());
        }
        for (ready, there) in ready.iter_mut().zip(replica.there(asked.step)) {
            *ready += f64::from(u8::from(there));
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
    let first = first_tokens::of(&asked, &dialect, slo_ttft.as_secs_f64()).await?;
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
            running: in_slots.values.get(index).copied().flatten(),
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
    fn of(config: PrometheusConfig, args: &'a PastArgs) -> anyhow::Result<Self> {
        let queries = queries(&args.query)?;
        let selector = match &queries {
            Some(_) => String::new(),
            None => selector(args.selector.as_deref(), args.pool.as_deref())?,
        };
        let mut asked = Self {
            prometheus: Prometheus::new(config).map_err(failed)?,
            selector,
            queries,
            replica_label: &args.replica_label,
            until: now_s().saturating_sub(args.until.as_secs()),
            over: args.from,
            step: args.step,
            from: 0,
            steps: 0,
            scraped: Scraped::default(),
        };
        asked.in_steps_of(args.step);
        Ok(asked)
    }

    /// Takes the same time in steps of this length.
    fn in_steps_of(&mut self, step: Duration) {
        let seconds = step.as_secs().max(1);
        self.step = Duration::from_secs(seconds);
        let steps = self.over.as_secs() / seconds;
        self.from = self.until.saturating_sub(steps * seconds);
        self.steps = usize::try_from(steps).unwrap_or(usize::MAX).min(10_000_000);
    }

    fn hours(&self) -> Hours {
        Hours::of(self.from, self.until)
    }

    /// The dialect whose running requests are told. Of two, the one that is told most often; what the
    /// shipped rules record of it in its place, where that is told as often.
    async fn dialect(&self) -> anyhow::Result<Dialect> {
        if let Some(queries) = &self.queries {
            return Ok(Dialect::custom("--query", &queries.names()));
        }
        let known = DialectName::ALL.map(known::dialect);
        let recorded = Dialect::custom("recorded", &recorded_names());
        let names: Vec<&str> = known
            .iter()
            .chain([&recorded])
            .flat_map(|dialect| dialect.sources(Signal::Running))
            .map(|source| source.name.as_ref())
            .collect();
        let hours = self.hours();
        let query = format!("count by (__name__) ({})", hours.all(&self.series_of(&names)));
        let found = self.prometheus.hourly(hours, &query).await.map_err(failed)?;
        let told = |dialect: &Dialect| -> usize {
            let sources = dialect.sources(Signal::Running);
            let of = |series: &&Series| sources.iter().any(|source| source.name == series.name());
            found.iter().filter(of).map(|series| series.points.len()).sum()
        };
        let best = known.iter().rev().max_by_key(|dialect| told(dialect));
        let best = best.filter(|dialect| told(dialect) > 0);
        let is_kept = REPLICA_LABELS.contains(&self.replica_label);
        let told_by_best = best.map_or(1, told);
        if is_kept && told(&recorded) >= told_by_best {
            return Ok(recorded_of(recorded, best));
        }
        best.cloned().ok_or_else(|| {
            hinted(
                format!("no known engine tells {{{}}} in that time", self.selector),
                format!(
                    "looked for {}; try the selector in Prometheus' own page",
                    names.join(", ")
                ),
            )
        })
    }

    /// How often the engines are scraped. Where that is less often than once in a step, steps are made
    /// as long: nothing is known of what happens between two scrapes.
    async fn learn_interval(&mut self, dialect: &Dialect, line: &mut Line) -> anyhow::Result<()> {
        if self.queries.is_some() {
            return Ok(());
        }
        let names: Vec<&str> =
            dialect.sources(Signal::Running).iter().map(|source| source.name.as_ref()).collect();
        let series = self.series_of(&names);
        let found = self.prometheus.scraped(self.hours(), &series).await;
        self.scraped = found.map_err(failed)?;
        if let Some(interval) = self.scraped.interval.filter(|interval| *interval > self.step) {
            line.print(&format!(
                "note: the engines are scraped every {interval:?}, so that steps are as long, and not {:?}",
                self.step
            ));
            self.in_steps_of(interval);
        }
        Ok(())
    }

    fn series_of(&self, names: &[&str]) -> String {
        format!("{{__name__=~\"{}\",{}}}", names.join("|"), self.selector)
    }

    /// What is called one of these names, or is told by the query of that name, step by step.
    async fn series(&self, names: &[&str]) -> anyhow::Result<Vec<Series>> {
        let range = async |query: &str| {
            let found = self.prometheus.range(query, self.from, self.until, self.step).await;
            found.map_err(failed)
        };
        let Some(queries) = &self.queries else {
            return range(&self.scraped.within(&self.series_of(names), self.step)).await;
        };
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
        let series = replicas.values().flatten().map(|(_, series)| series);
        Ok((!replicas.is_empty()).then(|| self.counted(series)))
    }

    /// What counters count together.
    fn counted<'s>(&self, series: impl Iterator<Item = &'s Series>) -> Cumulative {
        let points = |series: &Series| {
            series.points.iter().map(|point| (point.at, point.value)).collect::<Vec<_>>()
        };
        let series: Vec<Vec<(f64, f64)>> = series.map(points).collect();
        Cumulative::of(self.from as f64, self.step, self.steps, &series)
    }
}

/// What is recorded of an engine, with what is not: its histogram of first tokens.
fn recorded_of(mut recorded: Dialect, engine: Option<&Dialect>) -> Dialect {
    if let Some(engine) = engine {
        recorded.title = engine.title;
        let sources = engine.sources(Signal::Ttft).to_vec();
        recorded.rows.push(Row { signal: Signal::Ttft, sources });
    }
    recorded
}

/// Whether a series is one of a source's.
fn counts(source: &Source, series: &Series) -> bool {
    match source.only {
        Only::All => true,
        Only::With(label, value) => series.label(label) == Some(value),
        Only::Without(label, values) => {
            series.label(label).is_none_or(|value| !values.contains(&value))
        }
        Only::Unlabelled(label) => series.label(label).is_none_or(str::is_empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_that_is_told_once_more_by_its_parts_counts_once() {
        let sglang = known::dialect(DialectName::Sglang);
        let running = &sglang.sources(Signal::Running)[0];
        let of = |priority: Option<&str>| {
            let labels = priority.map(|value| ("priority".to_owned(), value.to_owned()));
            counts(running, &Series { labels: labels.into_iter().collect(), points: Vec::new() })
        };
        assert_eq!([None, Some(""), Some("1")].map(of), [true, true, false]);
    }
}
