//! Values that are wrong by themselves.

use crate::{BASE, check, parse};

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
        "arrivalWindow: 1s",
        &[
            "preheat.yaml:5:20: `arrivalWindow` is 1s; it must be at least tickInterval",
            "  |",
            "5 |     arrivalWindow: 1s",
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
        "slo: {tpot: 0ms}",
        &[
            "preheat.yaml:5:17: `slo.tpot` is 0ns; it must be above 0s and at most 1h",
            "  |",
            "5 |     slo: {tpot: 0ms}",
            "  |                 ^",
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
        "behavior: {scaleDown: {limit: {share: 1.5}}}",
        &[
            "preheat.yaml:5:43: `behavior.scaleDown.limit.share` is 1.5; it must be from 0 to 1",
            "  |",
            "5 |     behavior: {scaleDown: {limit: {share: 1.5}}}",
            "  |                                           ^",
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
        "maxReplicas: 4",
        "worthPerGpuHour: -1",
        &[
            "preheat.yaml:5:22: `worthPerGpuHour` is -1; it must be from 0 to 1000000",
            "  |",
            "5 |     worthPerGpuHour: -1",
            "  |                      ^",
        ],
    );
    check(
        "maxReplicas: 4",
        "priority: high",
        &[
            "preheat.yaml:5:15: not a whole number from -2147483648 to 2147483647",
            "  |",
            "5 |     priority: high",
            "  |               ^",
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
