//! What an emulated engine is told at its start. Flags and files are the binary's matter.
//!
//! **Invariant:** [`EmulatorOptions::check`] passes before a port is opened or a line is logged.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use preheat_engine::{ConfigError, EngineConfig, EngineProfile, StartupProfile};

use crate::step_times::StepTimes;

/// Settings of one emulated engine. The model's clock comes beside them, see [`crate::run`].
#[derive(Clone, Debug)]
pub struct EmulatorOptions {
    /// Where to serve. Port 0 takes a free one; the log tells which.
    pub listen: SocketAddr,
    /// Names the model is served by. Metrics carry the first one only.
    pub model_names: Vec<String>,
    /// The engine and its limits.
    pub engine: EngineConfig,
    /// GPU memory of the weights, for the log.
    pub weights_bytes: u64,
    /// How long its start takes.
    pub startup: StartupProfile,
    /// Draws this start from `startup`.
    pub startup_seed: u64,
    /// How long a shutdown waits for requests inside; zero aborts them. vLLM's
    /// `--shutdown-timeout`.
    pub shutdown_timeout: Duration,
    /// Whether the sleep endpoints exist. vLLM's `VLLM_SERVER_DEV_MODE`.
    pub dev_mode: bool,
    /// Requests inside, running or waiting, from which on new ones get a 503. vLLM's
    /// `--max-num-queued-reqs`.
    pub max_num_queued_reqs: Option<u32>,
    /// Where answers end that are not told to ignore the end of sequence.
    pub output_length: OutputLength,
    /// Something that goes wrong, for tests of whoever watches this engine.
    pub fault: Option<Fault>,
}

/// Where the emulated model ends an answer. `ignore_eos` always makes it `max_tokens` long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputLength {
    /// At `max_tokens`, with finish reason `length`. Load generators rely on it.
    MaxTokens,
    /// After so many tokens if `max_tokens` allows, with finish reason `stop`.
    UpTo(u32),
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The start never ends.
    NeverReady,
    /// The process ends with an error before it serves.
    StartFails,
    /// The process dies when it has taken this many completion requests and one more comes.
    CrashAfter(u32),
    /// `/metrics` never answers.
    MetricsHang,
    /// `/metrics` answers with something else.
    MetricsGarbage,
    /// `/metrics` answers with tens of megabytes.
    MetricsHuge,
    /// From the answer after so many on, `/metrics` has other names for what runs and what waits, as
    /// after an upgrade.
    MetricsRenamed(u32),
}

/// A fault's name that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown fault {0:?}: it must be never-ready, start-fails, crash-after=N, metrics-hang, \
     metrics-garbage, metrics-huge or metrics-renamed=N"
)]
pub struct FaultError(String);

/// Why an emulated engine can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There is nothing to serve.
    #[error("model_names is empty; it must hold at least one name")]
    NoModelName,
    /// A profile that doesn't exist.
    #[error("unknown engine profile {name:?}: it must be one of {known}")]
    UnknownProfile {
        /// As asked for.
        name: String,
        /// All there are.
        known: String,
    },
    /// One long request would not fit, so vLLM would not start.
    #[error(
        "max_model_len is {max_model_len}, but the KV cache holds {kv_capacity_tokens} tokens; \
         one request of full length must fit"
    )]
    ContextBeyondKv {
        /// As set.
        max_model_len: u32,
        /// As set, in whole blocks.
        kv_capacity_tokens: u64,
    },
    /// No request would ever be taken.
    #[error("max_num_queued_reqs is 0; it must be at least 1")]
    NoQueuedRequests,
    /// Step times that no engine has.
    #[error(
        "step times are {:?}, {:?} per sequence and {:?} per prompt token; the first must be above \
         zero, none above 200 ms, and the last no longer than the second, for a decode computes a \
         token too",
        .0.base, .0.per_seq, .0.per_prompt_token
    )]
    StepTimes(StepTimes),
    /// The engine's own limits.
    #[error(transparent)]
    Engine(#[from] ConfigError),
}

impl EmulatorOptions {
    /// The stock settings for an engine profile: aborts at shutdown, no dev mode, no limit on the
    /// queue, no fault, and `startup` with seed 0.
    pub fn for_profile(
        listen: SocketAddr,
        model_name: impl Into<String>,
        profile: &EngineProfile,
        startup: StartupProfile,
    ) -> Self {
        let mut engine = EngineConfig::for_profile(profile);
        let kv_tokens = u32::try_from(whole_blocks(&engine)).unwrap_or(u32::MAX);
        engine.max_model_len = engine.max_model_len.min(kv_tokens);
        Self {
            listen,
            model_names: vec![model_name.into()],
            engine,
            weights_bytes: profile.weights_bytes,
            startup,
            startup_seed: 0,
            shutdown_timeout: Duration::ZERO,
            dev_mode: false,
            max_num_queued_reqs: None,
            output_length: OutputLength::MaxTokens,
            fault: None,
        }
    }

    /// Finds fault with settings that contradict each other.
    ///
    /// # Errors
    /// Names the setting, its value and what is allowed.
    pub fn check(&self) -> Result<(), OptionsError> {
        if self.model_names.is_empty() {
            return Err(OptionsError::NoModelName);
        }
        if self.max_num_queued_reqs == Some(0) {
            return Err(OptionsError::NoQueuedRequests);
        }
        self.engine.check()?;
        let kv_capacity_tokens = whole_blocks(&self.engine);
        let max_model_len = self.engine.max_model_len;
        if u64::from(max_model_len) > kv_capacity_tokens {
            return Err(OptionsError::ContextBeyondKv { max_model_len, kv_capacity_tokens });
        }
        Ok(())
    }
}

/// The engine profile of this name.
///
/// # Errors
/// Lists the names there are.
pub fn find_profile(name: &str) -> Result<&'static EngineProfile, OptionsError> {
    EngineProfile::find(name).ok_or_else(|| {
        let known: Vec<&str> = EngineProfile::all().iter().map(|profile| profile.name).collect();
        OptionsError::UnknownProfile { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Tokens that fit the KV cache, in whole blocks.
pub(crate) fn whole_blocks(engine: &EngineConfig) -> u64 {
    let block_size = u64::from(engine.block_size);
    engine.kv_capacity_tokens / block_size * block_size
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let unknown = || FaultError(text.to_owned());
        if let Some(count) = text.strip_prefix("crash-after=") {
            return count.parse().map(Self::CrashAfter).map_err(|_| unknown());
        }
        if let Some(count) = text.strip_prefix("metrics-renamed=") {
            return count.parse().map(Self::MetricsRenamed).map_err(|_| unknown());
        }
        match text {
            "never-ready" => Ok(Self::NeverReady),
            "start-fails" => Ok(Self::StartFails),
            "metrics-hang" => Ok(Self::MetricsHang),
            "metrics-garbage" => Ok(Self::MetricsGarbage),
            "metrics-huge" => Ok(Self::MetricsHuge),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> EmulatorOptions {
        let profile = &EngineProfile::all()[0];
        let startup = StartupProfile::fixed(Duration::ZERO);
        EmulatorOptions::for_profile(([127, 0, 0, 1], 0).into(), "tiny", profile, startup)
    }

    #[test]
    fn every_profile_makes_good_options() {
        for profile in EngineProfile::all() {
            let startup = StartupProfile::fixed(Duration::ZERO);
            let listen = ([127, 0, 0, 1], 0).into();
            let options = EmulatorOptions::for_profile(listen, "tiny", profile, startup);
            assert_eq!(options.check(), Ok(()), "{}", profile.name);
            assert_eq!(find_profile(profile.name), Ok(profile));
        }
        assert!(find_profile("no-such").is_err());
    }

    #[test]
    fn contradictions_are_errors() {
        let mut nameless = options();
        nameless.model_names.clear();
        assert_eq!(nameless.check(), Err(OptionsError::NoModelName));
        let mut closed = options();
        closed.max_num_queued_reqs = Some(0);
        assert_eq!(closed.check(), Err(OptionsError::NoQueuedRequests));
        let mut long = options();
        long.engine.kv_capacity_tokens = 1000;
        long.engine.max_model_len = 1000;
        let expected =
            OptionsError::ContextBeyondKv { max_model_len: 1000, kv_capacity_tokens: 992 };
        assert_eq!(long.check(), Err(expected));
    }

    #[test]
    fn faults_have_names() {
        assert_eq!("never-ready".parse(), Ok(Fault::NeverReady));
        assert_eq!("crash-after=3".parse(), Ok(Fault::CrashAfter(3)));
        assert_eq!("metrics-renamed=0".parse(), Ok(Fault::MetricsRenamed(0)));
        assert!("crash-after=x".parse::<Fault>().is_err());
        assert!("".parse::<Fault>().is_err());
    }
}
