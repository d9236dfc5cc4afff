//! What is accepted, and what it comes to.

use std::path::Path;
use std::time::Duration;

use preheat_api::config::{EXAMPLE, Launch, LocalConfig, Placeholders, QuotaConfig};

use crate::BASE;

#[test]
fn what_is_absent_gets_its_default() {
    let config = LocalConfig::parse(BASE, Path::new("preheat.yaml")).unwrap();
    assert_eq!(config.state_dir, Path::new(".preheat"));
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.gpu_slots, None);
    let pool = &config.pools[0];
    assert_eq!(pool.model_names, ["m"]);
    assert_eq!(pool.policy.spec().replicas_min.0, 1);
    assert_eq!(pool.policy.spec().replicas_max.0, 4);
    assert_eq!(pool.engine.readiness.path, "/v1/models");
    assert!(pool.engine.readiness.canary);
    assert_eq!(pool.engine.sleep, None);
    let Launch::Command(words) = &pool.engine.launch else { panic!("a command") };
    let placeholders = Placeholders { port: 18100, model: "m", replica: "r0" };
    let rendered: Vec<String> = words.iter().map(|word| word.render(&placeholders)).collect();
    assert_eq!(rendered, ["serve", "--port", "18100"]);
}

#[test]
fn the_example_is_valid_and_reaches_every_part() {
    let config = LocalConfig::parse(EXAMPLE, Path::new("example.yaml")).unwrap();
    assert_eq!(config.gpu_slots, Some(4));
    let [chat, batch] = &config.pools[..] else { panic!("two pools") };
    assert_eq!(chat.model_names, ["qwen3-32b", "chat"]);
    assert_eq!(chat.policy.spec().cold_start_prior.p90, Duration::from_secs(180));
    assert_eq!((chat.quota.priority, chat.quota.worth.get()), (10, 4.0));
    assert_eq!(batch.quota, QuotaConfig::default());
    assert_eq!(chat.engine.sleep.as_ref().unwrap().sleep_path, "/sleep?level=1");
    // 2026-12-01, a Tuesday, at noon in UTC.
    let noon = preheat_core::Instant::from_nanos(1_796_126_400_000_000_000);
    let names: Vec<&str> = chat.schedules.upcoming(noon).iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["office-hours", "launch", "office-hours"]);
    let Launch::Emulated(emulated) = &batch.engine.launch else { panic!("emulated") };
    assert_eq!((emulated.max_num_seqs, emulated.seed), (Some(64), 7));
    assert_eq!(emulated.cold_start.p90, Duration::from_secs(60));
}

#[test]
fn an_engine_that_says_nothing_is_emulated_with_the_cold_start_that_the_pool_believes() {
    let yaml =
        "pools: [{name: a, modelName: m, coldStart: {p50: 20s}, engine: {ports: 18100-18199}}]";
    let config = LocalConfig::parse(yaml, Path::new("preheat.yaml")).unwrap();
    let Launch::Emulated(emulated) = &config.pools[0].engine.launch else { panic!("emulated") };
    assert_eq!(emulated.cold_start.p50, Duration::from_secs(20));
    assert_eq!(emulated.cold_start.p90, Duration::from_secs(30));
    assert!(config.pools[0].engine.sleep.is_some(), "the emulated engine can sleep");
}

#[test]
fn every_knob_of_the_policy_can_be_set() {
    let knobs = "    maxReplicas: 9
    minReplicas: 2
    standby: {replicas: 1, price: 0.5, wake: 3s}
    maxStarts: 3
    slo: {ttft: 3s, quantile: 0.95, tpot: 16ms}
    maxConcurrency: 17
    service_time: 4s
    coldStart: {p50: 5s, p90: 6s}
    drainTimeout: 7s
    behavior: {scaleDown: {stabilizationWindow: 8s, limit: {replicas: 2, share: 0.5, period: 9s}}}
    backlogDrainTime: 11s
    arrivalWindow: 60s
    tickInterval: 1s
    staleness: 13s
"
    .replace("service_time", "serviceTime");
    let yaml = BASE.replace("    maxReplicas: 4\n", &knobs) + "      sleep: {}\n";
    let config = LocalConfig::parse(&yaml, Path::new("preheat.yaml")).unwrap();
    let spec = config.pools[0].policy.spec();
    let default = preheat_core::PolicySpec::default();
    assert_eq!((spec.replicas_min.0, spec.replicas_max.0), (2, 9));
    let standby = spec.standby.unwrap();
    assert_eq!((standby.price.get(), standby.wake_prior.as_secs()), (0.5, 3));
    assert_eq!(standby.replicas, Some(preheat_core::ReplicaCount(1)));
    assert_eq!((spec.starts_max, spec.scale_down_limit.replicas), (3, 2));
    assert_eq!((spec.slo.quantile.get(), spec.scale_down_limit.share.get()), (0.95, 0.5));
    assert_eq!(spec.concurrency_cap.map(|cap| cap.get()), Some(17));
    assert_eq!(spec.slo_tpot, Some(Duration::from_millis(16)));
    let secs = [
        (spec.slo.threshold, 3),
        (spec.service_time_prior, 4),
        (spec.cold_start_prior.p50, 5),
        (spec.cold_start_prior.p90, 6),
        (spec.drain_timeout, 7),
        (spec.scale_down_window, 8),
        (spec.scale_down_limit.period, 9),
        (spec.backlog_drain_time, 11),
        (spec.arrival_window, 60),
        (spec.tick_interval, 1),
        (spec.staleness_max, 13),
    ];
    for (got, expected) in secs {
        assert_eq!(got, Duration::from_secs(expected));
    }
    assert_ne!(*spec, default);
}
