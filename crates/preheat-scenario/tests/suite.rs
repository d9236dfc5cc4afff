//! Every file in `scenarios/`: what is expected holds, a run gives the same bytes again, and the
//! figures are the ones kept in `snapshots/`.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use preheat_scenario::Scenario;
use preheat_sim::preheat_policy::PREHEAT;
use preheat_sim::report::RunReport;

const UPDATE: &str = "where a change of figures is meant: \
                      INSTA_UPDATE=always cargo test -p preheat-scenario --test suite";

/// A policy of others beside ours, so that a change of the world shows where nothing of ours changed.
const PEER: &str = "keda-concurrency";

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let entries = fs::read_dir(folder).expect("scenarios/ is there");
    // Folders below are other suites' (`lab` is the lesson's).
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn scenarios() -> Vec<Scenario> {
    let read = |path: &PathBuf| {
        let scenario = Scenario::read(path).unwrap_or_else(|error| panic!("{error}"));
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(scenario.name, stem, "a scenario is called like its file");
        scenario
    };
    files().iter().map(read).collect()
}

fn row(scenario: &str, report: &RunReport) -> String {
    let RunReport { policy, attainment, gpu_hours, starts, stops, .. } = report;
    let RunReport { replicas_peak, streams_cut, failed, .. } = report;
    format!(
        "{scenario:<24} {policy:<17} {attainment:>10.3} {gpu_hours:>9.2} {starts:>6} {stops:>5} \
         {replicas_peak:>4} {streams_cut:>11} {failed:>6}"
    )
}

#[test]
fn every_scenario_holds_and_repeats_itself() {
    let mut table = format!(
        "{:<24} {:<17} {:>10} {:>9} {:>6} {:>5} {:>4} {:>11} {:>6}\n",
        "scenario",
        "policy",
        "attainment",
        "gpu_hours",
        "starts",
        "stops",
        "peak",
        "streams_cut",
        "failed"
    );
    let mut broken = String::new();
    for scenario in scenarios() {
        // What the announcement is worth.
        let untold = (!scenario.config.scheduled.is_empty()).then_some("preheat-without-schedules");
        for policy in [PREHEAT, PEER].into_iter().chain(untold) {
            let report = scenario.run(policy).unwrap_or_else(|error| panic!("{error}"));
            writeln!(table, "{}", row(&scenario.name, &report)).unwrap();
            for outcome in scenario.outcomes(policy, &report).iter().filter(|o| !o.held) {
                writeln!(broken, "{} under {policy}: {outcome}", scenario.name).unwrap();
            }
            if policy == PREHEAT {
                let again = scenario.run(policy).unwrap_or_else(|error| panic!("{error}"));
                let bytes = |report| serde_json::to_string(report).unwrap();
                assert_eq!(bytes(&report), bytes(&again), "{} twice", scenario.name);
            }
        }
    }
    assert!(broken.is_empty(), "{broken}\n{table}");
    insta::with_settings!({ description => UPDATE }, { insta::assert_snapshot!("table", table) });
}

#[test]
fn every_scenario_expects_that_preheat_cuts_and_loses_nothing() {
    for scenario in scenarios() {
        let ours = scenario.expectations.iter().filter(|e| e.policy == PREHEAT);
        let texts: Vec<String> = ours.map(ToString::to_string).collect();
        for wanted in ["streams_cut at most 0", "failed at most 0"] {
            assert!(texts.iter().any(|text| text == wanted), "{}: {texts:?}", scenario.name);
        }
        assert!(texts.iter().any(|text| text.starts_with("replicas_peak")), "{}", scenario.name);
    }
}

#[test]
fn the_page_lists_every_scenario_and_shows_one_that_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scenarios.md");
    let page = fs::read_to_string(path).expect("the page is there");
    for Scenario { name, about, .. } in scenarios() {
        let row = format!("| [{name}](../scenarios/{name}.yaml) | {about} |");
        assert!(page.contains(&row), "docs/scenarios.md lacks {row}");
    }
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let parsed = Scenario::parse(example.expect("it shows one"), Path::new("docs/scenarios.md"));
    assert_eq!(parsed.unwrap_or_else(|error| panic!("{error}")).name, "flash-crowd");
}
