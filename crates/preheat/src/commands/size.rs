//! `preheat size`: how many replicas a steady load needs, and what limits each of them.

mod answer;
mod text;

use std::time::{Duration, Instant};

use answer::{Answered, Simulated, Staffed};
use preheat_core::{Concurrency, RequestRate};
use preheat_emulator::find_profile;
use preheat_engine::{ConfigError, EngineConfig, EngineProfile};
use preheat_sim::sizing::{
    EngineSizing, EngineSpec, LoadSpec, SizingError, Trial, TrialSpec, WaitSpec, size, size_engine,
};

use crate::cli::SizeArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

pub(crate) fn run(args: &SizeArgs) -> anyhow::Result<Answer> {
    let answered = match (args.latency, &args.profile) {
        (Some(_), Some(_)) => {
            let hint = "a profile says the latency by itself: leave one of them out";
            return Err(hinted("--latency and --profile contradict each other", hint));
        }
        (None, None) => {
            let hint = "give --latency 8s as measured, or --profile with --input-tokens and \
                        --output-tokens; `preheat size --help` explains both";
            return Err(hinted("neither --latency nor --profile is given", hint));
        }
        (Some(latency), None) => by_figures(args, latency)?,
        (None, Some(profile)) => by_profile(args, profile)?,
    };
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&answered)?))?;
    } else {
        super::print(&text::text(&answered))?;
    }
    Ok(Answer::Yes)
}

fn by_figures(args: &SizeArgs, latency: Duration) -> anyhow::Result<Answered> {
    for (flag, is_given) in [
        ("--input-tokens", args.input_tokens.is_some()),
        ("--output-tokens", args.output_tokens.is_some()),
        ("--slo-tpot", args.slo_tpot.is_some()),
        ("--simulate", args.simulate),
    ] {
        if is_given {
            let hint = "a latency alone says nothing of steps and tokens: give --profile in its \
                        place, or leave the flag out";
            return Err(hinted(format!("{flag} needs --profile"), hint));
        }
    }
    let max_num_seqs = max_num_seqs(args)?.ok_or_else(|| {
        let hint = "give what the engine was started with; vLLM logs it as max_num_seqs";
        hinted("--latency needs --max-num-seqs", hint)
    })?;
    let load = LoadSpec {
        arrival_rate: arrival_rate(args)?,
        service_time: latency,
        concurrency: max_num_seqs,
    };
    let wait_max = args.slo_ttft;
    let (wait_probability, dispersion) = (args.wait_probability, args.dispersion);
    let wait = WaitSpec { wait_probability, dispersion, wait_max };
    let sizing = size(&load, &wait).map_err(explain)?;
    Ok(Answered::of_figures(args, max_num_seqs, latency, wait_max, &sizing))
}

fn by_profile(args: &SizeArgs, name: &str) -> anyhow::Result<Answered> {
    let profile = find_profile(name)?;
    let spec = engine_spec(args, profile)?;
    let rate = arrival_rate(args)?;
    let sized =
        size_engine(&spec, rate, args.wait_probability, args.dispersion).map_err(explain)?;
    let mut answered = Answered::of_engine(args, profile, &spec, &sized);
    if args.simulate {
        simulate(args, profile, &spec, &sized, &mut answered)?;
    }
    Ok(answered)
}

fn engine_spec(args: &SizeArgs, profile: &EngineProfile) -> anyhow::Result<EngineSpec> {
    let tokens = |flag: &str, given: Option<f64>| {
        given.ok_or_else(|| {
            let hint = "give the mean of your traffic; `preheat simulate` takes whole traces";
            hinted(format!("--profile needs {flag}"), hint)
        })
    };
    let mut engine = EngineConfig::for_profile(profile);
    if let Some(seqs) = max_num_seqs(args)? {
        engine.max_num_seqs = seqs;
    }
    Ok(EngineSpec {
        engine,
        input_tokens_mean: tokens("--input-tokens", args.input_tokens)?,
        output_tokens_mean: tokens("--output-tokens", args.output_tokens)?,
        ttft_slo: args.slo_ttft,
        tpot_slo: args.slo_tpot,
    })
}

/// Tries both counts, on engines that take no more at once than was sized for.
fn simulate(
    args: &SizeArgs,
    profile: &EngineProfile,
    spec: &EngineSpec,
    sized: &EngineSizing,
    answered: &mut Answered,
) -> anyhow::Result<()> {
    let mut line = Line::stderr();
    let began = Instant::now();
    let trial = Trial::new(TrialSpec {
        engine: *spec,
        max_num_seqs: sized.capacity.concurrency,
        gpus_per_replica: profile.gpus,
        arrival_rate: arrival_rate(args)?,
        service_time: sized.capacity.service_time,
        seed: args.seed,
    })?;
    let mut requests = 0;
    let mut try_out = |staffed: &mut Staffed| -> anyhow::Result<()> {
        line.draw(&format!("simulating {} replicas", staffed.replicas));
        let report = trial.run(staffed.replicas)?;
        requests += report.requests;
        staffed.simulated = Some(Simulated::of(&report, trial.lasts, args.wait_probability));
        Ok(())
    };
    try_out(&mut answered.without_headroom)?;
    try_out(&mut answered.with_headroom)?;
    let wall_s = began.elapsed().as_secs_f64();
    line.print(&format!("simulated {requests} requests in {wall_s:.2} s of wall time"));
    Ok(())
}

fn arrival_rate(args: &SizeArgs) -> anyhow::Result<RequestRate> {
    RequestRate::new(args.qps).filter(|rate| rate.get() > 0.0).ok_or_else(|| {
        let hint = "give the requests that arrive per second, as in --qps 40";
        hinted(format!("--qps is {}; it must be finite and above 0", args.qps), hint)
    })
}

fn max_num_seqs(args: &SizeArgs) -> anyhow::Result<Option<Concurrency>> {
    let parse = |seqs| {
        Concurrency::new(seqs).ok_or_else(|| hinted("--max-num-seqs is 0", "give at least 1"))
    };
    args.max_num_seqs.map(parse).transpose()
}

/// What to do about it, in flags.
fn explain(error: SizingError) -> anyhow::Error {
    let hint = match error {
        SizingError::Figure { .. } => "`preheat size --help` says what each flag means",
        SizingError::TooLarge { .. } => {
            "check the units: --qps is per second, and --latency 8s is not 8m"
        }
        SizingError::Engine(ConfigError::BatchedTokensBelowSeqs { .. }) => {
            "give a smaller --max-num-seqs"
        }
        SizingError::Engine(_) => "give another --profile",
        SizingError::BeyondContext { .. } => {
            "give fewer --input-tokens or --output-tokens, or the --profile of a model with a \
             longer context"
        }
        SizingError::BeyondKv { .. } => {
            "give fewer tokens, or a --profile with more GPU memory or an FP8 KV cache"
        }
        SizingError::TpotSlo { .. } => {
            "no number of replicas changes that: allow a longer --slo-tpot, or take the --profile \
             of a faster GPU or a smaller model"
        }
        SizingError::TtftSlo { .. } => {
            "no number of replicas changes that: allow a longer --slo-ttft, shorten the prompts, \
             or lower --max-num-seqs"
        }
    };
    hinted(error, hint)
}
