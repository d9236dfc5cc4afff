//! `preheat engine`: one emulated engine, in the foreground.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use preheat_core::Concurrency;
use preheat_emulator::{EmulatorOptions, StepTimes, find_profile};
use preheat_engine::{
    CompileCache, EngineProfile, ImageSource, StartupInputs, StartupProfile, WeightsSource,
};
use preheat_runtime::clock::{Clock, ClockAnchor, TimeScale};

use crate::cli::EngineArgs;
use crate::failure::{Answer, hinted};

pub(crate) fn run(args: EngineArgs) -> anyhow::Result<Answer> {
    let anchor = args.clock_anchor.as_deref().map(parse_anchor).transpose()?;
    let scale = TimeScale::try_from(args.time_scale)?;
    let options = options(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // An engine's model is one task, and many engines share a machine.
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let clock = anchor.map_or_else(|| Clock::start(scale), Clock::resume);
        let stop = super::up::stop_signal()?;
        preheat_emulator::run(options, clock, io::stderr(), stop).await?;
        Ok(Answer::Yes)
    })
}

fn parse_anchor(json: &str) -> anyhow::Result<ClockAnchor> {
    serde_json::from_str(json).context("the clock anchor can't be read")
}

fn options(args: EngineArgs) -> anyhow::Result<EmulatorOptions> {
    let profile = find_profile(&args.profile)?;
    let startup = startup(profile, args.cold_start_p50, args.cold_start_p90)?;
    let step_times = match (args.step_base, args.step_per_seq, args.step_per_prompt_token) {
        (Some(base), Some(per_seq), Some(per_prompt_token)) => {
            Some(StepTimes { base, per_seq, per_prompt_token }.profile()?)
        }
        // One without the others is refused by the command line.
        _ => None,
    };
    let mut names = args.model;
    let first = names.remove(0);
    let listen = SocketAddr::new(args.host, args.port);
    let mut options = EmulatorOptions::for_profile(listen, first, profile, startup);
    options.model_names.append(&mut names);
    if let Some(step_times) = step_times {
        options.engine.profile = step_times;
    }
    if let Some(seqs) = args.max_num_seqs {
        options.engine.max_num_seqs = Concurrency::new(seqs)
            .ok_or_else(|| hinted("--max-num-seqs is 0", "give at least 1"))?;
    }
    if let Some(tokens) = args.max_num_batched_tokens {
        options.engine.max_num_batched_tokens = tokens;
    }
    if let Some(tokens) = args.kv_capacity_tokens {
        options.engine.kv_capacity_tokens = tokens;
        let fits = u32::try_from(tokens).unwrap_or(u32::MAX);
        options.engine.max_model_len = options.engine.max_model_len.min(fits);
    }
    if let Some(tokens) = args.max_model_len {
        options.engine.max_model_len = tokens;
    }
    options.engine.async_scheduling = !args.no_async_scheduling;
    options.startup_seed = args.seed;
    options.shutdown_timeout = args.shutdown_timeout;
    options.dev_mode = args.dev_mode;
    options.max_num_queued_reqs = args.max_num_queued_reqs;
    options.fault = args.fault.as_deref().map(str::parse).transpose()?;
    options.check()?;
    Ok(options)
}

/// A start of the given median and 90th percentile, or one that follows from the weights: image
/// cached on the node, weights on a remote store, no compiled kernels.
fn startup(
    profile: &EngineProfile,
    p50: Option<Duration>,
    p90: Option<Duration>,
) -> anyhow::Result<StartupProfile> {
    let Some(p50) = p50 else {
        return Ok(StartupProfile::from_inputs(&StartupInputs {
            image: ImageSource::Cached,
            weights_bytes: profile.weights_bytes,
            weights: WeightsSource::RemoteStore,
            compile_cache: CompileCache::Miss,
        }));
    };
    let p90 = p90.unwrap_or(p50);
    StartupProfile::with_quantiles(p50, p90).ok_or_else(|| {
        hinted(
            format!("--cold-start-p90 is {p90:?}, and the median is {p50:?}"),
            "give a 90th percentile of at least the median",
        )
    })
}
