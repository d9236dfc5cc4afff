//! What a Prometheus recorded, decided on tick by tick as if preheat had watched.
//!
//! **Invariant:** an hour of series is held at a time, and as much of what was seen of replicas as
//! tells whether they come or come back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use preheat_compare::shadow::{Shadow, ShadowReport};
use preheat_core::{
    ColdStartPrior, Concurrency, Memory, Observation, Policy, PolicySpec, Probability,
    ReplicaCount, decide,
};
use preheat_runtime::dialect::Dialects;
use preheat_runtime::prometheus::{
    Hours, Prometheus, PrometheusConfig, Recorded, Round, Scraped, Series, named,
};

use super::super::prometheus::{failed, now_s, queries, selector};
use crate::cli::{RecordedArgs, ShadowReportArgs};
use crate::failure::hinted;
use crate::terminal::Line;

const FROM_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// Steps asked for at once: an hour at 30 s.
const STEPS_AT_ONCE: u64 = 120;
/// A signal is believed for so many steps.
const STALENESS_STEPS: u32 = 3;

/// The report, for one pool.
pub(super) async fn read(
    config: PrometheusConfig,
    args: &ShadowReportArgs,
    line: &mut Line,
) -> anyhow::Result<ShadowReport> {
    let recorded = &args.recorded;
    let mut asked = Asked::of(config, args)?;
    let policy = policy(recorded)?;
    let step = policy.spec().tick_interval.as_secs();
    let until = now_s().saturating_sub(recorded.until.as_secs());
    let steps = args.from.unwrap_or(FROM_DEFAULT).as_secs() / step;
    let mut at = until.saturating_sub(steps * step);
    asked.learn_interval(at, until).await?;
    let mut rounds = Recorded::new(recorded.cold_start);
    let mut watcher = Watcher::new(&asked.name, policy);
    let mut seen = false;
    while at <= until {
        let last = until.min(at + (STEPS_AT_ONCE - 1) * step);
        line.draw(&format!("{} h to go", (until - at).div_ceil(3600)));
        let series = asked.series(at, last, Duration::from_secs(step)).await?;
        seen |= !series.is_empty();
        while at <= last {
            let round = Round::of(&series, &asked.dialects, &recorded.replica_label, at);
            watcher.watch(rounds.push(round));
            at += step;
        }
    }
    while let Some(observation) = rounds.rest() {
        watcher.watch(Some(observation));
    }
    let hint = "try the selector and --replica-label in Prometheus' own page, or another --from";
    if !seen {
        return Err(hinted(format!("nothing tells of {} in that time", asked.name), hint));
    }
    watcher.shadow.report().map(noted).with_context(|| "there are no two steps in that time")
}

/// What is asked, and of whom.
struct Asked {
    prometheus: Prometheus,
    /// What the pool is called.
    name: String,
    dialects: Arc<Dialects>,
    /// Each with the key of the signal that it tells; `None` where the series' names say that.
    queries: Vec<(Option<&'static str>, String)>,
    scraped: Scraped,
}

impl Asked {
    fn of(config: PrometheusConfig, args: &ShadowReportArgs) -> anyhow::Result<Self> {
        let recorded = &args.recorded;
        let prometheus = Prometheus::new(config).map_err(failed)?;
        if let Some(queries) = queries(&recorded.query)? {
            let name = args.pool.clone().unwrap_or_else(|| "queried".to_owned());
            let dialects = Dialects::queried(&queries);
            let queries = queries.given().map(|(key, query)| (Some(key), query.to_string()));
            let (queries, scraped) = (queries.collect(), Scraped::default());
            return Ok(Self { prometheus, name, dialects, queries, scraped });
        }
        let selector = selector(recorded.selector.as_deref(), args.pool.as_deref())?;
        let name = args.pool.clone().unwrap_or_else(|| format!("{{{selector}}}"));
        let dialects = Dialects::known();
        let mut names: Vec<&str> = dialects.series_names().collect();
        names.sort_unstable();
        let query = format!("{{__name__=~\"{}\",{selector}}}", names.join("|"));
        let (queries, scraped) = (vec![(None, query)], Scraped::default());
        Ok(Self { prometheus, name, dialects, queries, scraped })
    }

    /// How often the engines are scraped; of a user's own queries that is not known.
    async fn learn_interval(&mut self, from: u64, until: u64) -> anyhow::Result<()> {
        if let [(None, query)] = self.queries.as_slice() {
            let found = self.prometheus.scraped(Hours::of(from, until), query).await;
            self.scraped = found.map_err(failed)?;
        }
        Ok(())
    }

    async fn series(&self, from: u64, until: u64, step: Duration) -> anyhow::Result<Vec<Series>> {
        let mut all = Vec::new();
        for (key, query) in &self.queries {
            let range = async |query: &str| {
                self.prometheus.range(query, from, until, step).await.map_err(failed)
            };
            match key {
                Some(key) => {
                    let found = range(query).await?.into_iter();
                    all.extend(found.map(|series| named(series, key)));
                }
                None => all.extend(range(&self.scraped.within(query, step)).await?),
            }
        }
        Ok(all)
    }
}

/// What preheat would have been told of the pool.
fn policy(args: &RecordedArgs) -> anyhow::Result<Policy> {
    let step = Duration::from_secs(args.step.as_secs().max(1));
    let defaults = PolicySpec::default();
    let mut spec = PolicySpec {
        replicas_min: ReplicaCount(args.min_replicas),
        replicas_max: ReplicaCount(args.max_replicas),
        tick_interval: step,
        staleness_max: defaults.staleness_max.max(step.saturating_mul(STALENESS_STEPS)),
        arrival_window: defaults.arrival_window.max(step),
        cold_start_prior: ColdStartPrior { p50: args.cold_start, p90: args.cold_start },
        ..defaults
    };
    if let Some(seqs) = args.max_num_seqs {
        let cap = Concurrency::new(seqs);
        spec.concurrency_cap =
            Some(cap.ok_or_else(|| hinted("--max-num-seqs is 0", "give at least 1"))?);
    }
    spec.slo.threshold = args.slo_ttft;
    spec.slo.quantile = Probability::new(args.slo_quantile)
        .ok_or_else(|| hinted("--slo-quantile is no ratio", "give 0.99 for P99"))?;
    Ok(spec.validate()?)
}

/// A preheat that decides, and whose decisions nobody carries out.
struct Watcher {
    policy: Policy,
    memory: Memory,
    shadow: Shadow,
}

impl Watcher {
    fn new(pool: &str, policy: Policy) -> Self {
        Self { shadow: Shadow::new(pool, &policy), policy, memory: Memory::default() }
    }

    fn watch(&mut self, observation: Option<Observation>) {
        let Some(observation) = observation else { return };
        let decision = decide(&self.policy, &self.memory, &observation);
        self.shadow.tick(&observation, &decision.plan, Some(&decision.explanation));
        self.memory = decision.memory;
    }
}

/// What is so only of a Prometheus' past.
fn noted(mut report: ShadowReport) -> ShadowReport {
    report.notes.extend([
        "replicas are those that Prometheus scraped: each is taken to have been starting for \
         --cold-start before it was seen, and to be gone where it is not seen for five minutes; those \
         that drain count while they are scraped"
            .to_owned(),
        "arrivals are what engines finished, and what was in them more than before; requests that were \
         cut or refused are not in it"
            .to_owned(),
    ]);
    report
}
