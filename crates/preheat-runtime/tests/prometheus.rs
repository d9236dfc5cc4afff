//! The Prometheus client against loopback servers that answer well, badly, slowly, or not at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use preheat_api::dialect::MetricQueries;
use preheat_core::ReplicaId;
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::dialect::Dialects;
use preheat_runtime::prometheus::{PodSource, Prometheus, PrometheusConfig, PrometheusError};
use preheat_runtime::scrape::{ScrapeError, SignalStore};
use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

const VECTOR: &str = include_str!("../fixtures/prometheus-2.42.0/query_waiting_vector.json");
const ERROR: &str = include_str!("../fixtures/prometheus-2.42.0/query_error.json");

type Requests = Arc<Mutex<Vec<String>>>;

/// How a stub answers: status and body, or never.
#[derive(Clone)]
enum Stub {
    Says(&'static str, String),
    /// With the answer to a request.
    Answers(fn(&str) -> String),
    Hangs,
    BreaksOff,
}

/// Reads one request whole.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        if stream.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), stub: &Stub, seen: &Requests) {
    while let Some(request) = read_request(stream).await {
        let body = if let Stub::Answers(answer) = stub { answer(&request) } else { String::new() };
        seen.lock().unwrap().push(request);
        let answer = match stub {
            Stub::Answers(_) => {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            Stub::Hangs => std::future::pending().await,
            Stub::BreaksOff => "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"sta".to_owned(),
            Stub::Says(status, body) => {
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if matches!(stub, Stub::BreaksOff) {
            return;
        }
    }
}

async fn serve(stub: Stub) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Requests::default();
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (stub, requests) = (stub.clone(), Arc::clone(&requests));
            tokio::spawn(async move { answer(&mut stream, &stub, &requests).await });
        }
    });
    (url, seen)
}

fn config(url: &str) -> PrometheusConfig {
    PrometheusConfig {
        timeout: Duration::from_millis(500),
        body_max_bytes: 64 * 1024,
        ..PrometheusConfig::new(url)
    }
}

async fn outcome(stub: Stub) -> String {
    let (url, _) = serve(stub).await;
    let prometheus = Prometheus::new(config(&url)).unwrap();
    let error = prometheus.instant("up", None).await.unwrap_err();
    assert!(!error.hint().is_empty());
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error} {source}").replace(&url, "URL")
}

#[tokio::test]
async fn each_failure_says_what_happened() {
    let says = |status, body: &str| Stub::Says(status, body.to_owned());
    for (stub, expected) in [
        (Stub::Hangs, "URL/api/v1/query gave no whole answer within 500ms"),
        (Stub::BreaksOff, "the answer of URL/api/v1/query broke off"),
        (says("404 Not Found", "404 page not found"), "with status 404: 404 page not found"),
        (says("502 Bad Gateway", "<html>\n<h1>Bad"), "with status 502: <html> <h1>Bad"),
        (says("503 Service Unavailable", ""), "answered with status 503"),
        (says("200 OK", "<html>login"), "begins with \"<html>login\""),
        (says("400 Bad Request", ERROR), "the query was refused (bad_data)"),
        (says("200 OK", &" ".repeat(70_000)), "longer than 65536 bytes"),
    ] {
        let got = outcome(stub).await;
        assert!(got.contains(expected), "{got} is not {expected}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let prometheus = Prometheus::new(config(&url)).unwrap();
    let error = prometheus.instant("up", None).await.unwrap_err();
    assert!(matches!(error, PrometheusError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn headers_token_and_time_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let (url, seen) = serve(Stub::Says("200 OK", VECTOR.to_owned())).await;
    let config = PrometheusConfig {
        headers: vec![("X-Scope-OrgID".to_owned(), "team".to_owned())],
        bearer_token_file: Some(token),
        ..config(&format!("{url}/prefix/"))
    };
    let prometheus = Prometheus::new(config).unwrap();
    let series = prometheus.instant("sum(a:b) + 1", Some(12.5)).await.unwrap();
    assert_eq!(series[0].points[0].value, 15.0);
    let request = seen.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST /prefix/api/v1/query HTTP/1.1\r\n"), "{request}");
    for part in [
        "x-scope-orgid: team\r\n",
        "authorization: Bearer s3cret\r\n",
        "query=sum%28a%3Ab%29+%2B+1&time=12.500",
    ] {
        assert!(request.contains(part), "{request} lacks {part}");
    }
}

#[tokio::test]
async fn a_long_range_is_asked_for_in_parts_and_put_together() {
    let body = r#"{"status":"success","data":{"resultType":"matrix",
        "result":[{"metric":{"pod":"a"},"values":[[1,"1"]]}]}}"#;
    let (url, seen) = serve(Stub::Says("200 OK", body.to_owned())).await;
    let prometheus = Prometheus::new(config(&url)).unwrap();
    // A week at 30 s is 20,160 steps.
    let week = 7 * 86_400;
    let series = prometheus.range("up", 1000, 1000 + week, Duration::from_secs(30)).await.unwrap();
    assert_eq!((series.len(), series[0].points.len()), (1, 3));
    let seen = seen.lock().unwrap();
    let windows: Vec<&str> =
        seen.iter().filter_map(|request| request.split("query=up&").nth(1)).collect();
    assert_eq!(
        windows,
        [
            "start=1000&end=301000&step=30",
            "start=301030&end=601030&step=30",
            "start=601060&end=605800&step=30",
        ]
    );
}

#[tokio::test]
async fn tls_is_checked_against_the_certificates_that_are_trusted() {
    let certified = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = rustls::crypto::ring::default_provider();
    let server = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(server));
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let stub = Stub::Says("200 OK", VECTOR.to_owned());
                answer(&mut stream, &stub, &Requests::default()).await;
            }
        }
    });
    let trusting = PrometheusConfig { ca_file: Some(ca_file.clone()), ..config(&url) };
    let series = Prometheus::new(trusting).unwrap().instant("up", None).await.unwrap();
    assert_eq!(series.len(), 1);
    let error = Prometheus::new(config(&url)).unwrap().instant("up", None).await.unwrap_err();
    assert!(matches!(error, PrometheusError::Connect { .. }), "{error}");
    // A file without a certificate trusts nobody, which is told at once.
    std::fs::write(&ca_file, "no certificate").unwrap();
    let empty = PrometheusConfig { ca_file: Some(ca_file), ..config(&url) };
    assert!(matches!(Prometheus::new(empty), Err(PrometheusError::File { .. })));
}

#[tokio::test]
async fn pods_are_read_from_it_in_the_engines_place() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"__name__":"vllm:num_requests_running","pod":"a","engine":"0"},
         "values":[[1795502200,"2"],[1795502230,"3"]]},
        {"metric":{"__name__":"vllm:num_requests_waiting","pod":"a","engine":"0"},
         "values":[[1795502200,"0"],[1795502230,"1"]]}]}}"#;
    let (url, seen) = serve(Stub::Says("200 OK", body.to_owned())).await;
    let clock = Clock::start(TimeScale::REAL);
    let dialects = Dialects::known();
    let pods = [(ReplicaId(1), "a"), (ReplicaId(2), "b")];
    let source = |url: &str| PodSource {
        prometheus: Prometheus::new(config(url)).unwrap(),
        pod_label: "pod".to_owned(),
    };
    let results = source(&url).scrape(&clock, "llm", &dialects, &pods).await;
    let told = results[0].1.as_ref().unwrap();
    assert_eq!((told.value.running, told.value.waiting), (Some(3), Some(1)));
    // As old as its last scrape, whenever it is asked for.
    assert_eq!(told.observed_at.as_secs_f64(), 1_795_502_230.0);
    assert!(matches!(results[1], (ReplicaId(2), Err(ScrapeError::Unseen(_)))));
    let request = seen.lock().unwrap()[0].clone();
    assert!(
        request.contains("pod%3D%7E%22a%7Cb%22%2Cnamespace%3D%22llm%22%7D%5B300s%5D"),
        "{request}"
    );
    // Without an answer, each pod is without one, and keeps what it had.
    let (html, _) = serve(Stub::Says("200 OK", "<html>".to_owned())).await;
    let results = source(&html).scrape(&clock, "llm", &dialects, &pods).await;
    assert!(results.iter().all(|(_, result)| matches!(result, Err(ScrapeError::Prometheus(_)))));
}

/// A vector of one value for each of these pods.
fn vector(values: &[(&str, &str)]) -> String {
    let series: Vec<String> = values
        .iter()
        .map(|(labels, value)| {
            format!(r#"{{"metric":{{{labels}}},"value":[1795502999,"{value}"]}}"#)
        })
        .collect();
    format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
        series.join(",")
    )
}

fn queries(pairs: &[(&str, &str)]) -> MetricQueries {
    MetricQueries::of(pairs.iter().copied()).unwrap()
}

/// Two series of pod a are added, and it is as old as the oldest that was read; b's total is absent and
/// not zero; c is not there.
#[tokio::test]
async fn queries_tell_in_the_engines_place() {
    fn answer(request: &str) -> String {
        let (a, b) = (r#""pod":"a","engine":"0""#, r#""pod":"b","namespace":"llm""#);
        let other = r#""pod":"b","namespace":"other""#;
        if request.contains("timestamp%28my_waiting") {
            return vector(&[(a, "1795502230"), (b, "1795502240")]);
        } else if request.contains("timestamp") {
            return vector(&[(a, "1795502260"), (b, "1795502260")]);
        } else if request.contains("my_running") {
            return vector(&[(a, "3"), (r#""pod":"a","engine":"1""#, "4"), (b, "1"), (other, "9")]);
        } else if request.contains("my_waiting") {
            return vector(&[(a, "2"), (b, "NaN")]);
        }
        vector(&[(a, "100")])
    }
    let (url, seen) = serve(Stub::Answers(answer)).await;
    let source = PodSource {
        prometheus: Prometheus::new(config(&url)).unwrap(),
        pod_label: "pod".to_owned(),
    };
    let clock = Clock::start(TimeScale::REAL);
    let asked = queries(&[
        ("running", "sum by (pod, engine) (my_running)"),
        ("waiting", "my_waiting{x=\"y\"}"),
        ("completions", "my_total"),
    ]);
    let pods = [(ReplicaId(1), "a"), (ReplicaId(2), "b"), (ReplicaId(3), "c")];
    let results = source.query(&clock, "llm", &asked, &pods).await;
    let told = |index: usize| results[index].1.as_ref().unwrap();
    let a = told(0);
    assert_eq!((a.value.running, a.value.waiting), (Some(7), Some(2)));
    assert_eq!(a.value.counters.completions, Some(100));
    assert_eq!(a.value.dialect, Some("engine.queries"));
    assert_eq!(a.observed_at.as_secs_f64(), 1_795_502_230.0);
    let b = told(1);
    assert_eq!((b.value.running, b.value.waiting), (Some(1), None));
    assert_eq!(b.value.counters.completions, None);
    let trouble = b.value.trouble().unwrap();
    assert!(
        trouble.contains("its engine.queries metrics do not tell requests waiting"),
        "{trouble}"
    );
    assert!(matches!(results[2].1, Err(ScrapeError::Unseen(_))));
    // Three queries, three series that they read, and whether the pod of which they tell nothing is up.
    assert_eq!(seen.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn queries_that_tell_no_pod_from_another_say_so() {
    let clock = Clock::start(TimeScale::REAL);
    let asked = queries(&[("running", "sum(r)"), ("waiting", "sum(w)")]);
    let outcome = async |stub: Stub| {
        let (url, _) = serve(stub).await;
        let source = PodSource {
            prometheus: Prometheus::new(config(&url)).unwrap(),
            pod_label: "pod".to_owned(),
        };
        let mut results = source.query(&clock, "llm", &asked, &[(ReplicaId(1), "a")]).await;
        let (id, result) = results.pop().unwrap();
        let said = result.as_ref().unwrap_err().to_string();
        // What the replica's trouble says from then on.
        let mut signals = SignalStore::default();
        signals.record(id, result);
        let trouble = signals.get(id).and_then(|signals| signals.trouble().map(str::to_owned));
        trouble.unwrap_or_else(|| format!("no trouble, but {said}"))
    };
    let summed = outcome(Stub::Answers(|_| vector(&[("", "12")]))).await;
    assert!(summed.contains("has no label `pod`, by which replicas are told apart"), "{summed}");
    // A value of which nobody knows how old it is, is none.
    let undated = outcome(Stub::Answers(|request| {
        let labels = if request.contains("timestamp") { "" } else { r#""pod":"a""# };
        vector(&[(labels, "12")])
    }))
    .await;
    assert!(undated.contains("has no label `pod`"), "{undated}");
    let empty = outcome(Stub::Answers(|_| vector(&[]))).await;
    assert!(empty.contains("no trouble, but Prometheus has seen nothing of it"), "{empty}");
    let refused = outcome(Stub::Says("400 Bad Request", ERROR.to_owned())).await;
    assert!(refused.contains("Prometheus refused what it was asked for it: "), "{refused}");
    let html = outcome(Stub::Says("200 OK", "<html>".to_owned())).await;
    assert!(html.contains("no trouble, but Prometheus gave no answer"), "{html}");
}

#[test]
fn what_is_no_url_is_refused() {
    for url in ["", "prometheus:9090", "ftp://a", "http://", "http://a b"] {
        assert!(matches!(Prometheus::new(config(url)), Err(PrometheusError::Url { .. })), "{url}");
    }
}
