//! What each way to a shorter start would have saved on the starts that were seen.
//!
//! **Invariant:** a phase that was not seen on its own saves nothing that could be told: absent is
//! not zero.

use std::time::Duration;

use preheat_core::{ColdStartSample, ReplicaPhase, START_PHASES, WAKE_PRIOR};
use preheat_engine::WeightsSource;
use serde::Serialize;

use super::report::mean_s;
use super::seen::Seen;
use preheat_api::words::seconds;

/// Loading begins with importing Python and CUDA, which no disk makes shorter: about ten seconds on an
/// idle node, as in the start-up model of `preheat-engine`.
const PROCESS_START: Duration = Duration::from_secs(10);
/// Loading from local NVMe ÷ loading from an object store: 6.5 s ÷ 16.5 s for 64 GB over four GPUs, in
/// the benchmarks of the Run:ai model streamer (docs/src/local-cache.md: 6–7 s and 15–18 s).
const NVME_RATIO: f64 = 0.4;
/// Share of warming that a compile cache saves, between two public logs of vLLM: 38 of 269 s, 0.14
/// (issue 44881: 43 s of compilation, 5 s with a cache), and 62 of 145 s, 0.43 (issue 19824: 70 s of
/// compilation, cut alike).
const COMPILE_CACHE_SHARE: f64 = 0.3;

/// What a replica is, where anything says so.
#[derive(Clone, Copy)]
pub(super) struct Replica {
    pub(super) gpus: Option<u32>,
    pub(super) weights_bytes: Option<u64>,
}

/// One way to a shorter start.
#[derive(Debug, Serialize)]
pub(super) struct Saving {
    pub(super) technique: Technique,
    /// Mean over the starts that became ready; absent where the journal can't tell.
    pub(super) saves_s: Option<f64>,
    /// Starts a day × that × GPUs of a replica.
    pub(super) gpu_hours_per_day: Option<f64>,
    /// What is assumed, or why nothing can be told.
    pub(super) assumption: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Technique {
    ImagePrePulled,
    WeightsOnNvme,
    CompileCache,
    Sleep,
}

pub(super) fn savings(seen: &Seen, replica: Replica) -> Vec<Saving> {
    vec![image(seen), weights(seen, replica), compile_cache(seen), sleep(seen)]
}

fn image(seen: &Seen) -> Saving {
    let technique = Technique::ImagePrePulled;
    if !passes(seen, ReplicaPhase::Pulling) {
        let why = "no start was seen pulling: images are there, or the world does not tell pulling \
                   apart";
        return Saving::untold(technique, why);
    }
    let saves_s = mean_s(&seen.ready, |start| time_in(start, ReplicaPhase::Pulling));
    Saving::told(technique, saves_s, "pulling takes no time".to_owned())
}

fn weights(seen: &Seen, replica: Replica) -> Saving {
    let technique = Technique::WeightsOnNvme;
    let told_apart = passes(seen, ReplicaPhase::Loading) && passes(seen, ReplicaPhase::Warming);
    if !told_apart {
        let why = "loading and warming are not told apart, so that the time to load is not known";
        return Saving::untold(technique, why);
    }
    let loading = |start: &ColdStartSample| time_in(start, ReplicaPhase::Loading);
    let Some(bytes) = replica.weights_bytes else {
        let saves_s = mean_s(&seen.ready, |start| loading(start).mul_f64(1.0 - NVME_RATIO));
        let assumption = format!(
            "loading takes {NVME_RATIO} times as long (64 GB over four GPUs: 6.5 s from NVMe, 16.5 s \
             from an object store); --config or --profile tell the bytes of the weights"
        );
        return Saving::told(technique, saves_s, assumption);
    };
    let bytes_per_sec = WeightsSource::LocalNvme.bytes_per_sec() as f64;
    let transfer = Duration::from_secs_f64(bytes as f64 / bytes_per_sec);
    let takes = PROCESS_START.saturating_add(transfer);
    let saves_s = mean_s(&seen.ready, |start| loading(start).saturating_sub(takes));
    let assumption = format!(
        "loading takes {}: {} to start a process, and {:.1} GB of weights at {:.1} GB/s",
        seconds(takes),
        seconds(PROCESS_START),
        bytes as f64 / 1e9,
        bytes_per_sec / 1e9
    );
    Saving::told(technique, saves_s, assumption)
}

fn compile_cache(seen: &Seen) -> Saving {
    let technique = Technique::CompileCache;
    if !passes(seen, ReplicaPhase::Warming) {
        return Saving::untold(technique, "warming is not told apart from loading");
    }
    let warming_s = mean_s(&seen.ready, |start| time_in(start, ReplicaPhase::Warming));
    let assumption = format!(
        "warming is {COMPILE_CACHE_SHARE} shorter (0.14 and 0.43 in two public logs of vLLM), and \
         there was no cache"
    );
    Saving::told(technique, warming_s * COMPILE_CACHE_SHARE, assumption)
}

fn sleep(seen: &Seen) -> Saving {
    let median = seen.wakes.get(seen.wakes.len().saturating_sub(1) / 2).copied();
    let (wake, basis) = match median {
        Some(wake) => (wake, "the median of the wakes seen"),
        None => (WAKE_PRIOR, "none was seen"),
    };
    let saves_s = mean_s(&seen.ready, |start| start.took.saturating_sub(wake));
    let assumption = format!(
        "a replica sleeps in place of each start, and its wake takes {} ({basis}); while it sleeps \
         it keeps its GPU, unless something else may use it",
        seconds(wake)
    );
    Saving::told(Technique::Sleep, saves_s, assumption)
}

impl Saving {
    fn told(technique: Technique, saves_s: f64, assumption: String) -> Self {
        Self { technique, saves_s: Some(saves_s), gpu_hours_per_day: None, assumption }
    }

    fn untold(technique: Technique, why: &str) -> Self {
        Self { technique, saves_s: None, gpu_hours_per_day: None, assumption: why.to_owned() }
    }
}

/// Whether some start that became ready spent time in `phase`.
fn passes(seen: &Seen, phase: ReplicaPhase) -> bool {
    seen.ready.iter().any(|start| !time_in(start, phase).is_zero())
}

fn time_in(start: &ColdStartSample, phase: ReplicaPhase) -> Duration {
    let index = START_PHASES.iter().position(|other| *other == phase);
    index.and_then(|index| *start.phases.get(index)?).unwrap_or_default()
}
