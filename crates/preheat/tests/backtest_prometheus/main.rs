//! `preheat backtest` on Prometheus' own server, which `e2e/prometheus/build` makes: a day that was
//! simulated, and that Prometheus has scraped, comes to what it was.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "../../../../e2e/prometheus/programs.rs"]
mod programs;
#[path = "../common/run.rs"]
mod run;
mod scraped;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use preheat_compare::{PROFILE_DEFAULT, PoolSetup, Setting};
use preheat_core::{Concurrency, PolicySpec, Probability, ReplicaCount};
use preheat_runtime::prometheus::{Prometheus, PrometheusConfig};
use preheat_sim::preheat_policy::{PREHEAT, Preheat};
use preheat_sim::report::RunReport;
use preheat_traffic::{Trace, TraceRequest};
use serde_json::Value;

use programs::programs;
use run::json_of;
use scraped::{Day, Kept};

const DAY_S: u64 = 24 * 3600;
/// How long before now the day has ended.
const AGO_S: u64 = 3600;
/// Engines are scraped so often.
const INTERVAL_S: u64 = 15;
/// A test that waits this long hangs.
const HANG: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// As [`simulated`] has it. The SLO is one of vLLM's bounds, so that its histogram tells exactly who was
/// late.
const POOL: [&str; 12] = [
    "--max-num-seqs",
    "8",
    "--cold-start",
    "120s",
    "--max-replicas",
    "30",
    "--initial-replicas",
    "2",
    "--slo-ttft",
    "2500ms",
    "--slo-quantile",
    "0.95",
];

/// A day of traffic that rises and falls twelve times, with lengths that vary.
fn traffic() -> Trace {
    let mut state = 42_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let (mut at, mut requests) = (0.0, Vec::new());
    loop {
        let rate = 2.5 + 1.9 * (at / DAY_S as f64 * 24.0 * std::f64::consts::PI).sin();
        at += -(1.0 - random()).ln() / rate;
        if at >= DAY_S as f64 {
            return Trace::new(requests);
        }
        requests.push(TraceRequest {
            arrival: Duration::from_secs_f64(at),
            input_tokens: (600.0 + 400.0 * random()) as u32,
            output_tokens: (160.0 + 80.0 * random()) as u32,
        });
    }
}

/// The day itself, under preheat: what came of it, and what Prometheus scraped meanwhile.
fn simulated() -> (RunReport, Day) {
    let mut spec = PolicySpec { replicas_max: ReplicaCount(30), ..PolicySpec::default() };
    spec.slo.threshold = Duration::from_millis(2500);
    spec.slo.quantile = Probability::new(0.95).expect("a ratio");
    let setup = PoolSetup {
        profile: PROFILE_DEFAULT.to_owned(),
        max_num_seqs: Concurrency::new(8),
        spec,
        cold_start: Duration::ZERO,
        replicas_initial: Some(2),
        scheduled: Vec::new(),
        seed: 1,
    };
    let setup = setup.with_cold_start(Duration::from_secs(120));
    // Two were there before, as they were before what a Prometheus tells.
    let workload =
        setup.workload_of_past("day".to_owned(), traffic()).expect("there is such a pool");
    let policy = workload.policy(&Setting::defaults(PREHEAT)).expect("a policy");
    let day = Arc::new(Mutex::new(Day::default()));
    let watching = Arc::clone(&day);
    let preheat = Preheat::new(policy).with_watcher(Box::new(move |seen, _| {
        watching.lock().expect("nobody panics with it").watch(seen);
    }));
    let report = workload.run_preheat(preheat, false).expect("it runs");
    let day = std::mem::take(&mut *day.lock().expect("nobody panicked with it"));
    (report, day)
}

fn near(what: &str, found: &Value, expected: f64) {
    let found = found.as_f64().expect(what);
    assert!(
        (found / expected - 1.0).abs() < 0.02,
        "{what}: {found} is not within 2 % of {expected}"
    );
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// A Prometheus on a port of its own that has what was backfilled, and ends with the test.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Self {
        fs::write(folder.join("prometheus.yaml"), "global: {}\n").expect("it can be written");
        let log = fs::File::create(folder.join("log")).expect("it can be written");
        let child = Command::new(program)
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("Prometheus runs");
        let mut server = Self { child, url: String::new() };
        let mut tries = 0;
        while server.url.is_empty() {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let line = log.lines().find(|line| line.contains("msg=\"Listening on\""));
            // It answers queries once it has read what it has.
            let is_ready = log.contains("Server is ready to receive web requests");
            let address = line.and_then(|line| line.split("address=").nth(1)).filter(|_| is_ready);
            if let Some(address) = address.and_then(|rest| rest.split_whitespace().next()) {
                server.url = format!("http://{address}");
            } else {
                let ended = server.child.try_wait().expect("it can be looked at");
                tries += 1;
                assert!(ended.is_none() && LOOK_AGAIN * tries < HANG, "it is not ready: {log}");
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        server
    }
}

#[test]
fn a_day_that_prometheus_has_scraped_comes_to_what_it_was() {
    let Some(programs) = programs() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (direct, day) = simulated();

    let end = now_s() - AGO_S;
    let scraped =
        day.open_metrics(end - DAY_S, &[("recorded", Kept::Recorded), ("torn", Kept::Torn)]);
    fs::write(folder.path().join("day.om"), scraped).expect("it can be written");
    let fill = Command::new(&programs.promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics", "day.om", "data"])
        .current_dir(folder.path())
        .output()
        .expect("promtool runs");
    assert!(fill.status.success(), "{}", String::from_utf8_lossy(&fill.stderr));
    let server = Server::start(&programs.prometheus, folder.path());

    for (pool, resets) in [("recorded", 0), ("torn", 1)] {
        let until = format!("{}s", now_s() - end);
        let asked = ["backtest", "--prometheus", &server.url, "--pool", pool, "--from", "-24h"];
        let how = ["--until", &until, "--policies", "keda-waiting", "--json"];
        let found = json_of(&[&asked[..], &how, &POOL].concat());
        let preheat = &found["policies"][0];
        assert_eq!(preheat[0], "preheat");
        for (whose, told) in [("what happened", &found["happened"]), ("preheat", &preheat[1])] {
            let what = |key: &str| format!("{pool}, {whose}, {key}");
            near(&what("attainment"), &told["attainment"], direct.attainment);
            near(&what("gpu_hours"), &told["gpu_hours"], direct.gpu_hours);
        }
        let trust = &found["trust"];
        assert_eq!(trust["resets"], resets, "{trust}");
        // Ten minutes of 1,440 are missing of the torn one.
        let gaps = trust["gap_share"].as_f64().expect("a share");
        let expected = if pool == "torn" { 0.005..0.009 } else { 0.0..0.0005 };
        assert!(expected.contains(&gaps), "{pool}: {trust}");
    }
    more_steps_than_prometheus_takes(&server.url, end);
}

/// It answers no more than 11,000 points of a series at once: a range is asked for in parts, which fit.
fn more_steps_than_prometheus_takes(url: &str, end: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let prometheus = Prometheus::new(PrometheusConfig::new(url)).expect("a URL");
    let step = Duration::from_secs(7);
    let query = "count(vllm:num_requests_running{model_name=\"recorded\"})";
    let ask = prometheus.range(query, end - DAY_S + 60, end, step);
    let series = runtime.expect("a runtime").block_on(ask).expect("an answer");
    let points = &series.first().expect("a series").points;
    assert_eq!(points.len() as u64, (DAY_S - 60) / 7 + 1);
    assert!(points.windows(2).all(|pair| pair[1].at - pair[0].at == 7.0), "one after the other");
}
