//! Values that are wrong together, and engines that could not be started.

use std::path::Path;

use preheat_api::config::LocalConfig;

use crate::{BASE, check, parse};

#[test]
fn whoever_is_not_on_this_machine_needs_a_token() {
    let everywhere = "admin: {listen: '0.0.0.0:8081'}\npools:";
    check(
        "pools:",
        everywhere,
        &[
            "preheat.yaml:2:17: `admin.listen` is 0.0.0.0:8081; it must be of this machine, like 127.0.0.1:8081, or `admin.tokenFile` must be set",
            "  |",
            "2 | admin: {listen: '0.0.0.0:8081'}",
            "  |                 ^",
        ],
    );
    let guarded = "admin: {listen: '0.0.0.0:8081', tokenFile: token}\npools:";
    assert_eq!(parse(&BASE.replace("pools:", guarded)), "valid");
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
        "standby: {replicas: 2}",
        &[
            "preheat.yaml:5:14: `standby` is given, and the pool has no `engine.sleep`",
            "  |",
            "5 |     standby: {replicas: 2}",
            "  |              ^",
            "hint: for vLLM, `sleep: {}` with `--enable-sleep-mode` and `VLLM_SERVER_DEV_MODE`",
        ],
    );
    check(
        "maxReplicas: 4",
        "standby: {wake: 3s}",
        &[
            "preheat.yaml:5:14: `standby` has neither `price` nor `replicas`",
            "  |",
            "5 |     standby: {wake: 3s}",
            "  |              ^",
            "hint: `price: 0.25` where a sleeping replica costs a quarter of one that is awake, 1 where \
             it keeps its GPU for itself; or `replicas: 2` to keep two asleep whatever comes",
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
        "18100-18109\n      dialect: vllm2\n",
        &[
            "preheat.yaml:9:16: `engine.dialect` is `vllm2`; it must be one of auto, vllm, sglang, tensorrt-llm, triton, tgi, llama.cpp, dynamo, endpoint-picker",
            "  |",
            "9 |       dialect: vllm2",
            "  |                ^",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n      metrics: {running: my_running}\n",
        &[
            "preheat.yaml:9:16: `engine.metrics.waiting` is not given; it must be the name of a metric, as in `my_engine_requests_running`",
            "  |",
            "9 |       metrics: {running: my_running}",
            "  |                ^",
        ],
    );
    check(
        "18100-18109\n",
        "18100-18109\n      metrics: {running: a, waiting: b}\n      dialect: vllm\n",
        &[
            "preheat.yaml:10:16: both `engine.dialect` and `engine.metrics` are given; only one of them can be",
            "   |",
            "10 |       dialect: vllm",
            "   |                ^",
            "hint: `dialect` is for engines whose metrics are known, `metrics` for all others",
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
fn a_priority_that_could_change_nothing_is_a_mistake() {
    check(
        "maxReplicas: 4",
        "priority: 5",
        &[
            "preheat.yaml:5:15: `priority` is 5; it must be left out, as without `gpuSlots` there are no GPUs to share",
            "  |",
            "5 |     priority: 5",
            "  |               ^",
        ],
    );
    let shared = BASE.replace("timeScale: 1", "gpuSlots: 4");
    assert_eq!(parse(&shared.replace("maxReplicas: 4", "priority: -5")), "valid");
    let none = shared.replace("18100-18109", "18100-18109\n      gpusPerReplica: 0");
    assert_eq!(
        parse(&none.replace("maxReplicas: 4", "worthPerGpuHour: 2.5")),
        "preheat.yaml:5:22: `worthPerGpuHour` is 2.5; it must be left out, as the pool's replicas \
         take no GPUs: `gpusPerReplica` is 0\n  |\n5 |     worthPerGpuHour: 2.5\n  \
         |                      ^"
    );
}

#[test]
fn a_file_without_pools_or_without_a_file_is_an_error() {
    assert_eq!(parse(""), "preheat.yaml: `pools` is empty; there must be at least one pool");
    let missing = LocalConfig::read(Path::new("/nonexistent/preheat.yaml")).unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/preheat.yaml: can't be read: "));
    assert!(missing.hint().is_some());
}
