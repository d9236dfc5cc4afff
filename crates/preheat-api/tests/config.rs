//! The configuration file as people meet it: what is accepted, and how mistakes are shown.

use std::path::Path;
use std::time::Duration;

use preheat_api::config::{EXAMPLE, Launch, LocalConfig, Placeholders};

/// The smallest valid file; cases replace one part of it.
const BASE: &str = "\
timeScale: 1
pools:
  - name: chat
    modelName: m
    maxReplicas: 4
    engine:
      command: [serve, --port, \"{port}\"]
      ports: 18100-18109
";

fn parse(yaml: &str) -> String {
    match LocalConfig::parse(yaml, Path::new("preheat.yaml")) {
        Ok(_) => "valid".to_owned(),
        Err(error) => match error.hint() {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        },
    }
}

/// Replaces `old` in [`BASE`] and expects this error.
#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    assert!(BASE.contains(old), "{old}");
    let got = parse(&BASE.replace(old, new));
    assert_eq!(got, expected.join("\n"), "\n{got}");
}

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
    assert_eq!(chat.engine.sleep.as_ref().unwrap().sleep_path, "/sleep?level=1");
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
    standbyReplicas: 1
    maxStarts: 3
    slo: {ttft: 3s, quantile: 0.95}
    maxConcurrency: 17
    service_time: 4s
    coldStart: {p50: 5s, p90: 6s}
    drainTimeout: 7s
    behavior: {scaleDown: {stabilizationWindow: 8s, limit: {replicas: 2, period: 9s}}}
    headroomBeta: 0.5
    backlogDrainTime: 11s
    arrivalWindow: 60s
    burstWindow: 12s
    tickInterval: 1s
    staleness: 13s
"
    .replace("service_time", "serviceTime");
    let yaml = BASE.replace("    maxReplicas: 4\n", &knobs) + "      sleep: {}\n";
    let config = LocalConfig::parse(&yaml, Path::new("preheat.yaml")).unwrap();
    let spec = config.pools[0].policy.spec();
    let default = preheat_core::PolicySpec::default();
    assert_eq!((spec.replicas_min.0, spec.replicas_max.0, spec.standby_target.0), (2, 9, 1));
    assert_eq!((spec.starts_max, spec.scale_down_limit.replicas), (3, 2));
    assert_eq!((spec.slo.quantile.get(), spec.headroom_beta), (0.95, 0.5));
    assert_eq!(spec.concurrency_cap.map(|cap| cap.get()), Some(17));
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
        (spec.burst_window, 12),
        (spec.tick_interval, 1),
        (spec.staleness_max, 13),
    ];
    for (got, expected) in secs {
        assert_eq!(got, Duration::from_secs(expected));
    }
    assert_ne!(*spec, default);
}

#[test]
fn numbers_and_durations_out_of_range_are_shown_with_their_line() {
    check(
        "maxReplicas: 4",
        "maxReplicas: 2\n    minReplicas: 5",
        &[
            "preheat.yaml:6:18: `minReplicas` is 5; it must be at most maxReplicas, which is 2",
            "  |",
            "6 |     minReplicas: 5",
            "  |                  ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "maxReplicas: 0",
        &[
            "preheat.yaml:5:18: `maxReplicas` is 0; it must be from 1 to 10000",
            "  |",
            "5 |     maxReplicas: 0",
            "  |                  ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "maxReplicas: many",
        &[
            "preheat.yaml:5:18: not a whole number from 0 to 4294967295",
            "  |",
            "5 |     maxReplicas: many",
            "  |                  ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "maxReplicas: 40",
        &[
            "preheat.yaml:8:14: `engine.ports` has 10 ports; it must have at least maxReplicas, which is 40",
            "  |",
            "8 |       ports: 18100-18109",
            "  |              ^",
            "hint: widen `engine.ports`, or lower `maxReplicas`",
        ],
    );
    check(
        "timeScale: 1",
        "gpuSlot: 0",
        &[
            "preheat.yaml:1:1: unknown field `gpuSlot`, expected one of stateDir, timeScale, gpuSlots, gateway, admin, journal, pools",
            "  |",
            "1 | gpuSlot: 0",
            "  | ^",
            "hint: did you mean `gpuSlots`?",
        ],
    );
    check(
        "maxReplicas: 4",
        "maxReplicas: 4\n    maxReplicas: 5",
        &[
            "preheat.yaml:6:5: duplicate mapping key: maxReplicas",
            "  |",
            "6 |     maxReplicas: 5",
            "  |     ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "maxReplicas: [4",
        &[
            "preheat.yaml:5:18: not a single value",
            "  |",
            "5 |     maxReplicas: [4",
            "  |                  ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "tickInterval: 90",
        &[
            "preheat.yaml:5:19: `90` has no unit; write it as `90s`, `90m` or `90ms`",
            "  |",
            "5 |     tickInterval: 90",
            "  |                   ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "tickInterval: 90sec",
        &[
            "preheat.yaml:5:19: `90sec` is no duration: `sec` is no unit; use d, h, m, s or ms",
            "  |",
            "5 |     tickInterval: 90sec",
            "  |                   ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "staleness: 1s",
        &[
            "preheat.yaml:5:16: `staleness` is 1s; it must be at least tickInterval",
            "  |",
            "5 |     staleness: 1s",
            "  |                ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "arrivalWindow: 10s",
        &[
            "preheat.yaml:5:20: `burstWindow` is 20s; it must be from tickInterval to arrivalWindow",
            "  |",
            "5 |     arrivalWindow: 10s",
            "  |                    ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "coldStart: {p50: 60s, p90: 30s}",
        &[
            "preheat.yaml:5:32: `coldStart.p90` is 30s; it must be at least coldStart.p50",
            "  |",
            "5 |     coldStart: {p50: 60s, p90: 30s}",
            "  |                                ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "slo: {quantile: 99}",
        &[
            "preheat.yaml:5:21: `slo.quantile` is 99; it must be at least 0.5 and below 1",
            "  |",
            "5 |     slo: {quantile: 99}",
            "  |                     ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "slo: {quantile: 0.3}",
        &[
            "preheat.yaml:5:21: `slo.quantile` is 0.3; it must be at least 0.5 and below 1",
            "  |",
            "5 |     slo: {quantile: 0.3}",
            "  |                     ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "slo: {ttft: [1s]}",
        &[
            "preheat.yaml:5:17: not a single value",
            "  |",
            "5 |     slo: {ttft: [1s]}",
            "  |                 ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "headroomBeta: .nan",
        &[
            "preheat.yaml:5:19: `headroomBeta` is NaN; it must be from 0 to 10",
            "  |",
            "5 |     headroomBeta: .nan",
            "  |                   ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "maxConcurrency: 0",
        &[
            "preheat.yaml:5:21: `maxConcurrency` is 0; it must be at least 1",
            "  |",
            "5 |     maxConcurrency: 0",
            "  |                     ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "minReplicas: 0\n    coldStart: {p90: 11m}",
        &[
            "preheat.yaml:3:5: `gateway.hold.timeout` is 10m; it must be at least 11m, the `coldStart.p90` of pool `chat`, which starts from zero",
            "  |",
            "3 |   - name: chat",
            "  |     ^",
            "hint: requests would be turned away before the first replica is ready: hold longer, or keep a replica with `minReplicas: 1`",
        ],
    );
    check(
        "timeScale: 1",
        "timeScale: 0",
        &[
            "preheat.yaml:1:12: `timeScale` is 0; it must be from 0.01 to 1000",
            "  |",
            "1 | timeScale: 0",
            "  |            ^",
        ],
    );
    check(
        "timeScale: 1",
        "gpuSlots: 0",
        &[
            "preheat.yaml:1:11: `engine.gpusPerReplica` is 1; it must be at most gpuSlots, which is 0",
            "  |",
            "1 | gpuSlots: 0",
            "  |           ^",
        ],
    );
    check("timeScale: 1", "gpuSlots: 3", &["valid"]);
    let four = BASE.replace("maxReplicas: 4", "maxReplicas: 4\n    minReplicas: 4");
    assert_eq!(
        parse(&four.replace("timeScale: 1", "gpuSlots: 3")),
        [
            "preheat.yaml:1:11: `gpuSlots` is 3; it must be at least 4, gpusPerReplica × minReplicas: 1 × 4 of pool `chat`",
            "  |",
            "1 | gpuSlots: 3",
            "  |           ^",
            "hint: lower `minReplicas` or `gpusPerReplica`; without `gpuSlots`, no GPUs are handed out",
        ]
        .join("\n"),
    );
}

#[test]
fn mistakes_in_the_surroundings_are_shown_with_their_line() {
    check(
        "timeScale: 1",
        "gateway: {lisen: x}",
        &[
            "preheat.yaml:1:11: unknown field `lisen`, expected one of listen, hold, bodyBytesMax",
            "  |",
            "1 | gateway: {lisen: x}",
            "  |           ^",
            "hint: did you mean `listen`?",
        ],
    );
    check(
        "timeScale: 1",
        "gateway: {listen: localhost}",
        &[
            "preheat.yaml:1:19: `gateway.listen` is localhost; it must be an address and a port, like 127.0.0.1:8080",
            "  |",
            "1 | gateway: {listen: localhost}",
            "  |                   ^",
        ],
    );
    check(
        "timeScale: 1",
        r#"gateway: {listen: "127.0.0.1:18105"}"#,
        &[
            "preheat.yaml:1:19: `gateway.listen` is 127.0.0.1:18105, which is inside `engine.ports` 18100-18109 of pool `chat`",
            "  |",
            r#"1 | gateway: {listen: "127.0.0.1:18105"}"#,
            "  |                   ^",
            "hint: move the listener or the range",
        ],
    );
    check(
        "timeScale: 1",
        "gateway: {bodyBytesMax: 4KB}",
        &[
            "preheat.yaml:1:25: `4KB` is no size: `KB` is no unit; use B, KiB, MiB or GiB",
            "  |",
            "1 | gateway: {bodyBytesMax: 4KB}",
            "  |                         ^",
        ],
    );
    check(
        "timeScale: 1",
        "journal: [7d]",
        &[
            "preheat.yaml:1:10: not a mapping of keys to values",
            "  |",
            "1 | journal: [7d]",
            "  |          ^",
        ],
    );
    check(
        "name: chat",
        "name: ../chat",
        &[
            "preheat.yaml:3:11: pool name `../chat` must be 1 to 63 letters, digits, `-`, `.` or `_`, a letter or digit first",
            "  |",
            "3 |   - name: ../chat",
            "  |           ^",
        ],
    );
}

#[test]
fn names_models_and_ports_must_differ_and_suffice() {
    check(
        "modelName: m",
        "modelNames: [a, a]",
        &[
            "preheat.yaml:4:21: model `a` is served by pool `chat` already; it must be in one pool only",
            "  |",
            "4 |     modelNames: [a, a]",
            "  |                     ^",
        ],
    );
    check(
        "modelName: m",
        "modelNames: []",
        &[
            "preheat.yaml:3:11: pool `chat` has no model; it must have either `modelName` or `modelNames`",
            "  |",
            "3 |   - name: chat",
            "  |           ^",
        ],
    );
    check(
        "modelName: m",
        "modelName: m\n    modelNames: [a]",
        &[
            "preheat.yaml:5:17: pool `chat` has both `modelName` and `modelNames`; it must have one of them",
            "  |",
            "5 |     modelNames: [a]",
            "  |                 ^",
        ],
    );
    check(
        "    modelName: m\n",
        "",
        &[
            "preheat.yaml:3:11: pool `chat` has no model; it must have either `modelName` or `modelNames`",
            "  |",
            "3 |   - name: chat",
            "  |           ^",
        ],
    );
    check(
        "18100-18109",
        "18109-18100",
        &[
            "preheat.yaml:8:14: `engine.ports` is `18109-18100`; it must be a range like 18100-18199, from 1024 to 65535",
            "  |",
            "8 |       ports: 18109-18100",
            "  |              ^",
        ],
    );
    check(
        "18100-18109",
        "18100-18102",
        &[
            "preheat.yaml:8:14: `engine.ports` has 3 ports; it must have at least maxReplicas, which is 4",
            "  |",
            "8 |       ports: 18100-18102",
            "  |              ^",
            "hint: widen `engine.ports`, or lower `maxReplicas`",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n  - {name: Chat, modelName: x, engine: {ports: 18200-18299}}\n",
        &[
            "preheat.yaml:9:12: pool `Chat` is defined twice, first in line 3",
            "  |",
            "9 |   - {name: Chat, modelName: x, engine: {ports: 18200-18299}}",
            "  |            ^",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n  - {name: other, modelName: m, engine: {ports: 18200-18299}}\n",
        &[
            "preheat.yaml:9:5: model `m` is served by pool `chat` already; it must be in one pool only",
            "  |",
            "9 |   - {name: other, modelName: m, engine: {ports: 18200-18299}}",
            "  |     ^",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n  - {name: other, modelName: n, engine: {ports: 18109-18299}}\n",
        &[
            "preheat.yaml:9:49: `engine.ports` is 18109-18299, which overlaps 18100-18109 of pool `chat`",
            "  |",
            "9 |   - {name: other, modelName: n, engine: {ports: 18109-18299}}",
            "  |                                                 ^",
            "hint: give each pool its own range",
        ],
    );
}

#[test]
fn a_pool_from_zero_needs_a_hold_queue_and_listeners_must_differ() {
    let from_zero = BASE.replace("maxReplicas: 4", "minReplicas: 0");
    assert_eq!(
        parse(&from_zero.replace("timeScale: 1", "gateway: {hold: {requestsMax: 0}}")),
        "preheat.yaml:1:31: `gateway.hold.requestsMax` is 0; it must be at least 1, as pool `chat` \
         starts from zero\n  |\n1 | gateway: {hold: {requestsMax: 0}}\n  |                               ^"
    );
    check("timeScale: 1", "gateway: {hold: {requestsMax: 0}}", &["valid"]);
    check(
        "timeScale: 1",
        "admin: {listen: \"127.0.0.1:8080\"}",
        &[
            "preheat.yaml:1:17: `admin.listen` is 127.0.0.1:8080; it must be different from gateway.listen",
            "  |",
            "1 | admin: {listen: \"127.0.0.1:8080\"}",
            "  |                 ^",
        ],
    );
}

#[test]
fn an_engine_must_be_startable_and_reachable() {
    check(
        "18100-18109\n",
        "18100-18109\n      env: {\"A=B\": s3cret}\n",
        &["preheat.yaml: `a name in engine.env` is `A=B`; it must be a name without `=`"],
    );
    check(
        "maxReplicas: 4",
        "standbyReplicas: 2",
        &[
            "preheat.yaml:5:22: `standbyReplicas` is 2; it must be 0, as the pool has no `engine.sleep`",
            "  |",
            "5 |     standbyReplicas: 2",
            "  |                      ^",
            "hint: for vLLM, `sleep: {}` with `--enable-sleep-mode` and `VLLM_SERVER_DEV_MODE`",
        ],
    );
    check(
        r#"[serve, --port, "{port}"]"#,
        "[]",
        &[
            "preheat.yaml:7:16: `engine.command` is empty; its first word must be a program",
            "  |",
            "7 |       command: []",
            "  |                ^",
        ],
    );
    check(
        r#"[serve, --port, "{port}"]"#,
        "serve --port 80",
        &[
            "preheat.yaml:7:16: not a list",
            "  |",
            "7 |       command: serve --port 80",
            "  |                ^",
        ],
    );
    check(
        r#"[serve, --port, "{port}"]"#,
        "[serve]",
        &[
            "preheat.yaml:7:16: `engine.command` has no `{port}`; replicas would all listen on the same port",
            "  |",
            "7 |       command: [serve]",
            "  |                ^",
            r#"hint: for example `--port`, `"{port}"`"#,
        ],
    );
    check(
        r#"[serve, --port, "{port}"]"#,
        r#"[serve, --host, "{host}", "{port}"]"#,
        &[
            "preheat.yaml:7:32: `{host}` in `engine.command` is no placeholder; it must be one of `{port}`, `{model}`, `{replica}`",
            "  |",
            r#"7 |       command: [serve, --host, "{host}", "{port}"]"#,
            "  |                                ^",
            "hint: for literal braces, double them: `{{name}}`",
        ],
    );
    check(
        r#"[serve, --port, "{port}"]"#,
        "[serve, --port, \"{port}\"]\n      emulated: {}",
        &[
            "preheat.yaml:7:16: pool `chat` has both `engine.command` and `engine.emulated`; it must have one of them",
            "  |",
            r#"7 |       command: [serve, --port, "{port}"]"#,
            "  |                ^",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n      env: {TOKEN: \"s3cret{x}\"}\n",
        &[
            "preheat.yaml: `{x}` in `engine.env.TOKEN` is no placeholder; it must be one of `{port}`, `{model}`, `{replica}`",
            "hint: for literal braces, double them: `{{name}}`",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n      metricsPath: metrics\n",
        &[
            "preheat.yaml:9:20: `engine.metricsPath` is `metrics`; it must be a path that starts with `/`",
            "  |",
            "9 |       metricsPath: metrics",
            "  |                    ^",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n      readiness: {canary: maybe}\n",
        &[
            "preheat.yaml:9:27: invalid boolean",
            "  |",
            "9 |       readiness: {canary: maybe}",
            "  |                           ^",
        ],
    );
    check(
        "      ports: 18100-18109\n",
        "",
        &[
            "preheat.yaml:7:7: missing field `ports`",
            "  |",
            r#"7 |       command: [serve, --port, "{port}"]"#,
            "  |       ^",
        ],
    );
    check(
        "pools:",
        "bananas:",
        &[
            "preheat.yaml:2:1: unknown field `bananas`, expected one of stateDir, timeScale, gpuSlots, gateway, admin, journal, pools",
            "  |",
            "2 | bananas:",
            "  | ^",
        ],
    );
}

#[test]
fn a_file_without_pools_or_without_a_file_is_an_error() {
    assert_eq!(parse(""), "preheat.yaml: `pools` is empty; there must be at least one pool");
    let missing = LocalConfig::read(Path::new("/nonexistent/preheat.yaml")).unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/preheat.yaml: can't be read: "));
    assert!(missing.hint().is_some());
}

#[test]
fn no_text_makes_the_parser_or_the_error_panic() {
    let render = |text: &str| {
        if let Err(error) = LocalConfig::parse(text, Path::new("x.yaml")) {
            assert!(!error.to_string().is_empty());
            let _ = error.hint();
        }
    };
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for dropped in 0..lines.len() {
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != dropped);
        let kept: Vec<&str> = kept.map(|(_, line)| *line).collect();
        render(&kept.join("\n"));
    }
    for (end, _) in EXAMPLE.char_indices() {
        render(&EXAMPLE[..end]);
    }
}

proptest::proptest! {
    #[test]
    fn no_change_of_the_example_makes_the_parser_or_the_error_panic(
        at in 0..EXAMPLE.len(),
        removed in 0..8_usize,
        inserted in ".{0,6}",
    ) {
        let end = (at + removed).min(EXAMPLE.len());
        let changed = format!("{}{inserted}{}", &EXAMPLE[..at], &EXAMPLE[end..]);
        if let Err(error) = LocalConfig::parse(&changed, Path::new("x.yaml")) {
            assert!(!error.to_string().is_empty());
        }
    }
}
