//! Who is answered, and how.

use std::net::SocketAddr;
use std::sync::Arc;

use preheat_api::status::{GatewayTotals, Status};
use preheat_web::{Admin, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::world::{Server, World};

const TOKEN: &str = "0123456789abcdef";

fn source() -> Source {
    let gateway = Some(GatewayTotals { unroutable: 7, ..GatewayTotals::default() });
    let status = Status { version: "1.2.3".to_owned(), gateway, ..Status::default() };
    Source {
        status: Arc::new(move || status.clone()),
        journal: None,
        controls: None,
        figures: None,
        live: true,
    }
}

#[tokio::test]
async fn it_answers_what_it_has_and_refuses_the_rest() {
    let server = Server::of(source(), None).await;
    for (request, expected) in [
        ("GET /healthz", vec!["HTTP/1.1 200", "\r\n\r\nok\n"]),
        ("GET /metrics?x=1", vec!["HTTP/1.1 200", "preheat_build_info{version=\"1.2.3\"} 1\n"]),
        ("GET /metrics", vec!["preheat_gateway_unroutable_requests_total 7\n"]),
        ("GET /api/v1/fleet", vec!["\"unroutable\":7", "cache-control: no-store"]),
        ("GET /api/v1/fleet", vec!["HTTP/1.1 200", "application/json", "\"version\":\"1.2.3\""]),
        ("HEAD /api/v1/fleet", vec!["HTTP/1.1 200", "application/json"]),
        ("POST /api/v1/fleet", vec!["HTTP/1.1 405", "allow: GET,HEAD"]),
        ("DELETE /api/v1/fleet", vec!["HTTP/1.1 405"]),
        ("GET /", vec!["HTTP/1.1 200", "text/html", "<title>"]),
        ("GET /nothing", vec!["HTTP/1.1 404"]),
        ("GET /../Cargo.toml", vec!["HTTP/1.1 404"]),
        ("GET /assets/%2e%2e/x", vec!["HTTP/1.1 404"]),
    ] {
        let answer = server.ask(request, "").await;
        for part in expected {
            assert!(answer.contains(part), "{request}: {part:?} is not in {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_answer_forbids_what_a_page_need_not_do() {
    let server = Server::of(source(), None).await;
    for path in ["/", "/metrics", "/api/v1/fleet", "/nothing", "/api/v1/pools/x"] {
        let answer = server.ask(&format!("GET {path}"), "").await.to_lowercase();
        for part in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(part), "{path}: {part:?} is not in {answer:?}");
        }
        assert!(!answer.contains("access-control"), "{answer}");
    }
}

#[tokio::test]
async fn with_a_token_nothing_but_the_page_and_the_probe_is_open() {
    let mut world = World::new();
    world.drive(2, 0);
    let server = world.serve(Some(TOKEN)).await;
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let wrong = "Authorization: Bearer 0123456789abcdeF\r\n";
    let other_host = "Host: preheat.example\r\n";
    for path in ["/metrics", "/api/v1/fleet", "/api/v1/pools/chat", "/nothing"] {
        for headers in ["", wrong, &format!("Authorization: {TOKEN}\r\n")] {
            let answer = server.ask(&format!("GET {path}"), headers).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
        }
        let answer = server.ask(&format!("GET {path}"), &format!("{right}{other_host}")).await;
        assert!(!answer.starts_with("HTTP/1.1 4") || path == "/nothing", "{path}: {answer}");
    }
    for path in ["/", "/healthz"] {
        let answer = server.ask(&format!("GET {path}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn without_a_token_no_other_name_is_answered_to() {
    let server = Server::of(source(), None).await;
    for (host, status) in [
        ("localhost:8081", 200),
        ("127.0.0.1", 200),
        ("rebound.example", 421),
        ("127.0.0.1.rebound.example:8081", 421),
    ] {
        let answer = server.ask("GET /api/v1/fleet", &format!("Host: {host}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    let probe = server.ask("GET /healthz", "Host: 10.1.2.3:8081\r\n").await;
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
}

#[tokio::test]
async fn a_shutdown_cuts_who_is_silent() {
    let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).await.unwrap();
    let address = admin.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(admin.serve(source(), async move {
        let _told = stopped.await;
    }));
    let silent = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap();
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_cut_off() {
    let server = Server::of(source(), None).await;
    // Half a head. Time passes by itself while everybody waits.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}
