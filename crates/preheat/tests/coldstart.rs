//! `preheat coldstart`: on a journal made here, on one of a simulation, and on one of real processes.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "common/mod.rs"]
mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use preheat_core::{
    Instant, MachineState, Memory, Observation, PolicySpec, ReplicaId, ReplicaObservation,
    ReplicaPhase, Rung, TickId,
};
use preheat_runtime::controller::Controller;
use preheat_runtime::journal::{Journal, JournalOptions};
use preheat_runtime::routing::PoolId;
use serde_json::Value;

use common::{Stage, totals};

fn preheat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat")).args(arguments).output().expect("preheat runs")
}

#[track_caller]
fn coldstart(journal: &Path, more: &[&str]) -> String {
    let journal = journal.to_str().expect("a path in UTF-8");
    let output = preheat(&[&["coldstart", "--journal", journal], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text is UTF-8")
}

#[track_caller]
fn json(journal: &Path, more: &[&str]) -> Value {
    let line = coldstart(journal, &[more, &["--json"]].concat());
    serde_json::from_str(&line).expect("one JSON object")
}

/// A pool's journal, written one observation after the other.
struct Pool {
    controller: Controller,
    journal: Journal,
    now: u64,
    replicas: u64,
    /// What the machines of replicas to come hold.
    machine: MachineState,
}

impl Pool {
    fn begun(path: &Path) -> Self {
        let journal = Journal::open(path, JournalOptions::default());
        let policy = PolicySpec::default().validate().expect("defaults are valid");
        let pool = PoolId("chat".to_owned());
        let controller = Controller::new(pool, 1, policy, Memory::default());
        let controller = controller.with_journal(journal.clone());
        let machine = MachineState::default();
        Self { controller, journal, now: 1_000_000, replicas: 0, machine }
    }

    /// Ticks every 2 s, as if a replica were in each of these phases for so many seconds. It is gone
    /// then.
    fn lives(&mut self, phases: &[(ReplicaPhase, u64)]) {
        let at = |seconds| Instant::ORIGIN.saturating_add(Duration::from_secs(seconds));
        let (id, mut ordered) = (ReplicaId(self.replicas), self.now);
        self.replicas += 1;
        for (phase, took) in phases {
            let since = self.now;
            if matches!(phase, ReplicaPhase::Waking(_)) {
                ordered = since;
            }
            while self.now < since + took {
                let replica = ReplicaObservation {
                    start_ordered_at: at(ordered),
                    machine: self.machine,
                    ..ReplicaObservation::untold(id, *phase, at(since))
                };
                self.controller.tick(Observation::of(
                    self.controller.next_tick(),
                    at(self.now),
                    vec![replica],
                ));
                self.now += 2;
            }
            self.journal.flush();
        }
    }

    fn ended(self) {
        let health = self.journal.close();
        assert!(health.failure.is_none() && health.dropped_records == 0, "{health:?}");
        assert_ne!(self.controller.next_tick(), TickId(0));
    }
}

#[test]
fn where_the_time_goes_in_words_and_pictures() {
    use ReplicaPhase::{Loading, Pending, Pulling, Ready, Warming};
    let asleep = (ReplicaPhase::Standby(Rung::Sleeping), 60);
    let waking = (ReplicaPhase::Waking(Rung::Sleeping), 4);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    let mut pool = Pool::begun(&path);
    pool.lives(&[(Pulling, 40), (Loading, 60), (Warming, 20), (Ready, 60)]);
    pool.lives(&[(Loading, 80), (Warming, 40), (Ready, 60), asleep, waking, (Ready, 60)]);
    pool.lives(&[(Pending, 2), (Pulling, 38), (Loading, 100), (Warming, 30), (Ready, 60)]);
    // Given up while it loads, later than two of the others had loaded.
    pool.lives(&[(Pulling, 20), (Loading, 90)]);
    pool.lives(&[(Pulling, 40), (Loading, 60), (Warming, 20), (Ready, 60)]);
    pool.ended();
    insta::assert_snapshot!(coldstart(&path, &[]), @r"
    chat  4 starts became ready in 17 min, 345 a day; 1 more was given up or under way, and counts as longer than seen; 1 wake.

    phase         starts      p50      p90  share
    pending            1    2.0 s    2.0 s   0.00  ▏
    pulling            4     38 s     40 s   0.22  █████████
    loading            4     80 s    100 s   0.57           ███████████████████████
    warming            4     20 s     40 s   0.21                                  ████████
    whole start        4    120 s    170 s   1.00  ████████████████████████████████████████

    would save              a start  GPU-hours a day
    image pre-pulled           30 s             2.83
    weights on local NVMe      45 s             4.31
    compile cache             8.2 s             0.79
    sleep, not stop           128 s            12.31

    - image pre-pulled: pulling takes no time.
    - weights on local NVMe: loading takes 0.4 times as long (64 GB over four GPUs: 6.5 s from NVMe, 16.5 s from an object store); --config or --profile tell the bytes of the weights.
    - compile cache: warming is 0.3 shorter (0.14 and 0.43 in two public logs of vLLM), and there was no cache.
    - sleep, not stop: a replica sleeps in place of each start, and its wake takes 4.0 s (the median of the wakes seen); while it sleeps it keeps its GPU, unless something else may use it.
    - A start's saving is the mean over those that became ready; GPU-hours a day are that × 344.9 starts a day × 1 GPU a replica (assumed; --config or --profile would tell). Savings overlap: they do not add up.
    ");
    let why = preheat(&["why", "--journal", path.to_str().expect("a path in UTF-8")]);
    let why = String::from_utf8(why.stdout).expect("text is UTF-8");
    let line = why.lines().find(|line| line.contains("Phases of a start")).expect("one");
    let told = "Phases of a start: pending 0.68 s (2.0 s at p90, 1 seen), \
                pulling 38 s (40 s at p90, 4 seen), \
                loading 80 s (102 s at p90, 4 seen, 1 unfinished), \
                warming 25 s (40 s at p90, 4 seen).";
    assert_eq!(line.trim(), told);
    let told = json(&path, &["--profile", "llama3.1-70b-fp8-h100-tp4"]);
    let weights = &told["pools"][0]["savings"][1];
    // Of 60, 80, 100 and 60 s of loading.
    assert_eq!(weights["saves_s"].as_f64().map(f64::round), Some(36.0), "{weights}");
    let assumed =
        "loading takes 39 s: 10.0 s to start a process, and 72.6 GB of weights at 2.5 GB/s";
    assert_eq!(weights["assumption"], assumed);
}

#[test]
fn starts_are_told_apart_by_what_their_machine_held() {
    use ReplicaPhase::{Loading, Pulling, Ready, Warming};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    let mut pool = Pool::begun(&path);
    pool.machine = MachineState::BARE;
    pool.lives(&[(Pulling, 60), (Loading, 90), (Warming, 30), (Ready, 20)]);
    pool.lives(&[(Pulling, 80), (Loading, 90), (Warming, 30), (Ready, 20)]);
    pool.machine = MachineState { image: Some(true), weights: Some(true) };
    pool.lives(&[(Pulling, 2), (Loading, 20), (Warming, 30), (Ready, 20)]);
    pool.machine = MachineState::default();
    pool.lives(&[(Loading, 70), (Warming, 30), (Ready, 20)]);
    pool.ended();
    let text = coldstart(&path, &[]);
    let from = text.find("on a machine with").expect("they are told");
    let table = text.get(from..).and_then(|rest| rest.split("\n\n").next()).expect("a table");
    insta::assert_snapshot!(table, @r"
    on a machine with          starts      p50      p90
    image and weights               1     52 s     52 s
    neither image nor weights       2    180 s    200 s
    nobody knows                    1    100 s    100 s
    ");
    let why = preheat(&["why", "--journal", path.to_str().expect("a path in UTF-8")]);
    let why = String::from_utf8(why.stdout).expect("text is UTF-8");
    let line = why.lines().find(|line| line.contains("Starts on machines")).expect("one");
    let told = "Starts on machines with neither image nor weights 180 s (200 s at p90, 2 seen); \
                image and weights 52 s (52 s at p90, 1 seen).";
    assert_eq!(line.trim(), told);
    let told = json(&path, &[]);
    let machines = told["pools"][0]["machines"].as_array().expect("a list");
    let warm = serde_json::json!({"image": true, "weights": true});
    assert_eq!((&machines[0]["machine"], &machines[0]["mean_s"]), (&warm, &52.0.into()));
}

#[test]
fn a_simulation_shows_one_phase() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    let journal = path.to_str().expect("a path in UTF-8");
    let trace = ["simulate", "--trace", "azure-code", "--max-num-seqs", "8", "--until", "30m"];
    let output = preheat(&[&trace[..], &["--journal", journal]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = json(&path, &["--profile", "qwen-27b-fp8-h100"]);
    let pool = &told["pools"][0];
    assert_eq!((&pool["pool"], &pool["p50_s"]), (&"simulated".into(), &180.0.into()), "{pool}");
    let phases = pool["phases"].as_array().expect("a list");
    assert_eq!(phases.len(), 1, "{pool}");
    assert_eq!((&phases[0]["phase"], &phases[0]["share"]), (&"loading".into(), &1.0.into()));
    let savings = pool["savings"].as_array().expect("a list");
    let saves: Vec<_> = savings.iter().map(|saving| saving["saves_s"].as_f64()).collect();
    // What a phase that is not told apart costs is unknown, not zero.
    assert_eq!(saves, [None, None, None, Some(175.0)]);
    let per_day = pool["starts_per_day"].as_f64().expect("a number");
    let hours = savings[3]["gpu_hours_per_day"].as_f64().expect("a number");
    assert!((hours - per_day * 175.0 / 3600.0).abs() < 1e-9, "{pool}");
    let text = coldstart(&path, &[]);
    assert!(text.contains("Phases are not told apart here: loading is the whole start."), "{text}");
}

#[tokio::test]
async fn real_processes_show_their_phases() {
    let stage = Stage::new();
    let pool = "minReplicas: 1, maxReplicas: 1, coldStart: {p50: 60s, p90: 60s}";
    let mut up = stage.up(&stage.config(20.0, pool, "emulated: {}, gpusPerReplica: 0"));
    stage.ready(1).await;
    let ticks = |pool: &preheat_api::v1::Pool| Some(totals(pool).ticks);
    let seen = stage.pool("ticks", ticks).await;
    stage.pool("one more tick", |pool| (totals(pool).ticks > seen).then_some(())).await;
    assert!(up.terminate().await.success());
    let config = stage.path("preheat.yaml");
    let config = config.to_str().expect("a path in UTF-8");
    let told = json(&stage.state(), &["--pool", "chat", "--config", config]);
    let pool = &told["pools"][0];
    let phases = pool["phases"].as_array().expect("a list");
    let names: Vec<_> = phases.iter().filter_map(|phase| phase["phase"].as_str()).collect();
    assert!(names.contains(&"loading") && names.contains(&"warming"), "{pool}");
    let shares: f64 = phases.iter().filter_map(|phase| phase["share"].as_f64()).sum();
    assert!(shares > 0.5 && shares < 1.0 + 1e-9, "{pool}");
    assert_eq!((&pool["gpus_per_replica"], &pool["starts"]), (&0.into(), &1.into()), "{pool}");
    assert!(pool["weights_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000_000), "{pool}");
}

#[test]
fn what_cannot_be_told_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    let mut pool = Pool::begun(&path);
    pool.lives(&[(ReplicaPhase::Loading, 10)]);
    pool.ended();
    let journal = path.to_str().expect("a path in UTF-8");
    let config = folder.path().join("preheat.yaml");
    let other = "pools: [{name: other, modelName: m, engine: {ports: 18100-18199, emulated: {}}}]";
    std::fs::write(&config, other).expect("the folder can be written");
    let config = config.to_str().expect("a path in UTF-8");
    let missing = format!("{journal}.none");
    for (arguments, expected) in [
        (&["--journal", journal][..], "holds no start of chat that became ready"),
        (&["--journal", &missing], "there is no journal"),
        (&["--journal", journal, "--pool", "none"], "the journal has no pool \"none\""),
        (&["--journal", journal, "--config", config], "the configuration has no pool \"chat\""),
        (&["--journal", journal, "--profile", "none"], "profile"),
    ] {
        let output = preheat(&[&["coldstart"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.starts_with("error: ") && stderr.contains(expected), "{stderr}");
    }
}
