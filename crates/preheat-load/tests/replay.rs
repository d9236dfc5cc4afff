//! Replays against a scripted server: what counts as success, what is tried again, and that no
//! request waits for another.

#![cfg(test)]

mod stub;

use std::time::Duration;

use preheat_load::{
    AnswerMode, Endpoint, LoadConfig, LoadError, LoadProgress, LoadReport, Target, run,
};
use preheat_traffic::{Trace, TraceRequest};
use stub::{Part, Reply, Stub, done, error, last, stream, token, usage};
use tokio::net::TcpSocket;
use tokio::sync::watch;

/// Fast enough that a back-off of a second takes 10 ms.
const TIME_SCALE: f64 = 100.0;

fn config(url: &str) -> LoadConfig {
    LoadConfig { time_scale: TIME_SCALE, ..LoadConfig::new(Target::parse(url).unwrap(), "tiny") }
}

/// Requests 100 ms of model time apart.
fn trace(requests: u32) -> Trace {
    let request = |index: u32| TraceRequest {
        arrival: Duration::from_millis(100) * index,
        input_tokens: 7,
        output_tokens: 5,
    };
    Trace::new((0..requests).map(request).collect())
}

/// A run that nobody watches or cancels.
async fn replay(config: LoadConfig, requests: u32) -> LoadReport {
    let (progress, _) = watch::channel(LoadProgress::default());
    let (_keep, cancel) = watch::channel(false);
    let report = run(config, trace(requests), progress, cancel).await.unwrap();
    assert_eq!(report.requests, report.completed + report.failed + report.unfinished);
    report
}

/// One request that is answered with `parts`.
async fn replay_one(parts: Vec<Part>) -> LoadReport {
    let stub = Stub::start(move |_| Reply::Parts(parts.clone())).await;
    replay(config(&stub.url()), 1).await
}

#[track_caller]
fn check_failed(report: &LoadReport, kind: &str, streams_cut: u64, retries: u64) {
    assert_eq!((report.completed, report.failed), (0, 1), "{report:?}");
    assert_eq!(report.errors.get(kind), Some(&1), "{report:?}");
    assert_eq!((report.streams_cut, report.retries), (streams_cut, retries), "{report:?}");
    assert_eq!(report.attainment, Some(0.0));
}

#[tokio::test]
async fn whole_streams_complete() {
    let stub = Stub::start(|_| Reply::Parts(stream())).await;
    let report = replay(config(&stub.url()), 20).await;
    assert_eq!((report.requests, report.completed, report.attainment), (20, 20, Some(1.0)));
    assert_eq!((report.input_tokens, report.output_tokens, report.events), (140, 100, 40));
    assert_eq!((report.usage_missing, report.streams_cut, report.retries), (0, 0, 0));
    assert!(report.errors.is_empty());
    for quantiles in [report.ttft_s, report.itl_s, report.tpot_s, report.e2e_s, report.lag_s] {
        let quantiles = quantiles.unwrap();
        assert!(quantiles.p50 <= quantiles.p99 && quantiles.p99 <= quantiles.max);
    }
    // 19 gaps of 100 ms in model time, whatever the time scale.
    assert!(report.duration_s >= 1.9, "{}", report.duration_s);
    assert!((report.arrival_rate.unwrap() - 20.0 / 1.9).abs() < 1e-9);
    let seen = stub.seen();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|seen| seen.path == "/v1/completions"));
    assert!(seen.iter().all(|seen| seen.body["max_tokens"] == 5 && seen.body["stream"] == true));
}

#[tokio::test]
async fn a_report_is_data() {
    let report = replay_one(stream()).await;
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<LoadReport>(&json).unwrap(), report);
}

#[tokio::test]
async fn an_error_event_before_done_is_a_failure() {
    let begun = replay_one(vec![token(), token(), error(), done()]).await;
    check_failed(&begun, "error_event", 1, 0);
    assert!(begun.ttft_s.is_some());
    let not_begun = replay_one(vec![error(), done()]).await;
    check_failed(&not_begun, "error_event", 0, 0);
    assert_eq!(not_begun.ttft_s, None);
}

#[tokio::test]
async fn streams_without_their_end_are_cut() {
    check_failed(&replay_one(vec![token(), Part::Cut]).await, "cut", 1, 0);
    check_failed(&replay_one(vec![token(), done()]).await, "incomplete", 1, 0);
    check_failed(&replay_one(vec![token(), last(), usage(7, 5)]).await, "incomplete", 1, 0);
    check_failed(&replay_one(vec![]).await, "incomplete", 0, 0);
    let garbage = Part::Bytes("data: {oops\n\n".into());
    check_failed(&replay_one(vec![garbage, done()]).await, "malformed", 0, 0);
}

#[tokio::test]
async fn a_body_lost_before_its_first_byte_is_tried_again() {
    let script = |asked| match asked {
        0 => Reply::Parts(vec![Part::Cut]),
        _ => Reply::Parts(stream()),
    };
    let stub = Stub::start(script).await;
    let report = replay(config(&stub.url()), 1).await;
    assert_eq!((report.completed, report.retries), (1, 1));
}

#[tokio::test]
async fn what_was_not_answered_is_tried_again() {
    for first in [
        Reply::Close,
        Reply::Status(503, Some(("retry-after", "1"))),
        Reply::Status(503, None),
        Reply::Status(429, Some(("retry-after-ms", "100"))),
    ] {
        let refused = first.clone();
        let script = move |asked| match asked {
            0 => refused.clone(),
            _ => Reply::Parts(stream()),
        };
        let stub = Stub::start(script).await;
        let report = replay(config(&stub.url()), 1).await;
        assert_eq!((report.completed, report.retries), (1, 1), "{first:?}");
        let wait_s = match first {
            Reply::Status(_, Some(("retry-after", _))) => 1.0,
            Reply::Status(_, Some(_)) => 0.1,
            Reply::Close | Reply::Status(_, None) | Reply::Parts(_) | Reply::Held(_) => 0.375,
        };
        // TTFT counts from the first time it was sent, so it holds the wait.
        assert!(report.ttft_s.unwrap().p50 >= wait_s * 0.99, "{first:?}: {report:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    // Bound but not listening: connections are refused, and nobody else gets the port.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let config = LoadConfig { retries_max: u32::MAX, ..config(&url) };
    let (progress, mut watched) = watch::channel(LoadProgress::default());
    let (_keep, cancel) = watch::channel(false);
    let running = tokio::spawn(run(config, trace(3), progress, cancel));
    watched.wait_for(|progress| progress.retries >= 3).await.unwrap();
    let stub = Stub::serve(socket.listen(16).unwrap(), |_| Reply::Parts(stream()));
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.completed, report.failed), (3, 0));
    assert!(report.retries >= 3);
    assert_eq!(stub.seen().len(), 3);
}

#[tokio::test]
async fn retries_end_and_some_failures_have_none() {
    for (status, retries) in [(503, 2), (429, 2), (500, 0), (404, 0)] {
        let stub = Stub::start(move |_| Reply::Status(status, None)).await;
        let report = replay(config(&stub.url()), 1).await;
        check_failed(&report, &format!("http_{status}"), 0, retries);
        assert_eq!(stub.seen().len() as u64, retries + 1);
    }
    let stub = Stub::start(|_| Reply::Close).await;
    let none = LoadConfig { retries_max: 0, ..config(&stub.url()) };
    check_failed(&replay(none, 1).await, "reset", 0, 0);
}

#[tokio::test]
async fn nobody_listens() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    check_failed(&replay(config(&url), 1).await, "connect", 0, 2);
}

#[tokio::test]
async fn a_request_has_its_time() {
    for parts in [vec![token(), Part::Hang], vec![Part::Hang]] {
        let stub = Stub::start(move |_| Reply::Parts(parts.clone())).await;
        let timeout = Duration::from_secs(10);
        let report =
            replay(LoadConfig { request_timeout: timeout, ..config(&stub.url()) }, 1).await;
        // That this client gave up is not a stream that the server cut.
        check_failed(&report, "timeout", 0, 0);
        assert!(report.duration_s >= 10.0);
    }
}

#[tokio::test]
async fn whole_answers_complete() {
    let body = r#"{"choices":[{"message":{"content":"a b"},"finish_reason":"length"}],
        "usage":{"prompt_tokens":7,"completion_tokens":5}}"#;
    let stub = Stub::start(move |_| Reply::Parts(vec![Part::Bytes(body.into())])).await;
    let config = LoadConfig {
        answer_mode: AnswerMode::Whole,
        endpoint: Endpoint::Chat,
        authorization: Some("Bearer x".parse().unwrap()),
        ..config(&format!("{}/v1", stub.url()))
    };
    let report = replay(config, 2).await;
    assert_eq!((report.completed, report.output_tokens, report.attainment), (2, 10, Some(1.0)));
    assert_eq!((report.tpot_s, report.itl_s), (None, None));
    assert_eq!(report.ttft_s, report.e2e_s);
    let seen = &stub.seen()[0];
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.authorization.as_deref(), Some("Bearer x"));
    assert_eq!(seen.body["stream"], false);
}

#[tokio::test]
async fn a_slow_server_does_not_delay_arrivals() {
    // No request is answered before all have come: a client that waited would never end.
    let requests = 40;
    let stub = Stub::start(|_| Reply::Held(stream())).await;
    let (report, ()) = tokio::join!(replay(config(&stub.url()), requests), async {
        stub.has_seen(requests as usize).await;
        stub.go_on();
    });
    assert_eq!(report.completed, u64::from(requests));
}

#[tokio::test]
async fn more_than_may_be_in_flight_fail_at_once() {
    let stub = Stub::start(|_| Reply::Held(stream())).await;
    let config = LoadConfig { in_flight_max: 2, ..config(&stub.url()) };
    let (progress, mut watched) = watch::channel(LoadProgress::default());
    let (_keep, cancel) = watch::channel(false);
    let (report, ()) = tokio::join!(run(config, trace(5), progress, cancel), async {
        let seen = watched.wait_for(|progress| progress.failed == 3).await.unwrap();
        assert_eq!((seen.sent, seen.in_flight), (5, 2));
        drop(seen);
        stub.has_seen(2).await;
        stub.go_on();
    });
    let report = report.unwrap();
    assert_eq!((report.requests, report.completed, report.failed), (5, 2, 3));
    assert_eq!(report.errors.get("client_limit"), Some(&3));
    assert_eq!(report.attainment, Some(0.4));
    let last = *watched.borrow();
    assert_eq!((last.completed, last.failed, last.in_flight), (2, 3, 0));
}

#[tokio::test]
async fn a_cancelled_run_waits_so_long_and_no_longer() {
    let script = |asked| match asked {
        0 => Reply::Parts(stream()),
        _ => Reply::Parts(vec![token(), Part::Hang]),
    };
    let stub = Stub::start(script).await;
    let drain_timeout = Duration::from_secs(1);
    let config = LoadConfig { drain_timeout, ..config(&stub.url()) };
    let mut trace = trace(3);
    let never = Duration::from_secs(1_000_000);
    trace.requests.push(TraceRequest { arrival: never, input_tokens: 1, output_tokens: 1 });
    let (progress, mut watched) = watch::channel(LoadProgress::default());
    let (cancelling, cancel) = watch::channel(false);
    let (report, ()) = tokio::join!(run(config, trace, progress, cancel), async {
        stub.has_seen(3).await;
        watched.wait_for(|progress| progress.completed == 1).await.unwrap();
        cancelling.send_replace(true);
    });
    let report = report.unwrap();
    assert_eq!((report.requests, report.completed, report.failed), (3, 1, 0));
    assert_eq!((report.unfinished, report.not_sent), (2, 1));
    assert_eq!(report.attainment, Some(1.0 / 3.0));
}

#[tokio::test]
async fn attainment_is_about_the_slos() {
    let slo = |ttft_slo, tpot_slo| async move {
        let stub = Stub::start(|_| Reply::Parts(stream())).await;
        let report = replay(LoadConfig { ttft_slo, tpot_slo, ..config(&stub.url()) }, 4).await;
        assert_eq!(report.completed, 4);
        report.attainment
    };
    let (never, always) = (Some(Duration::ZERO), Some(Duration::from_secs(1_000_000)));
    assert_eq!(slo(always, always).await, Some(1.0));
    assert_eq!(slo(always, None).await, Some(1.0));
    assert_eq!(slo(never, None).await, Some(0.0));
    assert_eq!(slo(never, always).await, Some(0.0));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    let (progress, _) = watch::channel(LoadProgress::default());
    let (_keep, cancel) = watch::channel(false);
    let result = run(config("http://a"), Trace::default(), progress, cancel).await;
    assert!(matches!(result, Err(LoadError::TraceEmpty)));
}
