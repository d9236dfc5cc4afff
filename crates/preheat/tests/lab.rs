//! `preheat lab`: written as one page, served at its place, and the same scenarios by hand.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/prometheus.rs"]
mod prometheus;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use preheat_kube::resource::InferenceAutoscaler;
use serde_json::{Value, json};

fn preheat(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("preheat runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn printed_to_a_file_it_is_one_page() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = preheat(folder.path(), &["lab", "--print", "lesson.html"]);
    assert_eq!(text(&output), "");
    let html = fs::read_to_string(folder.path().join("lesson.html")).expect("it was written");
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    assert!(html.contains("<svg") && !html.contains("<script"));
    let nowhere = preheat(folder.path(), &["lab", "--print", "no/such/folder.html"]);
    let error = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(nowhere.status.code() == Some(2) && error.contains("hint: "), "{error}");
}

/// A lab that is served until this is dropped.
struct Served {
    child: Child,
    /// The first line that it prints.
    line: String,
}

impl Served {
    fn of(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_preheat"))
            .args([&["lab", "--listen", "127.0.0.1:0"], arguments].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("preheat runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let served = Self { child, line };
        read.expect("it prints a line");
        served
    }

    /// The body of what it answers.
    fn get(&self, path: &str) -> Value {
        let address = self.line.trim_start_matches("http://").split('/').next();
        let mut stream = TcpStream::connect(address.expect("an address")).expect("it listens");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).expect("JSON")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn served_it_prints_the_lessons_address() {
    let lab = Served::of(&[]);
    let line = &lab.line;
    assert!(line.starts_with("http://127.0.0.1:") && line.ends_with("/#/lab\n"), "{line}");
    assert_eq!(lab.get("/api/v1/lab/figures"), json!([]));
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let open = preheat(folder.path(), &["lab", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.status.code(), Some(2));
}

/// An hour of one engine as a Prometheus has it: in its first half a request every two seconds, in its
/// second two a second, each with 500 tokens in and 80 out, and eight in slots all the time.
fn hour(form: &BTreeMap<String, String>) -> String {
    let query = form.get("query").map(String::as_str).unwrap_or_default();
    let start: u64 = form.get("start").and_then(|start| start.parse().ok()).unwrap_or(0);
    let requests = |at: u64| (at.min(1800) / 2 + at.saturating_sub(1800) * 2) as f64;
    let series = |name: &str, value: &dyn Fn(u64) -> f64| {
        let points = (0..=3600).step_by(30).map(|at| json!([start + at, value(at).to_string()]));
        json!({
            "metric": {"__name__": name, "instance": "r0", "model_name": "m"},
            "values": points.collect::<Vec<Value>>(),
        })
    };
    let told: [(&str, &dyn Fn(u64) -> f64); 5] = [
        ("vllm:request_success_total", &requests),
        ("vllm:prompt_tokens_total", &|at| 500.0 * requests(at)),
        ("vllm:generation_tokens_total", &|at| 80.0 * requests(at)),
        ("vllm:num_requests_running", &|_| 8.0),
        ("vllm:num_requests_waiting", &|_| 0.0),
    ];
    // Scrapes in ten minutes.
    let scrapes: (&str, &dyn Fn(u64) -> f64) = ("", &|_| 20.0);
    let found = if query.starts_with("max(count_over_time(") {
        Some(&scrapes)
    } else {
        told.iter().find(|(name, _)| query.contains(name))
    };
    let result: Vec<Value> = found.map(|(name, value)| series(name, value)).into_iter().collect();
    json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string()
}

#[test]
fn a_prometheus_tells_the_figures_of_ones_own_cluster() {
    let url = prometheus::serve(hour);
    let lab =
        Served::of(&["--prometheus", &url, "--pool", "m", "--from", "-1h", "--slo-ttft", "1s"]);
    assert_eq!(lab.get("/api/v1/lab/figures"), json!(["m"]));
    let figures = lab.get("/api/v1/lab/figures/m");
    for (name, expected) in [
        ("qps", json!(2.0)),
        ("quiet_qps", json!(0.5)),
        ("growth_qps_per_min", json!(1.5)),
        ("input_tokens", json!(500.0)),
        ("output_tokens", json!(80.0)),
        ("slo_ttft_s", json!(1.0)),
        // Eight inside, 1.25 a second on average.
        ("latency_s", json!(6.4)),
        // Nobody told.
        ("cold_start_s", Value::Null),
        ("max_num_seqs", Value::Null),
    ] {
        assert_eq!(figures[name], expected, "{name}: {figures}");
    }
    let notes = figures["notes"].to_string();
    for missing in ["a start: this past does not tell", "slots: this past does not tell"] {
        assert!(notes.contains(missing), "{notes}");
    }
    assert!(lab.get("/api/v1/lab/figures/other")["error"].is_string());
    // What one knows beside it stands.
    let more =
        ["--cold-start", "90s", "--max-num-seqs", "16", "--profile", "llama3.1-8b-bf16-h100"];
    let asked = ["--prometheus", &url, "--pool", "m", "--from", "-1h"];
    let figures = Served::of(&[&asked[..], &more].concat()).get("/api/v1/lab/figures/m");
    assert_eq!((&figures["cold_start_s"], &figures["max_num_seqs"]), (&json!(90.0), &json!(16)));
    assert_eq!(figures["profile"], "llama3.1-8b-bf16-h100");
}

#[test]
fn a_prometheus_that_tells_nothing_of_the_pool_is_said_before_anything_is_served() {
    let url = prometheus::serve(|_| {
        json!({"status": "success", "data": {"resultType": "matrix", "result": []}}).to_string()
    });
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (arguments, expected) in [
        (&["--prometheus", &url, "--pool", "m"][..], "no known engine tells {model_name=\"m\"}"),
        (&["--prometheus", &url, "--pool", "m", "--profile", "abacus"], "unknown engine profile"),
        (&["--prometheus", &url], "nothing says which series are the pool's"),
        (&["--pool", "m"], "--prometheus"),
        (&["--journal", "j", "--prometheus", &url], "cannot be used with"),
    ] {
        let output = preheat(folder.path(), &[&["lab"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

#[test]
fn a_scenario_runs_under_a_policy_file_and_minute_by_minute() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/lab/signal.yaml");
    fs::write(
        folder.path().join("policy.yaml"),
        "policy: keda-concurrency\nknobs: {threshold_of_slots: 0.3}\n",
    )
    .expect("the folder takes a file");
    let run = |more: &[&str]| -> Value {
        let arguments = [&["scenario", file, "--json"], more].concat();
        serde_json::from_str(&text(&preheat(folder.path(), &arguments))).expect("one object")
    };
    let plain = run(&["--policy", "keda-concurrency"]);
    let tuned = run(&["--policy", "policy.yaml", "--series"]);
    assert!(plain.get("series").is_none());
    assert_eq!(tuned["series"].as_array().map(Vec::len), Some(150));
    assert!(tuned["gpu_hours"].as_f64() > plain["gpu_hours"].as_f64());
}

#[test]
fn a_plan_s_files_are_accepted() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let size = |kind: &str| {
        let arguments = [
            "size",
            "--qps",
            "40",
            "--quiet-qps",
            "4",
            "--growth",
            "1",
            "--latency",
            "8s",
            "--max-num-seqs",
            "64",
            "--as",
            kind,
        ];
        preheat(folder.path(), &arguments)
    };
    let config = text(&size("config"));
    fs::write(folder.path().join("preheat.yaml"), config).expect("the folder takes a file");
    text(&preheat(folder.path(), &["up", "preheat.yaml", "--check"]));
    let manifest: InferenceAutoscaler =
        serde_saphyr::from_str(&text(&size("manifest"))).expect("it is a resource");
    assert!(manifest.spec.max_replicas >= 7 && manifest.spec.min_replicas.is_some());
    // What a latency alone does not tell.
    assert_eq!(size("scenario").status.code(), Some(2));
}
