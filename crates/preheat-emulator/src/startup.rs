//! The start of an emulated engine: phases that take model time, and vLLM's log lines.
//!
//! **Invariant:** nothing here opens a port or serves; it says when to.

use std::time::Duration;

use preheat_core::{Instant, ReplicaPhase};
use preheat_engine::StartupOutcome;
use preheat_runtime::clock::Clock;

use crate::log::Log;
use crate::options::{EmulatorOptions, Fault, whole_blocks};

/// How a start went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// The engine can serve.
    Ready,
    /// It fails, as asked for.
    Failed,
}

/// Share of warming that profiling and compilation take; the rest is graph capture.
const PROFILING_SHARE: f64 = 0.6;

/// GPU memory that captured graphs take, for the log.
const GRAPHS_GIB: f64 = 0.65;

/// Passes the phases of a start; never returns from one that gets stuck.
pub(crate) async fn start(options: &EmulatorOptions, clock: &Clock, log: &Log) -> Started {
    let plan = options.startup.draw(options.startup_seed);
    let mut init = Init { options, clock, log, began_at: clock.now() };
    for (phase, duration) in plan.phases {
        match phase {
            ReplicaPhase::Pulling => init.pull(duration).await,
            ReplicaPhase::Loading => init.load(duration).await,
            ReplicaPhase::Warming => {
                match options.fault {
                    Some(Fault::NeverReady) => std::future::pending().await,
                    Some(Fault::StartFails) => return Started::Failed,
                    Some(_) | None => {}
                }
                init.warm(duration).await;
            }
            // The engine's own start has no other phases.
            ReplicaPhase::Pending
            | ReplicaPhase::Provisioning
            | ReplicaPhase::Ready
            | ReplicaPhase::Draining
            | ReplicaPhase::Stopped
            | ReplicaPhase::Standby(_)
            | ReplicaPhase::Waking(_) => {}
        }
    }
    match plan.outcome {
        StartupOutcome::Ready => Started::Ready,
        StartupOutcome::Never { .. } => std::future::pending().await,
    }
}

struct Init<'a> {
    options: &'a EmulatorOptions,
    clock: &'a Clock,
    log: &'a Log,
    /// Start of loading, from which the engine counts its own start.
    began_at: Instant,
}

impl Init<'_> {
    /// A container runtime would say this; vLLM itself never sees it.
    async fn pull(&mut self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        self.log.line("Pulling image vllm/vllm-openai:v0.32.0 ...");
        self.clock.sleep(duration).await;
        self.log.line(&format!("Pulled image in {:.3} s", duration.as_secs_f64()));
    }

    async fn load(&mut self, duration: Duration) {
        self.began_at = self.clock.now();
        let name = self.options.model_names.first().map_or("", String::as_str);
        self.log.line("Initializing a V1 LLM engine (v0.32.0, emulated by preheat)");
        self.log.line(&format!("Starting to load model {name}..."));
        self.clock.sleep(duration).await;
        let secs = duration.as_secs_f64();
        let gib = gib(self.options.weights_bytes);
        self.log.line(&format!("Loading weights took {secs:.2} seconds"));
        self.log.line(&format!("Model loading took {gib:.4} GiB memory and {secs:.6} seconds"));
    }

    async fn warm(&mut self, duration: Duration) {
        let profiling = duration.mul_f64(PROFILING_SHARE);
        self.clock.sleep(profiling).await;
        self.log_kv_cache();
        let capture = duration.saturating_sub(profiling);
        self.clock.sleep(capture).await;
        self.log.line(&format!(
            "Graph capturing finished in {:.0} secs, took {GRAPHS_GIB:.2} GiB",
            capture.as_secs_f64(),
        ));
        self.log.line(&format!(
            "init engine (profile, create kv cache, warmup model) took {:.2} seconds",
            duration.as_secs_f64(),
        ));
    }

    fn log_kv_cache(&self) {
        let kv_tokens = whole_blocks(&self.options.engine);
        let max_model_len = self.options.engine.max_model_len;
        let concurrency = kv_tokens as f64 / f64::from(max_model_len);
        self.log.line(&format!("GPU KV cache size: {} tokens", thousands(kv_tokens)));
        self.log.line(&format!(
            "Maximum concurrency for {} tokens per request: {concurrency:.2}x",
            thousands(u64::from(max_model_len)),
        ));
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(2_097_152), "2,097,152");
        assert_eq!(thousands(131_072), "131,072");
    }
}
