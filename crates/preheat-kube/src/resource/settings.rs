//! A resource's spec after its checks: policy, engine and target, complete.

use std::time::Duration;

use preheat_api::config::{QuotaConfig, SleepConfig, parse_duration};
use preheat_api::dialect::{
    DemandQueries, Dialect, MetricQueries, MetricQueriesSpec, QueriesError,
};
use preheat_api::pool_keys::{KeyError, PoolKeys, StandbyKeys};
use preheat_api::schedule::{ScheduleError, ScheduleSpec, Schedules};
use preheat_core::{Policy, ReplicaCount};

use super::spec::{Engine, EngineType, InferenceAutoscalerSpec, Metrics, Mode, Pause, TargetRef};

/// A checked spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is scaled.
    pub target: TargetRef,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// In which directions they are not.
    pub pause: Option<Pause>,
    /// Where metrics are.
    pub engine: Engine,
    /// How they are read.
    pub dialect: Dialect,
    /// How it sleeps, if it can.
    pub sleep: SleepConfig,
    /// How it is scaled.
    pub policy: Policy,
    /// The same where nothing can sleep after all.
    pub policy_awake: Policy,
    /// Where requests are seen that find no replica.
    pub demand: Option<DemandQueries>,
    /// The InferencePool whose endpoint picker sees them, where it is one: without a Prometheus it is
    /// asked itself.
    pub inference_pool: Option<String>,
    /// Demand that is known beforehand.
    pub schedules: Schedules,
    /// The GPUs that it shares with others.
    pub quota: Option<Quota>,
    /// What to hold when nobody tells anything.
    pub fallback: Option<Fallback>,
    /// Label of the nodes that hold the model's weights.
    pub weights_label: Option<String>,
    /// Whether engines' logs are read.
    pub engine_logs: bool,
}

/// GPUs that are shared, and by which terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Its name in the namespace.
    pub name: String,
    /// How many there are.
    pub gpus: u32,
    /// Who comes first.
    pub terms: QuotaConfig,
}

/// What to hold when nobody tells anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// For how long nothing must have been told.
    pub after: Duration,
    /// At least so many replicas.
    pub replicas: ReplicaCount,
}

impl Fallback {
    /// Where there may be no replica and nothing else is said: requests that nobody sees must not be
    /// turned away for ever, and a Prometheus that restarts is back before a fleet is started for it.
    pub const AT_NONE: Self = Self { after: Duration::from_secs(300), replicas: ReplicaCount(1) };
}

/// What is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A duration that can't be read.
    #[error("`spec.{key}`: {problem}")]
    Duration {
        /// Where.
        key: &'static str,
        /// Why, and how to write it.
        problem: String,
    },
    /// A value out of range, or two that contradict each other.
    #[error("`spec.{}` is {}; it must be {}", .0.key, .0.value, .0.allowed)]
    Key(KeyError),
    /// A query that can't be.
    #[error("`spec.engine.queries`: {0}")]
    Queries(QueriesError),
    /// The same of what tells of demand.
    #[error("`spec.demand`: {0}")]
    Demand(QueriesError),
    /// Something that tells of demand, and nobody to ask.
    #[error(
        "`spec.demand.queries` is given, and this preheat knows no Prometheus; start it with \
         --prometheus, and --prometheus-for-demand-only where engines are to be asked themselves"
    )]
    NoDemandPrometheus,
    /// Queries, and nobody to ask them.
    #[error(
        "`spec.engine.queries` is given, and this preheat asks the engines themselves; start it with \
         --prometheus, or give engine.metrics in its place"
    )]
    NoPrometheus,
    /// A schedule that can't be.
    #[error("`spec.schedules[{}]`: {}{}", .0.index, .0.mistake, hint(.0))]
    Schedule(ScheduleError),
}

impl Settings {
    /// Checks the spec of a resource of `namespace`.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn of(spec: &InferenceAutoscalerSpec, namespace: &str) -> Result<Self, SettingsError> {
        let scale_down = &spec.behavior.scale_down;
        let standby = match &spec.standby {
            Some(standby) => Some(StandbyKeys {
                price: standby.price,
                wake: time("standby.wake", &standby.wake)?,
                replicas: standby.replicas,
            }),
            None => None,
        };
        let keys = PoolKeys {
            min_replicas: spec.min_replicas,
            max_replicas: Some(spec.max_replicas),
            standby,
            max_starts: spec.max_starts,
            slo_ttft: time("slo.ttft", &spec.slo.ttft)?,
            slo_tpot: time("slo.tpot", &spec.slo.tpot)?,
            slo_quantile: spec.slo.quantile,
            max_concurrency: spec.max_concurrency,
            service_time: time("serviceTime", &spec.service_time)?,
            cold_start_p50: time("coldStart.p50", &spec.cold_start.p50)?,
            cold_start_p90: time("coldStart.p90", &spec.cold_start.p90)?,
            drain_timeout: time("drainTimeout", &spec.drain_timeout)?,
            stabilization_window: time(
                "behavior.scaleDown.stabilizationWindow",
                &scale_down.stabilization_window,
            )?,
            limit_replicas: scale_down.limit.replicas,
            limit_share: scale_down.limit.share,
            limit_period: time("behavior.scaleDown.limit.period", &scale_down.limit.period)?,
            backlog_drain_time: time("backlogDrainTime", &spec.backlog_drain_time)?,
            arrival_window: time("arrivalWindow", &spec.arrival_window)?,
            tick_interval: time("tickInterval", &spec.tick_interval)?,
            staleness: time("staleness", &spec.staleness)?,
        };
        let policy = keys.policy().map_err(SettingsError::Key)?;
        let awake = PoolKeys { standby: None, ..keys };
        let policy_awake = awake.policy().map_err(SettingsError::Key)?;
        let schedules: Vec<ScheduleSpec> = spec.schedules.iter().map(ScheduleSpec::from).collect();
        let schedules = Schedules::new(&schedules, policy.spec().replicas_max)
            .map_err(SettingsError::Schedule)?;
        let terms = QuotaConfig::of(spec.priority, spec.worth_per_gpu_hour);
        let terms = terms.map_err(SettingsError::Key)?;
        let quota = spec.quota.as_ref();
        let quota =
            quota.map(|quota| Quota { name: quota.name.clone(), gpus: quota.gpu_slots, terms });
        let may_be_none = policy.spec().replicas_min.0 == 0;
        let demand = spec.demand.as_ref().map(|demand| demand.checked(namespace)).transpose();
        let demand = demand.map_err(SettingsError::Demand)?;
        if may_be_none && demand.is_none() {
            return Err(SettingsError::Key(KeyError {
                key: "minReplicas".to_owned(),
                value: "0".to_owned(),
                allowed: "at least 1 without `demand`, which tells where requests are seen that \
                          find no replica"
                    .to_owned(),
            }));
        }
        let fallback = match &spec.fallback {
            Some(fallback) => Some(Fallback {
                after: read("fallback.after", &fallback.after)?,
                replicas: in_bounds(fallback.replicas, &policy)?,
            }),
            None => may_be_none.then_some(Fallback::AT_NONE),
        };
        Ok(Self {
            target: spec.target_ref.clone(),
            mode: spec.mode,
            pause: spec.pause,
            engine: spec.engine.clone(),
            dialect: dialect(&spec.engine)?,
            sleep: spec.engine.sleep.clone().unwrap_or_default().paths(),
            policy,
            policy_awake,
            demand,
            inference_pool: spec.demand.as_ref().and_then(|demand| demand.inference_pool.clone()),
            schedules,
            quota,
            fallback,
            weights_label: spec.cold_start.weights_node_label.clone(),
            engine_logs: spec.cold_start.engine_logs,
        })
    }
}

fn dialect(engine: &Engine) -> Result<Dialect, SettingsError> {
    let given = |key: &str, allowed: &str| {
        let (key, value, allowed) = (key.to_owned(), "given".to_owned(), allowed.to_owned());
        Err(SettingsError::Key(KeyError { key, value, allowed }))
    };
    let by_type = engine.type_ != EngineType::Auto;
    match (&engine.metrics, &engine.queries) {
        (None, None) => Ok(engine.type_.dialect()),
        (Some(_), Some(_)) => given("engine.queries", "left out where engine.metrics is there"),
        (Some(_), None) if by_type => {
            given("engine.metrics", "left out where engine.type says whose they are")
        }
        (None, Some(_)) if by_type => {
            given("engine.queries", "left out where engine.type says whose they are")
        }
        (Some(metrics), None) => named(metrics),
        (None, Some(queries)) => {
            let queries = MetricQueries::try_from(MetricQueriesSpec::from(queries));
            let queries = queries.map_err(SettingsError::Queries)?;
            Ok(Dialect::Queries(Box::new(queries)))
        }
    }
}

fn named(metrics: &Metrics) -> Result<Dialect, SettingsError> {
    let names = metrics.names();
    match names.mistake() {
        Some(key) => Err(SettingsError::Key(KeyError {
            key: format!("engine.metrics.{key}"),
            value: "no metric's name".to_owned(),
            allowed: "a metric's name".to_owned(),
        })),
        None => Ok(Dialect::Custom(Box::new(names))),
    }
}

fn hint(error: &ScheduleError) -> String {
    error.mistake.hint().map_or_else(String::new, |hint| format!(" ({hint})"))
}

fn time(key: &'static str, text: &Option<String>) -> Result<Option<Duration>, SettingsError> {
    text.as_deref().map(|text| read(key, text)).transpose()
}

fn read(key: &'static str, text: &str) -> Result<Duration, SettingsError> {
    parse_duration(text).map_err(|problem| SettingsError::Duration { key, problem })
}

fn in_bounds(replicas: u32, policy: &Policy) -> Result<ReplicaCount, SettingsError> {
    let max = policy.spec().replicas_max;
    if replicas <= max.0 {
        return Ok(ReplicaCount(replicas));
    }
    Err(SettingsError::Key(KeyError {
        key: "fallback.replicas".to_owned(),
        value: replicas.to_string(),
        allowed: format!("at most maxReplicas, which is {max}"),
    }))
}
