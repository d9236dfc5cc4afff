//! `preheat import` as a command: what goes to stdout, what to stderr, and how it ends. What becomes
//! of each manifest is tested in `preheat-api`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
mod common;

use std::fs::File;

use common::Stage;

const HPA: &str = include_str!("../../preheat-api/tests/import/manifests/hpa.yaml");

#[test]
fn what_is_written_is_a_configuration_and_the_rest_is_told() {
    let stage = Stage::new();
    let file = stage.file("hpa.yaml", HPA);
    let ran = stage.run(&["import", &file, "--to", "local"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(told[0], "HorizontalPodAutoscaler prod/chat: 4 keys not carried over");
    assert!(told[1].contains("hpa.yaml:16: spec.metrics[0]: Pods metric"), "{told:?}");
    let config = stage.file("preheat.yaml", &ran.stdout);
    let checked = stage.run(&["up", "--check", &config]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn standard_input_is_read_and_a_mistake_in_it_has_its_place() {
    let stage = Stage::new();
    let from = |text: &str| {
        let file = File::open(stage.file("stdin.yaml", text)).expect("a file");
        stage.command(&["import", "-"]).stdin(file).output().expect("preheat runs")
    };
    let good = from(HPA);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert!(String::from_utf8_lossy(&good.stdout).contains("\nkind: InferenceAutoscaler\n"));
    let bad = from(&HPA.replace("maxReplicas: 8", "maxReplicas: many"));
    assert_eq!((bad.status.code(), bad.stdout.len()), (Some(2), 0), "{bad:?}");
    let said = String::from_utf8_lossy(&bad.stderr);
    let expected = "error: stdin:14:16: `spec.maxReplicas` is many; it must be a number\n";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn what_is_not_there_can_not_be_read() {
    let ran = Stage::new().run(&["import", "missing.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("error: missing.yaml: can't be read: "), "{ran:?}");
    assert!(ran.stderr.contains("\nhint: pass a file of manifests"), "{ran:?}");
}
