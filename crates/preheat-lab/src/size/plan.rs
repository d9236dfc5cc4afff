//! From a sizing to what one configures: bounds, a target for those who scale by concurrency, a
//! configuration file, a manifest, and a scenario that tries it out.
//!
//! **Invariant:** what is made here is accepted by the parser that it is made for; tests say so.

use std::fmt::Write;
use std::time::Duration;

use preheat_core::Concurrency;
use preheat_sim::sizing::{LoadSpec, size};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Answered, SizeError, SizeSpec, arrival_rate, explain, wait};

/// What is needed beside a sizing.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSpec {
    /// Requests per second when it is quiet; as many as at the busiest unless given.
    pub quiet_qps: Option<f64>,
    /// By how many requests per second the traffic may grow within a minute.
    pub growth_qps_per_min: f64,
    /// Time from an order to a ready replica.
    pub cold_start: Duration,
}

impl Default for PlanSpec {
    fn default() -> Self {
        Self { quiet_qps: None, growth_qps_per_min: 0.0, cold_start: Duration::from_secs(180) }
    }
}

/// What to configure.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Plan {
    /// Replicas that the quiet load needs, with headroom.
    pub quiet_replicas: u32,
    /// Replicas that must be there already for what may come within one cold start.
    pub spare_replicas: u32,
    /// Both together, at most `replicas_max`: the warm baseline.
    pub replicas_min: u32,
    /// As many as the busiest load needs with headroom, and a quarter more for what piles up while
    /// replicas start.
    pub replicas_max: u32,
    /// Requests in flight per replica to aim at, for an autoscaler that has a target for them.
    pub concurrency_target: f64,
    /// Time from an order to a ready replica.
    pub cold_start_s: f64,
    /// A file for `preheat up`.
    pub config: String,
    /// A resource for `kubectl apply -f`.
    pub manifest: String,
    /// A file for `preheat scenario`: this load for half an hour; absent without a profile.
    pub scenario: Option<String>,
}

/// Beyond what the busiest load needs: what is bounded by money is not bounded by this.
const MAX_PER_BUSIEST: f64 = 1.25;
/// The 90th percentile of a start, as a multiple of its median, until some were seen.
const COLD_START_P90_PER_P50: f64 = 1.5;
/// Of the 99th percentile of lengths over their mean, as an exponential law has it.
const P99_PER_MEAN: f64 = 4.6;

pub(super) fn plan(spec: &SizeSpec, answered: &Answered) -> Result<Plan, SizeError> {
    let PlanSpec { quiet_qps, growth_qps_per_min, cold_start } = spec.plan;
    let quiet_qps = quiet_qps.unwrap_or(spec.qps);
    if quiet_qps > spec.qps {
        let message = format!("--quiet-qps is {quiet_qps}; it must be at most --qps, {}", spec.qps);
        return Err(SizeError::new(message, "--qps is the load at its busiest"));
    }
    if !growth_qps_per_min.is_finite() || growth_qps_per_min < 0.0 {
        let message = format!("--growth is {growth_qps_per_min}; it must be finite and at least 0");
        return Err(SizeError::new(message, "give requests per second gained within a minute"));
    }
    let concurrency = Concurrency::new(answered.concurrency)
        .ok_or_else(|| SizeError::new("a replica has no slot", "raise --max-num-seqs"))?;
    let quiet = LoadSpec {
        arrival_rate: arrival_rate("--quiet-qps", quiet_qps)?,
        service_time: Duration::from_secs_f64(answered.service_time_s),
        concurrency,
    };
    let wait_max = Duration::from_secs_f64(answered.wait_max_s);
    let quiet = size(&quiet, &wait(spec, wait_max)).map_err(explain)?;
    let busiest = answered.with_headroom.replicas;
    // Little's Law for what arrives in excess by the time that a start ordered now is ready.
    let grown = growth_qps_per_min * cold_start.as_secs_f64() / 60.0 * answered.service_time_s;
    let spare = (grown / f64::from(answered.concurrency)).ceil() as u32;
    let replicas_max = (f64::from(busiest) * MAX_PER_BUSIEST).ceil() as u32;
    let quiet_replicas = quiet.with_headroom.replicas;
    let mut plan = Plan {
        quiet_replicas,
        spare_replicas: spare,
        replicas_min: quiet_replicas.saturating_add(spare).min(replicas_max).max(1),
        replicas_max,
        concurrency_target: answered.offered_load / f64::from(busiest),
        cold_start_s: cold_start.as_secs_f64(),
        config: String::new(),
        manifest: String::new(),
        scenario: None,
    };
    plan.config = config(answered, &plan);
    plan.manifest = manifest(answered, &plan);
    plan.scenario = scenario(answered, &plan);
    Ok(plan)
}

/// `slo` and what follows, which both files say in the same words; each line begins with `indent`.
fn common(answered: &Answered, plan: &Plan, indent: &str) -> String {
    let mut text = String::new();
    let p90 = plan.cold_start_s * COLD_START_P90_PER_P50;
    let tpot = answered.engine.as_ref().and_then(|engine| engine.slo_tpot_s);
    let tpot = tpot.map_or_else(String::new, |secs| format!(", tpot: {}", time(secs)));
    for line in [
        format!(
            "# {} for the quiet load, {} for what comes within one cold start",
            plan.quiet_replicas, plan.spare_replicas
        ),
        format!("minReplicas: {}", plan.replicas_min),
        format!("# {} at the busiest, and a quarter more", answered.with_headroom.replicas),
        format!("maxReplicas: {}", plan.replicas_max),
        format!(
            "slo: {{ ttft: {}, quantile: {}{tpot} }}",
            time(answered.slo_ttft_s),
            1.0 - answered.wait_probability
        ),
        "# Believed until starts were seen.".to_owned(),
        format!("coldStart: {{ p50: {}, p90: {} }}", time(plan.cold_start_s), time(p90)),
        "# Believed until requests were seen.".to_owned(),
        format!("serviceTime: {}", time(answered.service_time_s)),
        "# Where the engine does not tell its max-num-seqs.".to_owned(),
        format!("maxConcurrency: {}", answered.concurrency),
    ] {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{indent}{line}");
    }
    text
}

fn config(answered: &Answered, plan: &Plan) -> String {
    let gpus = answered.engine.as_ref().map_or(1, |engine| engine.gpus_per_replica);
    format!(
        "# Made by `preheat size --as config`. `preheat up FILE --check` checks it.\n\
         pools:\n  - name: chat\n    modelName: chat\n{}    engine:\n      \
         # Put your model in the place of MODEL.\n      \
         command: [vllm, serve, MODEL, --host, 127.0.0.1, --port, \"{{port}}\",\n                \
         --served-model-name, \"{{model}}\", --max-num-seqs, \"{}\"]\n      \
         ports: 18100-18199\n      gpusPerReplica: {gpus}\n",
        common(answered, plan, "    "),
        answered.concurrency,
    )
}

fn manifest(answered: &Answered, plan: &Plan) -> String {
    format!(
        "# Made by `preheat size --as manifest`. It watches until you set mode: Act.\n\
         apiVersion: preheat.dev/v1alpha1\nkind: InferenceAutoscaler\nmetadata:\n  name: chat\n\
         spec:\n  # Put the name of your Deployment in the place of chat.\n  \
         targetRef: {{ apiVersion: apps/v1, kind: Deployment, name: chat }}\n  mode: Observe\n{}",
        common(answered, plan, "  "),
    )
}

/// Half an hour of the busiest load, on as many as `size` says, that nobody scales.
fn scenario(answered: &Answered, plan: &Plan) -> Option<String> {
    let engine = answered.engine.as_ref()?;
    let tokens = |mean: f64| format!("{{ mean: {mean}, p99: {} }}", (mean * P99_PER_MEAN).ceil());
    let tpot = engine.slo_tpot_s.map_or_else(String::new, |secs| format!(", tpot: {}", time(secs)));
    Some(format!(
        "name: your-cluster\n\
         about: Your load at its busiest, for half an hour.\n\
         engine: {{ profile: {}, maxNumSeqs: {} }}\n\
         replicas: {{ min: 1, max: {} }}\n\
         slo: {{ ttft: {}, quantile: {}{tpot} }}\n\
         coldStart: {{ fixed: {} }}\n\
         lengths: {{ input: {}, output: {} }}\n\
         traffic:\n  - constant: {{ rate: {} }}\n    lasts: 30m\n",
        engine.profile,
        answered.concurrency,
        plan.replicas_max,
        time(answered.slo_ttft_s),
        1.0 - answered.wait_probability,
        time(plan.cold_start_s),
        tokens(engine.input_tokens),
        tokens(engine.output_tokens),
        answered.qps,
    ))
}

/// In milliseconds, which every file takes.
fn time(secs: f64) -> String {
    let millis = (secs * 1000.0).round();
    if millis % 1000.0 == 0.0 { format!("{}s", millis / 1000.0) } else { format!("{millis}ms") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use preheat_api::config::LocalConfig;
    use preheat_scenario::Scenario;

    use super::super::{SizingRequest, answered};

    fn request() -> SizingRequest {
        SizingRequest {
            qps: 10.0,
            max_num_seqs: Some(8),
            profile: Some("qwen-27b-fp8-h100".to_owned()),
            input_tokens: Some(1000.0),
            output_tokens: Some(300.0),
            slo_tpot_s: Some(0.05),
            quiet_qps: Some(2.0),
            growth_qps_per_min: Some(0.5),
            cold_start_s: Some(120.0),
            ..SizingRequest::default()
        }
    }

    #[test]
    fn a_plan_has_room_for_what_comes_within_one_cold_start() {
        let answered = answered(&request().spec().unwrap(), &mut |_| ()).unwrap();
        let plan = answered.plan.unwrap();
        // 0.5 requests/s more a minute, two minutes, 7.42 s each: 7.42 slots, one replica of eight.
        assert_eq!(plan.spare_replicas, 1);
        assert_eq!(plan.replicas_min, plan.quiet_replicas + 1);
        // 12 with headroom, and a quarter more.
        assert_eq!((answered.with_headroom.replicas, plan.replicas_max), (12, 15));
        assert!((plan.concurrency_target - 74.2 / 12.0).abs() < 0.01, "{plan:?}");
    }

    #[test]
    fn its_files_are_accepted() {
        let answered = answered(&request().spec().unwrap(), &mut |_| ()).unwrap();
        let plan = answered.plan.unwrap();
        let config = LocalConfig::parse(&plan.config, Path::new("preheat.yaml")).unwrap();
        assert_eq!(config.pools.len(), 1);
        let scenario = plan.scenario.unwrap();
        Scenario::parse(&scenario, Path::new("your-cluster.yaml")).unwrap();
        insta::assert_snapshot!(format!("{}\n{}\n{scenario}", plan.config, plan.manifest));
    }

    #[test]
    fn nonsense_is_refused() {
        for (change, expected) in [
            ((|r| r.quiet_qps = Some(20.0)) as fn(&mut SizingRequest), "--quiet-qps is 20"),
            (|r| r.growth_qps_per_min = Some(-1.0), "--growth is -1"),
            (|r| r.cold_start_s = Some(-1.0), "cold_start_s is -1"),
            (|r| r.cold_start_s = Some(f64::NAN), "cold_start_s is NaN"),
            (|r| r.latency_s = Some(1.0), "--latency and --profile"),
            (|r| r.profile = Some("abacus".to_owned()), "no engine profile"),
        ] {
            let mut asked = request();
            change(&mut asked);
            let error = asked.spec().and_then(|spec| answered(&spec, &mut |_| ())).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
            assert!(!error.hint.is_empty());
        }
    }
}
