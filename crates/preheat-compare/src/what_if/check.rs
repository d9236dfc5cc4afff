//! From what is asked to runs: alternatives to how the pool is configured, each with whatever is not
//! said as it is.
//!
//! **Invariant:** what can't be run is refused before the past is read.

use std::time::Duration;

use preheat_core::{
    Concurrency, Observation, PolicySpec, Probability, ReplicaCount, ScheduledDemand, Standby,
};
use preheat_engine::EngineProfile;
use preheat_sim::peers;
use preheat_sim::preheat_policy::PREHEAT;
use preheat_traffic::Trace;

use super::request::{Alternative, WhatIfChoices, WhatIfRequest, WhatIfSettings};
use crate::pool::{PROFILE_DEFAULT, PoolError, PoolSetup, profiles};
use crate::setting::{Setting, is_peer};

/// Hours of a past: a day of minutes is what a chart shows, and of ticks what a second or two reads.
const LAST_MAX: Duration = Duration::from_secs(24 * 3600);
/// Alternatives beside what is configured: more lines no chart tells apart.
const ALTERNATIVES_MAX: usize = 4;
/// Replicas of an alternative, or the pool's own bound where that is more.
const REPLICAS_MAX: u32 = 200;
/// Requests of a past: a second or two of one core for each alternative.
pub(super) const REQUESTS_MAX: f64 = 300_000.0;
/// Time to wake where an alternative has standby, the pool has none, and nobody says.
const WAKE_DEFAULT: Duration = Duration::from_secs(5);
/// Longest start: longer ones are no starts that anybody waits for.
const COLD_START_MAX: Duration = Duration::from_secs(4 * 3600);
/// KV caches are told in whole blocks of so many tokens.
const BLOCK_TOKENS: u64 = 16;
/// Seed of what is drawn, as of `preheat backtest`.
const SEED: u64 = 1;

/// How a pool is configured, as far as its journal tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    /// Its name.
    pub pool: String,
    /// What it was last decided by.
    pub spec: PolicySpec,
    /// Slots of a replica, as the engines tell.
    pub max_num_seqs: Option<Concurrency>,
    /// Tokens in a KV cache, as the engines tell.
    pub kv_capacity_tokens: Option<u64>,
}

/// Why something can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WhatIfError {
    /// What is wrong, with its place.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl WhatIfError {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// What was asked, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct WhatIf {
    pub(super) pool: String,
    pub(super) configured: Case,
    pub(super) alternatives: Vec<Case>,
    /// How the engine was chosen, in words.
    pub(super) engine_note: String,
    /// How long before its end the past begins.
    pub last: Duration,
    /// When it ends, in seconds since the world's origin.
    pub until: Option<Duration>,
}

/// One run's pool and who scales it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) setup: PoolSetup,
    pub(super) setting: Setting,
    /// Whether somebody said how long a start takes: then nothing that was seen overrides it.
    pub(super) cold_start_is_given: bool,
}

impl Configured {
    /// From the policy that the journal ends with, and what was seen, newest first: a pool without a
    /// ready replica tells of no engine.
    pub fn of<'a>(
        pool: &str,
        spec: PolicySpec,
        seen: impl IntoIterator<Item = &'a Observation>,
    ) -> Self {
        let (mut max_num_seqs, mut kv_capacity_tokens) = (None, None);
        for observation in seen {
            let replicas = || observation.replicas.iter();
            max_num_seqs = max_num_seqs.or(replicas().filter_map(|it| it.max_num_seqs).max());
            kv_capacity_tokens =
                kv_capacity_tokens.or(replicas().filter_map(|it| it.kv_capacity_tokens).max());
            if max_num_seqs.is_some() && kv_capacity_tokens.is_some() {
                break;
            }
        }
        Self { pool: pool.to_owned(), spec, max_num_seqs, kv_capacity_tokens }
    }

    /// What can be asked of it.
    pub fn choices(&self) -> WhatIfChoices {
        let case = self.as_configured();
        let peers = peers::names().map(str::to_owned);
        WhatIfChoices {
            pool: self.pool.clone(),
            configured: case.settings(),
            policies: std::iter::once(PREHEAT.to_owned()).chain(peers).collect(),
            profiles: profiles().into_iter().map(str::to_owned).collect(),
            profile: case.setup.profile,
            max_num_seqs: self.max_num_seqs.map(Concurrency::get),
            last_s_max: LAST_MAX.as_secs_f64(),
            alternatives_max: ALTERNATIVES_MAX,
            replicas_max: self.replicas_max(),
        }
    }

    /// A run of it with nothing changed.
    pub(super) fn as_configured(&self) -> Case {
        self.case(self.engine(None, None).0)
    }

    fn replicas_max(&self) -> u32 {
        self.spec.replicas_max.0.max(REPLICAS_MAX)
    }

    fn case(&self, (profile, max_num_seqs): Engine) -> Case {
        let setup = PoolSetup {
            profile,
            max_num_seqs,
            spec: self.spec.clone(),
            cold_start: self.spec.cold_start_prior.p50,
            replicas_initial: None,
            scheduled: Vec::new(),
            seed: SEED,
        };
        Case { setup, setting: Setting::defaults(PREHEAT), cold_start_is_given: false }
    }

    /// The engine that is taken, and why, in words.
    fn engine(&self, profile: Option<&str>, slots: Option<Concurrency>) -> (Engine, String) {
        let slots = slots.or(self.max_num_seqs).or(self.spec.concurrency_cap);
        if let Some(profile) = profile {
            let note = format!("engine: {profile}, as asked");
            return ((profile.to_owned(), slots), note);
        }
        let default = EngineProfile::find(PROFILE_DEFAULT);
        let candidates = default.into_iter().chain(EngineProfile::all());
        let mut matching = candidates.filter(|profile| {
            let told = self.kv_capacity_tokens.map(|tokens| tokens / BLOCK_TOKENS);
            told == Some(profile.kv_capacity_tokens / BLOCK_TOKENS)
        });
        let (name, why) = match (matching.next(), self.kv_capacity_tokens) {
            (Some(profile), _) => (profile.name, "whose KV cache is as large as its engines tell"),
            (None, Some(_)) => {
                (PROFILE_DEFAULT, "though no profile's KV cache is as large as its engines tell")
            }
            (None, None) => (PROFILE_DEFAULT, "as the journal does not tell which it is"),
        };
        let note = format!("engine: taken to be {name}, {why}; another one is slower or faster");
        ((name.to_owned(), slots), note)
    }
}

/// A profile's name, and slots where they are known.
type Engine = (String, Option<Concurrency>);

impl WhatIfRequest {
    /// Checks what is asked of a pool that is configured like this.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, configured: &Configured) -> Result<WhatIf, WhatIfError> {
        let last = seconds("last_s", self.last_s)?;
        if last > LAST_MAX {
            let message = format!("last_s is {}", self.last_s);
            let most = LAST_MAX.as_secs();
            return Err(WhatIfError::new(
                message,
                format!("at most {most} are replayed here; `preheat backtest` replays more"),
            ));
        }
        let until = self.until_s.map(|until| seconds("until_s", until)).transpose()?;
        let count = self.alternatives.len();
        if count == 0 || count > ALTERNATIVES_MAX {
            let message = format!("there are {count} alternatives");
            return Err(WhatIfError::new(message, format!("ask for 1 to {ALTERNATIVES_MAX}")));
        }
        let slots = self.max_num_seqs.map(|slots| {
            Concurrency::new(slots)
                .ok_or_else(|| WhatIfError::new("max_num_seqs is 0", "give at least 1"))
        });
        let (engine, engine_note) = configured.engine(self.profile.as_deref(), slots.transpose()?);
        let case = configured.case(engine);
        case.check("what is configured")?;
        let alternatives = (1..).zip(&self.alternatives).map(|(number, alternative)| {
            let case = alternative.apply(&case, configured.replicas_max())?;
            case.check(&format!("alternative {number}"))?;
            Ok(case)
        });
        let alternatives = alternatives.collect::<Result<Vec<_>, WhatIfError>>()?;
        let pool = configured.pool.clone();
        Ok(WhatIf { pool, configured: case, alternatives, engine_note, last, until })
    }
}

impl Alternative {
    fn apply(&self, configured: &Case, replicas_limit: u32) -> Result<Case, WhatIfError> {
        let mut case = configured.clone();
        let policy = self.policy.clone().unwrap_or_else(|| PREHEAT.to_owned());
        case.setting = Setting { policy, knobs: self.knobs.clone() };
        let spec = &mut case.setup.spec;
        if let Some(min) = self.replicas_min {
            spec.replicas_min = ReplicaCount(min);
        }
        if let Some(max) = self.replicas_max {
            if max > replicas_limit {
                let message = format!("replicas_max is {max}");
                return Err(WhatIfError::new(
                    message,
                    format!("at most {replicas_limit} are simulated here"),
                ));
            }
            spec.replicas_max = ReplicaCount(max);
        }
        if let Some(ttft) = self.slo_ttft_s {
            spec.slo.threshold = seconds("slo_ttft_s", ttft)?;
        }
        if let Some(quantile) = self.slo_quantile {
            spec.slo.quantile = ratio("slo_quantile", quantile, "0.99 for P99")?;
        }
        if let Some(price) = self.standby_price {
            let price =
                ratio("standby_price", price, "0.25 for a quarter of an awake one's price")?;
            let configured = spec.standby;
            let wake_prior = configured.map_or(WAKE_DEFAULT, |standby| standby.wake_prior);
            let replicas = configured.and_then(|standby| standby.replicas);
            spec.standby = Some(Standby { price, wake_prior, replicas });
        }
        if self.no_standby {
            if self.standby_price.is_some() {
                let message = "standby_price is given beside no_standby";
                return Err(WhatIfError::new(message, "leave one of them out"));
            }
            spec.standby = None;
        }
        // Fewer replicas than may sleep may all sleep.
        if let Some(standby) = &mut spec.standby {
            let max = spec.replicas_max;
            standby.replicas = standby.replicas.map(|replicas| replicas.min(max));
        }
        if let Some(cold_start) = self.cold_start_s {
            let cold_start = seconds("cold_start_s", cold_start)?;
            if cold_start > COLD_START_MAX {
                let message = format!("cold_start_s is {}", cold_start.as_secs());
                let most = COLD_START_MAX.as_secs();
                return Err(WhatIfError::new(
                    message,
                    format!("at most {most} are simulated here"),
                ));
            }
            case.setup = case.setup.with_cold_start(cold_start);
            case.cold_start_is_given = true;
        }
        Ok(case)
    }
}

impl Case {
    /// Whether it could be run, whatever came.
    fn check(&self, whose: &str) -> Result<(), WhatIfError> {
        let workload = self.setup.workload(String::new(), Trace::default()).map_err(|error| {
            let hint = match &error {
                PoolError::Profile { .. } => None,
                PoolError::Policy(_) | PoolError::Scheduled { .. } => {
                    Some("what an alternative does not say is as configured".to_owned())
                }
            };
            WhatIfError { message: format!("{whose}: {error}"), hint }
        })?;
        let policy = &self.setting.policy;
        if !self.setting.is_preheat() && !is_peer(policy) {
            let message = format!("{whose}: {policy} is told part of the future");
            return Err(WhatIfError::new(message, "ask for a policy that somebody could run"));
        }
        workload.check(&self.setting).map_err(|error| {
            WhatIfError::new(
                format!("{whose}: {error}"),
                "docs/policies/peers.md says what each policy does",
            )
        })
    }

    pub(super) fn settings(&self) -> WhatIfSettings {
        let spec = &self.setup.spec;
        WhatIfSettings {
            policy: self.setting.policy.clone(),
            knobs: self.setting.knobs.clone(),
            replicas_min: spec.replicas_min.0,
            replicas_max: spec.replicas_max.0,
            slo_ttft_s: spec.slo.threshold.as_secs_f64(),
            slo_quantile: spec.slo.quantile.get(),
            cold_start_s: self.setup.cold_start.as_secs_f64(),
            standby_price: spec.standby.map(|standby| standby.price.get()),
        }
    }

    /// On a past: with the cold start that was seen unless one is given, and what was announced as far
    /// as the bounds allow.
    pub(super) fn on_past(&self, seen: Option<Duration>, announced: &[ScheduledDemand]) -> Self {
        let mut case = self.clone();
        if let Some(seen) = seen.filter(|_| !self.cold_start_is_given) {
            case.setup = case.setup.with_cold_start(seen);
        }
        case.setup = case.setup.with_announced(announced);
        case
    }
}

fn seconds(key: &str, value: f64) -> Result<Duration, WhatIfError> {
    let found = Duration::try_from_secs_f64(value).ok();
    found.ok_or_else(|| WhatIfError::new(format!("{key} is {value}"), "give seconds, at least 0"))
}

fn ratio(key: &str, value: f64, example: &str) -> Result<Probability, WhatIfError> {
    let found = Probability::new(value);
    found.ok_or_else(|| {
        WhatIfError::new(format!("{key} is {value}, no ratio"), format!("give {example}"))
    })
}
