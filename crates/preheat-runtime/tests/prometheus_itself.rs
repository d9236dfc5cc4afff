//! Prometheus' own server, which `e2e/prometheus/build` makes: what it makes of engines' metrics is
//! what the engines say, and so is what the shipped rules record of them; what goes away or is renamed
//! is told apart from what is idle; and it takes the rules and the expressions that `deploy/` ships.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "../../../e2e/prometheus/programs.rs"]
mod programs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use preheat_api::dialect::{DialectName, MetricQueries};
use preheat_core::ReplicaId;
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::dialect::known::dialect;
use preheat_runtime::dialect::table::{Form, Only, Source};
use preheat_runtime::dialect::{Dialects, EngineScrape};
use preheat_runtime::exposition::Format;
use preheat_runtime::prometheus::{PodSource, Prometheus, PrometheusConfig, recorded_names};
use preheat_runtime::scrape::{ScrapeError, ScrapeResult, SignalStore};
use programs::programs;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const VLLM: &str = include_str!("../fixtures/vllm-0.32.0/loaded.prom");
const SGLANG: &str = include_str!("../fixtures/sglang-0.5.23.prom");
const DYNAMO: &str = include_str!("../fixtures/dynamo-1.6.1.prom");
const ENDPOINT_PICKER: &str = include_str!("../fixtures/endpoint-picker-llm-d-0.9.0.prom");
const LLAMA_CPP: &str = include_str!("../fixtures/llama.cpp-loaded.prom");
/// A test that waits this long hangs.
const HANG: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What each pod answers at its path; nothing is an engine that fails.
type Bodies = Arc<Mutex<BTreeMap<String, Option<String>>>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A Prometheus on a port of its own that scrapes pods, and ends with the test.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
    bodies: Bodies,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// `None` where there is no Prometheus to start.
    async fn start(pods: &[(&str, &str)], rules: &str) -> Option<Self> {
        let program = programs()?.prometheus;
        let bodies: Bodies = Bodies::default();
        for (pod, body) in pods {
            bodies.lock().unwrap().insert((*pod).to_owned(), Some((*body).to_owned()));
        }
        let engines = serve(Arc::clone(&bodies)).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        std::fs::write(folder.path().join("prometheus.yaml"), config(&engines, pods)).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, folder, url: String::new(), bodies };
        server.url = server.listens().await;
        let answers = async || server.prometheus().instant("up", None).await.ok();
        eventually("an answer", answers).await;
        Some(server)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The address that its log tells, once it listens.
    async fn listens(&mut self) -> String {
        let mut tries = 0;
        loop {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("msg=\"Listening on\""));
            let address = line.and_then(|line| line.split("address=").nth(1));
            if let Some(address) = address.and_then(|rest| rest.split_whitespace().next()) {
                return format!("http://{address}");
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {log}");
            tries += 1;
            assert!(LOOK_AGAIN * tries < HANG, "it does not listen: {log}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn prometheus(&self) -> Prometheus {
        Prometheus::new(PrometheusConfig::new(self.url.clone())).unwrap()
    }

    fn pods(&self) -> PodSource {
        PodSource { prometheus: self.prometheus(), pod_label: "pod".to_owned() }
    }

    fn answers(&self, pod: &str, body: Option<&str>) {
        self.bodies.lock().unwrap().insert(pod.to_owned(), body.map(str::to_owned));
    }

    async fn scrape(&self, pod: &str) -> ScrapeResult {
        let clock = Clock::start(TimeScale::REAL);
        let pods = [(ReplicaId(1), pod)];
        self.pods().scrape(&clock, "llm", &Dialects::known(), &pods).await.remove(0).1
    }

    /// What is recorded of a pod is what its engine says.
    async fn records(&self, pod: &str, engine: &EngineScrape) {
        let names = recorded_names();
        let counters = &engine.counters;
        let count = |count: Option<u64>| count.map(|it| it as f64);
        for (name, expected) in [
            (&names.running, engine.running.map(f64::from)),
            (&names.waiting, engine.waiting.map(f64::from)),
            (&names.kv_utilization, engine.kv_utilization.map(preheat_core::Utilization::get)),
            (&names.completions, count(counters.completions)),
            (&names.prompt_tokens, count(counters.prompt_tokens)),
            (&names.generation_tokens, count(counters.generation_tokens)),
        ] {
            let name = name.as_deref().unwrap();
            let query = format!("{name}{{pod=\"{pod}\",namespace=\"llm\"}}");
            let recorded = async || {
                let mut series = self.prometheus().instant(&query, None).await.unwrap();
                assert!(series.len() < 2, "{query}: {series:?}");
                Some(series.pop()?.points.last()?.value)
            };
            let Some(expected) = expected else {
                assert_eq!(recorded().await, None, "{query}");
                continue;
            };
            let found = eventually(&query, recorded).await;
            assert!((found - expected).abs() < 1e-9, "{query}: {found} and not {expected}");
        }
    }

    async fn is_up(&self, pod: &str) -> Option<bool> {
        let query = format!("up{{pod=\"{pod}\"}}");
        let series = self.prometheus().instant(&query, None).await.unwrap();
        Some(series.first()?.points.last()?.value == 1.0)
    }
}

/// Its only file. What is scraped often is seen soon.
fn config(engines: &str, pods: &[(&str, &str)]) -> String {
    let mut text =
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n\
         rule_files: [rules.yaml]\nscrape_configs:\n- job_name: engines\n  static_configs:\n"
            .to_owned();
    for (pod, _) in pods {
        let _infallible = writeln!(
            text,
            "  - {{targets: ['{engines}'], labels: {{__metrics_path__: /{pod}, pod: {pod}, namespace: llm}}}}"
        );
    }
    text
}

/// Answers each path with the body of the pod of that name.
async fn serve(bodies: Bodies) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bodies = Arc::clone(&bodies);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split_whitespace().nth(1).unwrap_or_default();
                let body = bodies.lock().unwrap().get(path.trim_start_matches('/')).cloned();
                let (status, body) = match body.flatten() {
                    Some(body) => ("200 OK", body),
                    None => ("503 Service Unavailable", String::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                // A client that has gone needs no answer.
                let _ = stream.write_all((head + &body).as_bytes()).await;
            });
        }
    });
    address
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(HANG, found).await.unwrap_or_else(|_| panic!("no {what}"))
}

/// A body with every series that a dialect reads, each with a value of its own.
fn made(name: DialectName) -> String {
    let mut values = 3_u32..;
    let mut value = || values.next().unwrap();
    let mut body = String::new();
    let mut add = |name: &str, only: Only, value: u32| {
        let labels = match only {
            Only::With(label, is) => format!("{{{label}=\"{is}\"}}"),
            Only::All | Only::Without(..) | Only::Unlabelled(..) => String::new(),
        };
        let _infallible = writeln!(body, "{name}{labels} {value}");
    };
    let table = dialect(name);
    let newest = table.rows.iter().filter_map(|row| row.sources.first());
    for Source { name, form, only, plus, less } in newest {
        match form {
            Form::Share => {
                add(name, *only, 1);
            }
            Form::Histogram => {
                let count = value();
                add(&format!("{name}_bucket{{le=\"1\"}}"), Only::All, count);
                add(&format!("{name}_bucket{{le=\"+Inf\"}}"), Only::All, count);
                add(&format!("{name}_sum"), Only::All, 1);
                add(&format!("{name}_count"), Only::All, count);
            }
            Form::SecondsPerToken { seconds } => add(seconds, *only, 1),
            Form::Gauge | Form::Counter | Form::SleepState { .. } | Form::CacheInfo { .. } => {
                let more = if less.is_some() { 100 } else { 0 };
                add(name, *only, more + value());
            }
        }
        for name in *plus {
            add(name, Only::All, value());
        }
    }
    body
}

/// What a body says but which version it may be of.
fn said(mut scrape: EngineScrape) -> EngineScrape {
    scrape.untold.clear();
    scrape
}

#[tokio::test]
async fn it_tells_of_every_engine_what_the_engine_says() {
    let captured = [
        (DialectName::Vllm, VLLM),
        (DialectName::Sglang, SGLANG),
        (DialectName::LlamaCpp, LLAMA_CPP),
        (DialectName::Dynamo, DYNAMO),
        (DialectName::EndpointPicker, ENDPOINT_PICKER),
    ];
    let body = |name: DialectName| {
        let capture = captured.iter().find(|(of, _)| *of == name);
        (name.name(), capture.map_or_else(|| made(name), |(_, body)| (*body).to_owned()))
    };
    let bodies: Vec<(&str, String)> = DialectName::ALL.into_iter().map(body).collect();
    let pods: Vec<(&str, &str)> = bodies.iter().map(|(pod, body)| (*pod, body.as_str())).collect();
    let Some(server) = Server::start(&pods, &rules()).await else { return };
    for (pod, body) in &pods {
        let direct = Dialects::known().read(body.as_bytes(), Format::Text).unwrap();
        assert_eq!((direct.dialect, direct.trouble()), (Some(*pod), None));
        let seen = async || server.scrape(pod).await.ok();
        let seen = eventually("a scrape", seen).await;
        let direct = said(direct);
        assert_eq!(said(seen.value), direct, "{pod}");
        server.records(pod, &direct).await;
    }
    // A range of it, as a backtest asks for.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let query = "vllm:num_requests_running{pod=\"vllm\"}";
    let prometheus = server.prometheus();
    let points = async || {
        let step = Duration::from_secs(1);
        let series = prometheus.range(query, now - 60, now + 60, step).await.unwrap();
        let points = series.first()?.points.clone();
        (points.len() > 1).then_some(points)
    };
    assert!(eventually("a range", points).await.iter().all(|point| point.value == 8.0));
}

/// Two data-parallel engines, a second model in the first of them, and adapters.
const SEVERAL: &str = r#"vllm:num_requests_running{engine="0",model_name="a"} 3
vllm:num_requests_running{engine="1",model_name="a"} 4
vllm:num_requests_running{engine="0",model_name="b"} 5
vllm:num_requests_waiting{engine="0",model_name="a"} 1
vllm:num_requests_waiting{engine="1",model_name="a"} 0
vllm:num_requests_waiting{engine="0",model_name="b"} 2
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a"} 0.75
vllm:request_success_total{engine="0",finished_reason="stop",model_name="a"} 6
vllm:request_success_total{engine="1",finished_reason="length",model_name="a"} 7
vllm:request_success_total{engine="0",finished_reason="stop",model_name="b"} 8
vllm:request_success_total{engine="0",finished_reason="abort",model_name="b"} 9
vllm:lora_requests_info{max_lora="4",running_lora_adapters="x,y",waiting_lora_adapters="z"} 1.7e+09
"#;

#[tokio::test]
async fn engines_models_and_adapters_of_one_body_are_added() {
    let Some(server) = Server::start(&[("several", SEVERAL)], &rules()).await else { return };
    let seen = eventually("a scrape", async || server.scrape("several").await.ok()).await.value;
    assert_eq!((seen.running, seen.waiting), (Some(12), Some(3)));
    assert_eq!(seen.kv_utilization.map(preheat_core::Utilization::get), Some(0.5));
    assert_eq!(seen.counters.completions, Some(21));
    assert_eq!(said(seen), said(Dialects::known().read(SEVERAL.as_bytes(), Format::Text).unwrap()));
    // What is recorded is told by model.
    for (model, running) in [("a", 7.0), ("b", 5.0)] {
        let name = recorded_names().running.unwrap();
        let query = format!("{name}{{pod=\"several\",model_name=\"{model}\"}}");
        let recorded = async || {
            let series = server.prometheus().instant(&query, None).await.unwrap();
            Some(series.first()?.points.last()?.value)
        };
        assert_eq!(eventually(&query, recorded).await, running, "{query}");
    }
}

#[tokio::test]
async fn what_is_gone_what_is_renamed_and_what_is_idle_are_three_things() {
    let other = VLLM.replace("vllm:num_requests_", "vllm:requests_");
    let unknown = VLLM.replace("vllm:", "vllm:v2_");
    let pods = [("a", VLLM), ("b", VLLM), ("c", other.as_str()), ("d", unknown.as_str())];
    let Some(server) = Server::start(&pods, "groups: []").await else { return };
    let mut signals = SignalStore::default();
    let mut record = async |id: u64, pod: &str| {
        let result = server.scrape(pod).await;
        let running = result.as_ref().ok().map(|seen| (seen.value.running, seen.observed_at));
        signals.record(ReplicaId(id), result);
        let trouble = signals.get(ReplicaId(id)).and_then(|of| of.trouble().map(str::to_owned));
        (running, trouble)
    };
    for pod in ["a", "b", "c", "d"] {
        eventually("a target", async || server.is_up(pod).await.filter(|up| *up)).await;
    }
    let (before, trouble) = record(1, "a").await;
    assert_eq!((before.unwrap().0, trouble), (Some(8), None));

    // One whose names for what must be told are others, and one of which no name is known.
    let (running, trouble) = record(3, "c").await;
    assert_eq!(running.unwrap().0, None, "absent, and not zero");
    let trouble = trouble.unwrap();
    assert!(
        trouble
            .contains("requests running any more, which `vllm:num_requests_running` told before")
            && trouble.contains("`vllm:requests_running`"),
        "{trouble}"
    );
    let (running, trouble) = record(4, "d").await;
    let trouble = trouble.unwrap();
    assert_eq!(running, None);
    assert!(
        trouble.contains("Prometheus scrapes it (`up` is 1), and has no series of vllm")
            && trouble.contains("`vllm:v2_"),
        "{trouble}"
    );

    // One that goes away: what it said last keeps its time. The other's goes on.
    server.answers("a", None);
    eventually("a target that is down", async || (!server.is_up("a").await?).then_some(())).await;
    let (gone, trouble) = record(1, "a").await;
    let (gone, trouble) = (gone.unwrap(), trouble);
    assert_eq!((gone.0, trouble), (Some(8), None));
    let newer = async || {
        let seen = server.scrape("b").await.ok()?;
        (seen.observed_at > gone.1).then_some(seen.value.running)
    };
    assert_eq!(eventually("a newer scrape", newer).await, Some(8));
    let (still, _) = record(1, "a").await;
    assert_eq!(still.unwrap(), gone);
    assert!(matches!(server.scrape("nobody").await, Err(ScrapeError::Unseen(_))));
}

#[tokio::test]
async fn expressions_of_a_users_own_are_told_apart_in_the_same_way() {
    let pods = [("a", "my_running 3\nmy_waiting 4\nmy_total 9\n"), ("b", "your_running 3\n")];
    let Some(server) = Server::start(&pods, "groups: []").await else { return };
    for pod in ["a", "b"] {
        eventually("a target", async || server.is_up(pod).await.filter(|up| *up)).await;
    }
    let queries = MetricQueries::of([
        ("running", "sum by (pod) (my_running)"),
        ("waiting", "my_waiting"),
        ("completions", "sum by (pod) (my_total)"),
    ])
    .unwrap();
    let clock = Clock::start(TimeScale::REAL);
    let pods = [(ReplicaId(1), "a"), (ReplicaId(2), "b"), (ReplicaId(3), "nobody")];
    let mut told = server.pods().query(&clock, "llm", &queries, &pods).await;
    let nobody = told.pop().unwrap().1;
    assert!(matches!(nobody, Err(ScrapeError::Unseen(_))), "{nobody:?}");
    let silent = told.pop().unwrap().1.unwrap_err().to_string();
    assert!(silent.contains("nothing that `engine.queries` ask for is there"), "{silent}");
    let a = told.pop().unwrap().1.unwrap().value;
    assert_eq!((a.running, a.waiting, a.counters.completions), (Some(3), Some(4), Some(9)));
}

/// `spec` of the resource that an operator reads, as a file of rules.
fn rules() -> String {
    let text = std::fs::read_to_string(root().join("deploy/monitoring.yaml")).unwrap();
    let document = text.split("\n---\n").find(|it| it.contains("kind: PrometheusRule")).unwrap();
    let (_, spec) = document.split_once("\nspec:\n").unwrap();
    spec.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned() + "\n").collect()
}

/// Every expression in a dashboard.
fn expressions(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(members) => {
            found.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Its own tool finds no mistake in the rules, and nothing that is asked for twice.
#[test]
fn promtool_checks_the_rules() {
    let Some(programs) = programs() else { return };
    let folder = tempfile::tempdir().unwrap();
    let check = |rules: &str| {
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        Command::new(&programs.promtool)
            .args(["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"])
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let rules = rules();
    assert!(rules.matches("record:").count() > 10, "{rules}");
    let found = check(&rules);
    assert!(found.status.success(), "{found:?}");
    assert!(!check(&rules.replacen("sum by (", "sum by )", 1)).status.success());
}

#[tokio::test]
async fn it_takes_the_rules_and_the_dashboards_expressions() {
    let rules = rules();
    assert!(rules.starts_with("groups:") && rules.matches("alert:").count() > 5, "{rules}");
    let Some(server) = Server::start(&[("a", VLLM)], &rules).await else { return };
    let prometheus = server.prometheus();
    // There is no preheat, and that is what the first rule is about.
    let absent = async || {
        let query = "ALERTS{alertname=\"PreheatAbsent\"}";
        prometheus.instant(query, None).await.unwrap().pop()
    };
    eventually("an alert", absent).await;

    let text = std::fs::read_to_string(root().join("deploy/grafana-dashboard.json")).unwrap();
    let mut asked = Vec::new();
    expressions(&serde_json::from_str(&text).unwrap(), &mut asked);
    assert!(asked.len() > 10, "{asked:?}");
    for expression in asked {
        let query = expression.replace("$pool", ".*").replace("$__rate_interval", "1m");
        assert!(!query.contains('$'), "{query}");
        prometheus.instant(&query, None).await.unwrap_or_else(|error| {
            panic!("{query}: {error}: {:?}", error.refusal());
        });
    }
    let wrong = prometheus.instant("sum by (", None).await.unwrap_err();
    assert!(wrong.refusal().is_some(), "{wrong}");
}
