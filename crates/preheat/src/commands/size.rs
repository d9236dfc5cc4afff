//! `preheat size`: how many replicas a steady load needs, and what limits each of them.

use std::time::Instant;

use preheat_lab::{Answered, PlanSpec, SizeSpec, answered, text};

use crate::cli::{PlanFile, SizeArgs};
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

pub(crate) fn run(args: &SizeArgs) -> anyhow::Result<Answer> {
    let began = Instant::now();
    let mut line = Line::stderr();
    let mut trying = |replicas: u32| line.draw(&format!("simulating {replicas} replicas"));
    let answer = answered(&spec(args), &mut trying)
        .map_err(|error| hinted(error.message.clone(), error.hint.clone()))?;
    let counts = [&answer.without_headroom, &answer.with_headroom];
    let simulated = counts.iter().filter_map(|staffed| staffed.simulated.as_ref());
    let requests: u64 = simulated.map(|simulated| simulated.requests).sum();
    if requests > 0 {
        let wall_s = began.elapsed().as_secs_f64();
        line.print(&format!("simulated {requests} requests in {wall_s:.2} s of wall time"));
    }
    let printed = match args.print_as {
        Some(which) => file(which, &answer)?,
        None if args.json => format!("{}\n", serde_json::to_string(&answer)?),
        None => text(&answer),
    };
    super::print(&printed)?;
    Ok(Answer::Yes)
}

fn spec(args: &SizeArgs) -> SizeSpec {
    SizeSpec {
        qps: args.qps,
        latency: args.latency,
        max_num_seqs: args.max_num_seqs,
        profile: args.profile.clone(),
        input_tokens: args.input_tokens,
        output_tokens: args.output_tokens,
        slo_ttft: args.slo_ttft,
        slo_tpot: args.slo_tpot,
        wait_probability: args.wait_probability,
        dispersion: args.dispersion,
        simulate: args.simulate,
        seed: args.seed,
        plan: PlanSpec {
            quiet_qps: args.quiet_qps,
            growth_qps_per_min: args.growth,
            cold_start: args.cold_start,
        },
    }
}

fn file(which: PlanFile, answer: &Answered) -> anyhow::Result<String> {
    let plan = answer.plan.as_ref();
    let text = plan.and_then(|plan| match which {
        PlanFile::Config => Some(plan.config.clone()),
        PlanFile::Manifest => Some(plan.manifest.clone()),
        PlanFile::Scenario => plan.scenario.clone(),
    });
    text.ok_or_else(|| {
        let hint = "give --profile in the place of --latency: a scenario needs steps and tokens";
        hinted("there is no scenario for a latency alone", hint)
    })
}
