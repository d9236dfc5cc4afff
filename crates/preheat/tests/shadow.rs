//! `preheat shadow report`: on a journal made here, and on those of simulations.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/prometheus.rs"]
mod prometheus;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use preheat_core::{
    FirstTokens, GatewayObservation, Instant, Memory, Observation, PolicySpec, ReplicaId,
    ReplicaObservation, ReplicaPhase, Sample,
};
use preheat_runtime::controller::Controller;
use preheat_runtime::journal::{Journal, JournalOptions};
use preheat_runtime::routing::PoolId;
use serde_json::{Value, json};

fn preheat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .args(arguments)
        .env("TZ", "UTC")
        .output()
        .expect("preheat runs")
}

#[track_caller]
fn report(journal: &Path, more: &[&str]) -> String {
    let journal = journal.to_str().expect("a path in UTF-8");
    let output = preheat(&[&["shadow", "report", "--journal", journal], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text is UTF-8")
}

#[track_caller]
fn json(journal: &Path, more: &[&str]) -> Value {
    let line = report(journal, &[more, &["--json"]].concat());
    serde_json::from_str(&line).expect("one JSON object")
}

/// Begin of a journal made by hand: 2026-11-24, midnight.
const BEGIN: u64 = 1_795_478_400;

/// A fleet of eight slots a replica, which others scale: `busy` slots of each are in use.
fn observation(controller: &Controller, at: u64, replicas: u32, busy: u32) -> Observation {
    let now = Instant::ORIGIN.saturating_add(Duration::from_secs(at));
    let replica = |id: u32| ReplicaObservation {
        in_flight: Some(Sample::new(busy.min(8), now)),
        queue_depth: Some(Sample::new(busy.saturating_sub(8), now)),
        max_num_seqs: preheat_core::Concurrency::new(8),
        outstanding: Some(Sample::new(busy, now)),
        ..ReplicaObservation::untold(ReplicaId(u64::from(id)), ReplicaPhase::Ready, Instant::ORIGIN)
    };
    let late = if busy > 8 { u64::from(busy) } else { 0 };
    let first = FirstTokens { count: u64::from(replicas * busy / 5), late, late_after_start: 0 };
    Observation {
        gateway: Some(GatewayObservation {
            observed_at: now,
            over: Duration::from_secs(2),
            // Ten seconds in a slot each.
            arrivals: u64::from(replicas * busy / 5),
            completions: u64::from(replicas * busy / 5),
            failures: 0,
            rejections: 0,
            held: 0,
            held_oldest: None,
            ttft: None,
            first_tokens: Some(first),
            itl: None,
            engine_time: None,
        }),
        ..Observation::of(controller.next_tick(), now, (0..replicas).map(replica).collect())
    }
}

/// An hour in which another autoscaler keeps two replicas, is late for what comes, and keeps four for
/// long after.
fn by_hand(path: &Path) {
    let journal = Journal::open(path, JournalOptions::default());
    let policy = PolicySpec::default().validate().expect("defaults are valid");
    let controller = Controller::new(PoolId("chat".to_owned()), 1, policy, Memory::default());
    let mut controller = controller.with_journal(journal.clone());
    for second in (0..3600).step_by(2) {
        let (replicas, busy) = match second {
            0..1200 => (2, 3),
            1200..1500 => (2, 12),
            1500..1800 => (4, 6),
            _ => (4, 1),
        };
        let observation = observation(&controller, BEGIN + second, replicas, busy);
        controller.tick(observation);
        if second % 60 == 0 {
            journal.flush();
        }
    }
    let health = journal.close();
    assert!(health.failure.is_none() && health.dropped_records == 0, "{health:?}");
}

#[test]
fn another_autoscaler_beside_what_preheat_wanted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    by_hand(&path);
    let found = json(&path, &[]);
    let pool = &found["pools"][0];
    assert_eq!(pool["pool"], "chat");
    assert_eq!(pool["watched_s"], 3598.0);
    let hours = pool["there"]["replica_hours"].as_f64().expect("a number");
    assert!((hours - (1500.0 * 2.0 + 2098.0 * 4.0) / 3600.0).abs() < 1e-9, "{hours}");
    // It asked for more when the load came, five minutes before the other did, and no longer for so
    // many when it was gone.
    let ups = pool["scale_ups"]["all"].as_array().expect("a list");
    assert_eq!(ups.len(), 1, "{ups:?}");
    let lead_s = ups[0]["lead_s"].as_f64().expect("it wanted as many");
    assert!((240.0..=300.0).contains(&lead_s), "{lead_s}");
    assert!(pool["more"]["s"].as_f64() >= Some(240.0), "{pool}");
    assert!(pool["fewer"]["replica_hours"].as_f64() > Some(0.5), "{pool}");
    let trouble = &pool["troubles"]["all"][0];
    let at_s = (BEGIN + 1200) as f64;
    assert_eq!((&trouble["at_s"], &trouble["s"]), (&at_s.into(), &298.0.into()));
    assert_eq!((&trouble["queued_peak"], &trouble["ready"]), (&8.into(), &2.into()));
    assert!(trouble["wanted_lead_time_before"].as_u64() <= Some(2), "nobody saw it come");
    assert_eq!(pool["troubles"]["with_more"], 0);

    let text = report(&path, &["--pool", "chat"]);
    for expected in [
        "chat  60 min watched, 2026-11-24 00:00:00 to 2026-11-24 00:59:58\n",
        "The other scaled up 1 time. preheat wanted as many earlier 1, at once 0, later 0, never 0",
        "2026-11-24 00:25:00        2 -> 4  ",
        "- what was seen is what came to the replicas that there were",
        "- clipped: in 8.3 % of the time a request or more waited for each ready replica",
    ] {
        assert!(text.contains(expected), "{text} lacks {expected}");
    }
    // The last half hour has no trouble in it.
    let end = json(&path, &["--from", "-29m"]);
    let pool = &end["pools"][0];
    assert_eq!(pool["watched_s"], 1740.0);
    assert_eq!((&pool["troubles"]["late"], &pool["there"]["replicas_min"]), (&0.into(), &4.into()));
}

fn simulated(folder: &Path, policy: &str, more: &[&str]) -> (std::path::PathBuf, Value) {
    let journal = folder.join(format!("{policy}.db"));
    let path = journal.to_str().expect("a path in UTF-8");
    let arguments = [
        &["simulate", "--trace", "azure-conversation", "--until", "20m", "--initial-replicas", "2"]
            [..],
        &["--cold-start", "120s", "--policy", policy, "--journal", path, "--json"][..],
        more,
    ];
    let output = preheat(&arguments.concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (journal, serde_json::from_slice(&output.stdout).expect("one JSON object"))
}

/// Where preheat itself scales, what it wanted is what there was, and the report says whom it compares.
#[test]
fn preheat_is_no_other_than_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (journal, run) = simulated(folder.path(), "preheat", &[]);
    let found = json(&journal, &[]);
    let pool = &found["pools"][0];
    let hours = |side: &str| pool[side]["replica_hours"].as_f64().expect("a number");
    // A tick passes before what was ordered is there.
    assert!((hours("wanted") / hours("there") - 1.0).abs() < 0.02, "{pool}");
    assert_eq!(pool["there"]["replicas_peak"], run["replicas_peak"]);
    let notes = pool["notes"].as_array().expect("notes");
    assert!(notes.iter().any(|note| note.as_str().is_some_and(|it| it.contains("with itself"))));
}

/// A simulation in whose shadow preheat decides is the one without it, and a fleet of a fixed size is
/// seen as that.
#[test]
fn a_shadow_in_a_simulation_leaves_it_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (journal, run) = simulated(folder.path(), "static:6", &[]);
    let found = json(&journal, &[]);
    let pool = &found["pools"][0];
    assert_eq!(
        (&pool["there"]["replicas_min"], &pool["there"]["replicas_peak"]),
        (&6.into(), &6.into())
    );
    assert_eq!(pool["scale_ups"]["all"].as_array().map(Vec::len), Some(0));
    assert_eq!(run["starts"], 0);
    assert!(pool["wanted"]["changes"].as_u64() > Some(0), "{pool}");
    let alone = preheat(&[
        "simulate",
        "--trace",
        "azure-conversation",
        "--until",
        "20m",
        "--initial-replicas",
        "2",
        "--cold-start",
        "120s",
        "--policy",
        "static:6",
        "--json",
    ]);
    let alone: Value = serde_json::from_slice(&alone.stdout).expect("one JSON object");
    assert_eq!(alone["attainment"], run["attainment"]);
    assert_eq!(alone["gpu_hours"], run["gpu_hours"]);
}

#[test]
fn what_can_not_be_compared_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    let journal = Journal::open(&path, JournalOptions::default());
    let policy = PolicySpec::default().validate().expect("defaults are valid");
    let controller = Controller::new(PoolId("chat".to_owned()), 1, policy, Memory::default());
    let mut controller = controller.with_journal(journal.clone());
    let first = observation(&controller, BEGIN, 2, 1);
    controller.tick(first);
    journal.close();
    let path = path.to_str().expect("a path in UTF-8");
    let missing = folder.path().join("none.db").display().to_string();
    for (arguments, expected) in [
        (vec!["--journal", path], "no two ticks to compare anything between"),
        (vec!["--journal", path, "--pool", "other"], "the journal has no pool \"other\""),
        (vec!["--journal", &missing], "none.db"),
        (vec!["--journal", path, "--from", "yesterday"], "--from"),
    ] {
        let output = preheat(&[&["shadow", "report"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

/// The hour that was made by hand, as a Prometheus has it that scraped the engines: `busy` requests of
/// each replica, of which eight run, and counters that grow by two requests a step for each that runs.
fn recorded(form: &BTreeMap<String, String>, begin: u64) -> String {
    let number = |key: &str| form[key].parse::<u64>().expect("a number");
    let mut series: BTreeMap<(String, &str), Vec<Value>> = BTreeMap::new();
    for at in (number("start")..=number("end")).step_by(number("step") as usize) {
        let second = at.saturating_sub(begin);
        let (replicas, busy) = match second {
            0..1200 => (2, 3),
            1200..1500 => (2, 12),
            1500..1800 => (4, 6),
            _ => (4, 1),
        };
        for replica in 0..replicas {
            let told = [
                ("vllm:num_requests_running", busy.min(8)),
                ("vllm:num_requests_waiting", busy - busy.min(8)),
                ("vllm:request_success_total", second),
                ("vllm:prompt_tokens_total", second * 100),
                ("vllm:generation_tokens_total", second * 20),
            ];
            for (name, value) in told {
                let points = series.entry((format!("10.0.0.{replica}:8000"), name)).or_default();
                points.push(json!([at, value.to_string()]));
            }
        }
    }
    let series = series.into_iter().map(|((instance, name), values)| {
        json!({"metric": {"__name__": name, "instance": instance, "model_name": "m"}, "values": values})
    });
    let data = json!({"resultType": "matrix", "result": series.collect::<Vec<_>>()});
    json!({"status": "success", "data": data}).to_string()
}

#[test]
fn a_prometheus_alone_is_enough() {
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let begin = began.expect("after 1970").as_secs() - 3600;
    let url = prometheus::serve(move |form| recorded(form, begin));
    let arguments = ["shadow", "report", "--prometheus", &url, "--pool", "m", "--from", "-1h"];
    let more = ["--step", "30s", "--cold-start", "120s", "--max-num-seqs", "8", "--json"];
    let output = preheat(&[&arguments[..], &more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let pool = &found["pools"][0];
    assert_eq!((&pool["pool"], &pool["ticks"]), (&"m".into(), &121.into()));
    // Two were seen from 1500 s on, and are taken to have been ordered two minutes before.
    let up = &pool["scale_ups"]["all"][0];
    let at_s = up["at_s"].as_f64().expect("a moment") - begin as f64;
    assert!((1350.0..=1410.0).contains(&at_s), "{at_s}");
    assert_eq!((&up["before"], &up["after"]), (&2.into(), &4.into()));
    assert_eq!(pool["scale_ups"]["all"].as_array().map(Vec::len), Some(1));
    let hours = pool["there"]["replica_hours"].as_f64().expect("a number");
    assert!((hours - (1380.0 * 2.0 + 2220.0 * 4.0) / 3600.0).abs() < 0.1, "{hours}");
    assert_eq!((&pool["blind_s"], &pool["troubles"]["first_tokens"]), (&0.0.into(), &0.into()));
    assert_eq!(pool["troubles"]["all"].as_array().map(Vec::len), Some(1));
    assert!(pool["fewer"]["s"].as_f64() > Some(600.0), "{pool}");
    assert!(pool["wanted"]["replicas_peak"].as_u64() > Some(2), "{pool}");

    // The same by queries, for an engine of which nothing is known.
    let queried = prometheus::serve(move |form| {
        let asked = &form["query"];
        let name = |query: &str, name: &str| asked.contains(query).then(|| name.to_owned());
        let names = [
            name("my_batch", "vllm:num_requests_running"),
            name("my_queue", "vllm:num_requests_waiting"),
            name("my_done", "vllm:request_success_total"),
            name("my_prompts", "vllm:prompt_tokens_total"),
            name("my_tokens", "vllm:generation_tokens_total"),
        ];
        let name = names.into_iter().flatten().next().expect("one of the queries");
        let mut answer: Value = serde_json::from_str(&recorded(form, begin)).expect("JSON");
        let series = answer["data"]["result"].as_array_mut().expect("series");
        series.retain(|one| one["metric"]["__name__"] == name);
        for one in series {
            one["metric"] = json!({"pod": one["metric"]["instance"]});
        }
        answer.to_string()
    });
    let queries = [
        "running=sum by (pod) (my_batch)",
        "waiting=sum by (pod) (my_queue)",
        "completions=my_done",
        "promptTokens=my_prompts",
        "generationTokens=my_tokens",
    ];
    let queries: Vec<&str> = queries.iter().flat_map(|query| ["--query", query]).collect();
    let arguments =
        ["shadow", "report", "--prometheus", &queried, "--from", "-1h", "--replica-label"];
    let output = preheat(&[&arguments[..], &["pod"], &more, &queries].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let by_queries: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let of_queries = &by_queries["pools"][0];
    for key in ["there", "wanted", "more", "fewer"] {
        assert_eq!(of_queries[key], pool[key], "{key}");
    }

    let empty = prometheus::serve(|_| {
        json!({"status": "success", "data": {"resultType": "matrix", "result": []}}).to_string()
    });
    for (arguments, expected) in [
        (vec!["--prometheus", &empty, "--pool", "m"], "nothing tells of m in that time"),
        (vec!["--prometheus", &url], "nothing says which series are the pool's"),
        (vec!["--prometheus", &url, "--pool", "m", "--max-num-seqs", "0"], "--max-num-seqs is 0"),
        (vec!["--prometheus", &url, "--pool", "m", "--min-replicas", "200"], "replicas_min"),
        (vec!["--prometheus", &url, "--journal", "x"], "cannot be used with"),
        (vec!["--step", "30s"], "--prometheus"),
        (vec!["--prometheus", &url, "--query", "running=r"], "`waiting` is not given, and must be"),
        (vec!["--prometheus", &url, "--query", "running"], "write it like running="),
        (
            vec!["--prometheus", &url, "--query", "running=r", "--query", "waiting=sum(w"],
            "--query: `waiting`: it is no PromQL: unclosed left parenthesis",
        ),
    ] {
        let output = preheat(&[&["shadow", "report"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}
