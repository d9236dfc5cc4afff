//! `preheat backtest`: a past that is read back from where it was recorded comes to what it was.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/prometheus.rs"]
mod prometheus;
#[path = "common/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use prometheus::serve;
use run::{json_of, preheat};

const HOURS: u64 = 3;
const STEP_S: u64 = 30;
const POOL: [&str; 10] = [
    "--max-num-seqs",
    "8",
    "--cold-start",
    "120s",
    "--max-replicas",
    "30",
    "--initial-replicas",
    "8",
    "--slo-quantile",
    "0.95",
];

/// A request: when, prompt tokens, generated tokens.
type Request = (f64, u64, u64);

/// Traffic that rises and falls twice, with lengths that vary. For less than a few replicas, arrivals that
/// are drawn anew from the same rates would come to other GPU-hours by more than what is looked for.
fn traffic() -> Vec<Request> {
    let mut state = 42_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let (mut at, mut requests) = (0.0, Vec::new());
    while at < (HOURS * 3600) as f64 {
        let rate = 10.0 + 6.0 * (at / (HOURS * 3600) as f64 * 4.0 * std::f64::consts::PI).sin();
        at += -(1.0 - random()).ln() / rate;
        let (input, output) = (600.0 + 400.0 * random(), 120.0 + 80.0 * random());
        requests.push((at, input as u64, output as u64));
    }
    requests.retain(|request| request.0 < (HOURS * 3600) as f64);
    requests
}

fn write_trace(folder: &Path, requests: &[Request]) -> PathBuf {
    let path = folder.join("day.csv");
    let mut text = String::from("arrival_s,input_tokens,output_tokens\n");
    for (at, input, output) in requests {
        writeln!(text, "{at:.6},{input},{output}").expect("strings take it");
    }
    fs::write(&path, text).expect("the trace can be written");
    path
}

#[track_caller]
fn near(what: &str, found: &Value, expected: &Value) {
    let (found, expected) = (found.as_f64().expect(what), expected.as_f64().expect(what));
    assert!(
        (found / expected - 1.0).abs() < 0.02,
        "{what}: {found} is not within 2 % of {expected}"
    );
}

/// What a Prometheus would have seen of the day: counters and gauges of each replica while it is
/// ready, at each step, and the share of first tokens in time.
struct Recorded {
    requests: Vec<Request>,
    minutes: Vec<Value>,
}

impl Recorded {
    fn minute(&self, at: u64, key: &str) -> u64 {
        let row = self.minutes.get((at / 60) as usize).or(self.minutes.last());
        row.and_then(|row| row[key].as_u64()).unwrap_or(0)
    }

    /// Per replica, its counter at each step.
    fn counters(&self, of: fn(&Request) -> f64) -> Vec<Vec<(u64, f64)>> {
        let mut replicas: Vec<Vec<(u64, f64)>> = Vec::new();
        let mut index = 0;
        for step in 0..=HOURS * 3600 / STEP_S {
            let at = step * STEP_S;
            let mut counted = 0.0;
            while let Some(request) = self.requests.get(index).filter(|r| r.0 <= at as f64) {
                counted += of(request);
                index += 1;
            }
            let ready = self.minute(at, "ready").max(1) as usize;
            replicas.resize(replicas.len().max(ready), Vec::new());
            for replica in replicas.iter_mut().take(ready) {
                let before = replica.last().map_or(0.0, |last| last.1);
                replica.push((at, before + counted / ready as f64));
            }
        }
        replicas
    }

    fn answer(&self, form: &BTreeMap<String, String>) -> String {
        let query = form.get("query").map(String::as_str).unwrap_or_default();
        let start: u64 = form.get("start").and_then(|s| s.parse().ok()).unwrap_or(0);
        let matrix = |name: &str, replicas: Vec<Vec<(u64, f64)>>| -> Vec<Value> {
            let series = replicas.into_iter().enumerate().map(|(replica, points)| {
                let values: Vec<Value> = points
                    .into_iter()
                    .map(|(at, value)| json!([start + at, value.to_string()]))
                    .collect();
                json!({
                    "metric": {"__name__": name, "instance": format!("r{replica}"), "model_name": "m"},
                    "values": values,
                })
            });
            series.collect()
        };
        let constant = |value: f64| {
            let mut replicas = self.counters(|_| 0.0);
            replicas.iter_mut().flatten().for_each(|point| point.1 = value);
            replicas
        };
        let name = |name: &'static str| query.contains(name).then_some(name);
        let result = if query.starts_with("count by (__name__)") {
            vec![json!({"metric": {"__name__": "vllm:num_requests_running"},
                        "values": [[start, "1"]]})]
        } else if query.starts_with("max(count_over_time(") {
            // Of ten minutes.
            vec![json!({"metric": {}, "values": [[start, (600 / STEP_S).to_string()]]})]
        } else if query.starts_with("count by (le)") {
            let bound = |le: &str| json!({"metric": {"le": le}, "values": [[start, "1"]]});
            vec![bound("2.0"), bound("+Inf")]
        } else if query.contains("_bucket") {
            let buckets = |le: &str, key: &str| {
                let mut counted = 0;
                let mut point = |minute: u64| {
                    if minute > 0 {
                        counted += self.minute((minute - 1) * 60, key);
                    }
                    json!([start + minute * 60, counted.to_string()])
                };
                let values: Vec<Value> = (0..=HOURS * 60).map(&mut point).collect();
                json!({"metric": {"le": le}, "values": values})
            };
            vec![buckets("2.0", "within_slo"), buckets("+Inf", "arrivals")]
        } else if let Some(name) = name("vllm:request_success_total") {
            matrix(name, self.counters(|_| 1.0))
        } else if let Some(name) = name("vllm:prompt_tokens_total") {
            matrix(name, self.counters(|request| request.1 as f64))
        } else if let Some(name) = name("vllm:generation_tokens_total") {
            matrix(name, self.counters(|request| request.2 as f64))
        } else if let Some(name) = name("vllm:num_requests_running") {
            matrix(name, constant(1.0))
        } else if let Some(name) = name("vllm:num_requests_waiting") {
            matrix(name, constant(0.0))
        } else {
            Vec::new()
        };
        let data = json!({"resultType": "matrix", "result": result});
        json!({"status": "success", "data": data}).to_string()
    }
}

#[test]
fn a_day_that_was_recorded_comes_to_what_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let requests = traffic();
    let trace = write_trace(folder.path(), &requests);
    let trace = trace.to_str().expect("a path");
    let journal = folder.path().join("day.db");
    let journal = journal.to_str().expect("a path");
    let simulate = ["simulate", "--trace", trace, "--json", "--series", "--journal", journal];
    let direct = json_of(&[&simulate[..], &POOL].concat());

    let minutes = direct["series"].as_array().expect("minutes").clone();
    let recorded = Recorded { requests, minutes };
    let url = serve(move |form| recorded.answer(form));
    let from = format!("-{HOURS}h");
    let common = ["--from", &from, "--step", "30s", "--policies", "keda-waiting", "--json"];
    for (source, name) in [("--prometheus", url.as_str()), ("--journal", journal)] {
        let which: &[&str] = if source == "--prometheus" { &["--pool", "m"] } else { &[] };
        let arguments = [&["backtest", source, name], which, &common[..], &POOL].concat();
        let found = json_of(&arguments);
        let preheat = &found["policies"][0];
        assert_eq!(preheat[0], "preheat");
        // Eight starts of 120 s before the day are in the run's bill, and in none of its history's.
        let bill = json!(direct["gpu_hours"].as_f64().expect("GPU-hours") - 8.0 * 120.0 / 3600.0);
        for (whose, told) in [("preheat", &preheat[1]), ("what happened", &found["happened"])] {
            let what = |key: &str| format!("{source}, {whose}, {key}");
            near(&what("attainment"), &told["attainment"], &direct["attainment"]);
            near(&what("gpu_hours"), &told["gpu_hours"], &bill);
        }
        let other = &found["policies"][1];
        assert_eq!(other[0], "keda-waiting");
        assert!(found["optimum_gpu_hours"].as_f64() < preheat[1]["gpu_hours"].as_f64());
        let yaml = found["recommendation"]["yaml"].as_str().expect("YAML");
        for key in ["minReplicas: 1\n", "maxReplicas: ", "slo: { ttft: 2s", "coldStart: { p50: "] {
            assert!(yaml.contains(key), "{yaml}");
        }
        assert_eq!(found["trust"]["gap_share"], 0.0, "{}", found["trust"]);
    }
}

/// What is recommended keeps the SLO, and one replica fewer does not.
#[test]
fn the_fewest_replicas_are_what_it_takes_to_keep_the_slo() {
    // With few slots, so that one replica is less than the bursts of a minute need.
    let pool = ["--trace", "azure-conversation", "--initial-replicas", "2", "--max-num-seqs", "8"];
    let found = json_of(&[&["backtest"], &pool[..], &["--json"]].concat());
    let yaml = found["recommendation"]["yaml"].as_str().expect("a configuration");
    let fewest = yaml.lines().find_map(|line| line.strip_prefix("minReplicas: "));
    let fewest: u32 = fewest.expect("a lower bound").parse().expect("a number");
    assert!(fewest > 1, "{yaml}");
    assert_eq!(found["recommendation"]["slo_is_feasible"], true);
    let attained = |min: u32| {
        let min = min.to_string();
        let run = [&["simulate", "--json", "--min-replicas", &min], &pool[..]].concat();
        json_of(&run)["attainment"].as_f64().expect("a ratio")
    };
    assert!(attained(fewest) >= 0.99);
    assert!(attained(fewest - 1) < 0.99);
}

#[test]
fn what_can_not_be_read_says_so() {
    let empty = serve(|_| {
        json!({"status": "success", "data": {"resultType": "matrix", "result": []}}).to_string()
    });
    let html = serve(|_| "<html>login</html>".to_owned());
    for (arguments, expected) in [
        (vec!["--prometheus", &empty, "--pool", "m"], "no known engine tells {model_name=\"m\"}"),
        (vec!["--prometheus", &html, "--pool", "m"], "begins with \"<html>login</html>\""),
        (vec!["--prometheus", &html], "nothing says which series are the pool's"),
        (vec!["--prometheus", "prometheus:9090", "--pool", "m"], "is no URL of a Prometheus"),
        (
            vec!["--prometheus", &empty, "--query", "queue=q"],
            "`queue` is no signal; there are running",
        ),
        (vec!["--trace", "azure-code", "--policies", "preheat"], "which is in every backtest"),
        (vec![], "required"),
    ] {
        let output = preheat(&[&["backtest"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}
