//! How one replica of a pool is started, asked whether it is ready, put to sleep, and stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::error::{ConfigError, Problem, Source};
use super::template::Template;
use super::values::{DurationText, at};
use super::wire::{ColdStartWire, EmulatedWire, EngineWire, ReadinessWire, SleepWire};
use crate::dialect::{Dialect, DialectName, MetricNames};

/// How a pool's engines are run.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// What to start.
    pub launch: Launch,
    /// Where replicas may listen.
    pub ports: PortRange,
    /// GPUs given to each replica, where GPUs are handed out at all.
    pub gpus_per_replica: u32,
    /// Environment on top of preheat's own; may hold placeholders.
    pub env: BTreeMap<String, Template>,
    /// How readiness is told.
    pub readiness: ReadinessConfig,
    /// Where the engine's metrics are.
    pub metrics_path: String,
    /// How they are read.
    pub dialect: Dialect,
    /// How it sleeps, when it can. The emulated engine can.
    pub sleep: Option<SleepConfig>,
    /// Time between SIGTERM and SIGKILL. For vLLM: its own `--shutdown-timeout` at least.
    pub shutdown_timeout: Duration,
}

/// What to start.
#[derive(Clone, Debug, PartialEq)]
pub enum Launch {
    /// A command of the user's: program and arguments, not empty.
    Command(Vec<Template>),
    /// preheat's own emulated engine.
    Emulated(EmulatedEngine),
}

/// Settings of the emulated engine; absent ones are the profile's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmulatedEngine {
    /// Name of an engine profile.
    pub profile: String,
    /// Requests in the batch at most.
    pub max_num_seqs: Option<u32>,
    /// Tokens in a step at most.
    pub max_num_batched_tokens: Option<u32>,
    /// Tokens that fit the KV cache.
    pub kv_capacity_tokens: Option<u64>,
    /// Tokens of a request at most.
    pub max_model_len: Option<u32>,
    /// How long it takes to start; what the pool believes of it, unless given.
    pub cold_start: EmulatedColdStart,
    /// Of the draws of cold starts and of outputs; each replica adds its number.
    pub seed: u64,
}

/// Distribution of an emulated engine's cold start, in model time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmulatedColdStart {
    /// Median.
    pub p50: Duration,
    /// 90th percentile.
    pub p90: Duration,
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

/// How readiness is told: `path` answers 200 and lists the model, then one token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessConfig {
    /// Path that lists models. `/health` is no substitute: it only says that a process is alive.
    pub path: String,
    /// Whether a completion of one token must succeed as well.
    pub canary: bool,
    /// Model name that the engine must list and the canary asks for; the pool's first, unless given.
    pub canary_model: Option<String>,
    /// A probe that takes longer has failed. Wall time.
    pub timeout: Duration,
}

/// Paths of an engine's sleep mode, as vLLM's developer mode has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SleepConfig {
    /// `POST` puts it to sleep.
    pub sleep_path: String,
    /// `POST` wakes it.
    pub wake_path: String,
    /// `GET` says `{"is_sleeping": …}`.
    pub state_path: String,
}

impl PortRange {
    /// How many ports.
    pub fn count(self) -> u32 {
        u32::from(self.last - self.first) + 1
    }

    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // Ports below 1024 need privileges that engines should not have.
        (1024 <= first && first <= last).then_some(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The profile of an emulated engine that says nothing of it.
const PROFILE_DEFAULT: &str = "qwen-27b-fp8-h100";

impl EngineConfig {
    pub(super) fn resolve(
        wire: EngineWire,
        pool: &str,
        cold_start: EmulatedColdStart,
        source: &Source<'_>,
    ) -> Result<Self, ConfigError> {
        let ports = PortRange::parse(&wire.ports.value).ok_or_else(|| {
            source.error(Some(wire.ports.referenced), Problem::Ports(wire.ports.value.clone()))
        })?;
        let mut env = BTreeMap::new();
        for (name, value) in wire.env {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            // No place here and below: the line would show the value, which may be a secret.
            source.require(is_name, None, || {
                let allowed = "a name without `=`";
                Problem::out_of_range("a name in engine.env", format!("`{name}`"), allowed)
            })?;
            let key = format!("engine.env.{name}");
            let parsed = Template::parse(&value.value)
                .map_err(|name| source.error(None, Problem::PlaceholderUnknown { key, name }))?;
            env.insert(name, parsed);
        }
        let launch = resolve_launch(wire.command, wire.emulated, &env, pool, cold_start, source)?;
        let gpus_per_replica = wire.gpus_per_replica.map_or(1, |gpus| gpus.value);
        // The emulated engine can always sleep; of others, nobody knows unless told.
        let is_emulated = matches!(launch, Launch::Emulated(_));
        let sleep = wire.sleep.or_else(|| is_emulated.then(SleepWire::default));
        Ok(Self {
            launch,
            ports,
            gpus_per_replica,
            env,
            readiness: ReadinessConfig::resolve(wire.readiness, source)?,
            dialect: dialect(wire.dialect, wire.metrics, source)?,
            metrics_path: path(wire.metrics_path, "engine.metricsPath", "/metrics", source)?,
            sleep: sleep.map(|sleep| SleepConfig::resolve(sleep, source)).transpose()?,
            shutdown_timeout: duration(&wire.shutdown_timeout, Duration::from_secs(30)),
        })
    }
}

fn resolve_launch(
    command: Option<Spanned<Vec<Spanned<String>>>>,
    emulated: Option<Spanned<EmulatedWire>>,
    env: &BTreeMap<String, Template>,
    pool: &str,
    cold_start: EmulatedColdStart,
    source: &Source<'_>,
) -> Result<Launch, ConfigError> {
    let Some(command) = command else {
        let wire = emulated.map(|spanned| spanned.value).unwrap_or_default();
        return EmulatedEngine::resolve(wire, cold_start, source).map(Launch::Emulated);
    };
    let command_at = Some(command.referenced);
    source
        .require(emulated.is_none(), command_at, || Problem::CommandAndEmulated(pool.to_owned()))?;
    let mut words = Vec::with_capacity(command.value.len());
    for word in command.value {
        let parsed = Template::parse(&word.value).map_err(|name| {
            let key = "engine.command".to_owned();
            source.error(Some(word.referenced), Problem::PlaceholderUnknown { key, name })
        })?;
        words.push(parsed);
    }
    let named = words.first().is_some_and(|program| !program.as_str().trim().is_empty());
    source.require(named, command_at, || Problem::CommandEmpty)?;
    let says_port = words.iter().chain(env.values()).any(|word| word.names().contains("port"));
    source.require(says_port, command_at, || Problem::CommandWithoutPort)?;
    Ok(Launch::Command(words))
}

impl EmulatedEngine {
    fn resolve(
        wire: EmulatedWire,
        believed: EmulatedColdStart,
        source: &Source<'_>,
    ) -> Result<Self, ConfigError> {
        let positive = [
            ("engine.emulated.maxNumSeqs", &wire.max_num_seqs),
            ("engine.emulated.maxNumBatchedTokens", &wire.max_num_batched_tokens),
            ("engine.emulated.maxModelLen", &wire.max_model_len),
        ];
        for (key, value) in positive {
            let zero = value.as_ref().is_some_and(|spanned| spanned.value == 0);
            source.require(!zero, at(value), || Problem::out_of_range(key, 0, "at least 1"))?;
        }
        let ColdStartWire { p50, p90 } = wire.cold_start;
        let (p90_at, given) = (at(&p90).or(at(&p50)), p50.is_some() || p90.is_some());
        let p50 = p50.map(|d| d.value.0);
        let p90 = p90.map(|d| d.value.0);
        // One figure alone is both: a start that always takes equally long.
        let cold_start = match (p50.or(p90), p90.or(p50)) {
            (Some(p50), Some(p90)) if given => EmulatedColdStart { p50, p90 },
            (Some(_) | None, Some(_) | None) => believed,
        };
        source.require(cold_start.p50 <= cold_start.p90, p90_at, || {
            let value = super::values::duration_text(cold_start.p90);
            Problem::out_of_range("engine.emulated.coldStart.p90", value, "at least its p50")
        })?;
        Ok(Self {
            profile: wire.profile.map_or_else(|| PROFILE_DEFAULT.to_owned(), |name| name.value),
            max_num_seqs: wire.max_num_seqs.map(|n| n.value),
            max_num_batched_tokens: wire.max_num_batched_tokens.map(|n| n.value),
            kv_capacity_tokens: wire.kv_capacity_tokens.map(|n| n.value),
            max_model_len: wire.max_model_len.map(|n| n.value),
            cold_start,
            seed: wire.seed.unwrap_or(0),
        })
    }
}

impl ReadinessConfig {
    fn resolve(wire: ReadinessWire, source: &Source<'_>) -> Result<Self, ConfigError> {
        let timeout = duration(&wire.timeout, Duration::from_secs(5));
        source.require(timeout >= Duration::from_millis(10), at(&wire.timeout), || {
            let value = super::values::duration_text(timeout);
            Problem::out_of_range("engine.readiness.timeout", value, "at least 10ms")
        })?;
        Ok(Self {
            path: path(wire.path, "engine.readiness.path", "/v1/models", source)?,
            canary: wire.canary.unwrap_or(true),
            canary_model: wire.canary_model,
            timeout,
        })
    }
}

impl SleepConfig {
    fn resolve(wire: SleepWire, source: &Source<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            sleep_path: path(wire.sleep_path, "engine.sleep.sleepPath", "/sleep?level=1", source)?,
            wake_path: path(wire.wake_path, "engine.sleep.wakePath", "/wake_up", source)?,
            state_path: path(wire.state_path, "engine.sleep.statePath", "/is_sleeping", source)?,
        })
    }
}

fn path(
    value: Option<Spanned<String>>,
    key: &str,
    default: &str,
    source: &Source<'_>,
) -> Result<String, ConfigError> {
    let Some(Spanned { value, referenced, .. }) = value else { return Ok(default.to_owned()) };
    let printable = value.bytes().all(|b| b.is_ascii_graphic());
    source.require(value.starts_with('/') && printable, Some(referenced), || {
        Problem::out_of_range(key, format!("`{value}`"), "a path that starts with `/`")
    })?;
    Ok(value)
}

fn dialect(
    name: Option<Spanned<String>>,
    metrics: Option<Spanned<MetricNames>>,
    source: &Source<'_>,
) -> Result<Dialect, ConfigError> {
    if let Some(names) = metrics {
        let place = Some(names.referenced);
        let name_at = at(&name).or(place);
        source.require(name.is_none(), name_at, || Problem::DialectAndMetrics)?;
        if let Some(key) = names.value.mistake() {
            let all = names.value.all();
            let given = all.iter().find(|(of, _)| *of == key).and_then(|(_, name)| *name);
            let value = given.map_or_else(|| "not given".to_owned(), |name| format!("`{name}`"));
            let allowed = "the name of a metric, as in `my_engine_requests_running`";
            let key = format!("engine.metrics.{key}");
            return Err(source.error(place, Problem::out_of_range(key, value, allowed)));
        }
        return Ok(Dialect::Custom(Box::new(names.value)));
    }
    let Some(Spanned { value, referenced, .. }) = name else { return Ok(Dialect::Auto) };
    if value == "auto" {
        return Ok(Dialect::Auto);
    }
    DialectName::of(&value).map(Dialect::Known).ok_or_else(|| {
        let names = DialectName::ALL.map(DialectName::name).join(", ");
        let allowed = format!("one of auto, {names}");
        let problem = Problem::out_of_range("engine.dialect", format!("`{value}`"), allowed);
        source.error(Some(referenced), problem)
    })
}

fn duration(value: &Option<Spanned<DurationText>>, default: Duration) -> Duration {
    value.as_ref().map_or(default, |spanned| spanned.value.0)
}
