//! Loopback servers that behave, and servers that don't.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use preheat_api::dialect::{Dialect, DialectName};
use preheat_core::ReplicaId;
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::dialect::Dialects;
use preheat_runtime::scrape::{ScrapeError, ScrapeResult, ScrapeTarget, Scraper};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const LOADED: &str = include_str!("../../fixtures/vllm-0.32.0/loaded.prom");

/// How a stub answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stub {
    Good,
    /// Answers `name[]` as Python's `prometheus_client` does.
    Selective,
    /// Answers `name[]` with an empty body, as when its metrics come from several processes.
    SelectiveButEmpty,
    Garbage,
    Status500,
    TooLargeAnnounced,
    TooLargeChunked,
    Hangs,
    HangsInBody,
    Drips,
    Closes,
    ClosesInBody,
    /// Closes each connection after one good answer that promised to keep it.
    ClosesAfterwards,
}

/// A server and how often it was asked.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
}

pub(crate) async fn serve(stub: Stub) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let connections = Arc::new(AtomicUsize::new(0));
    let server =
        Server { address, requests: Arc::clone(&requests), connections: Arc::clone(&connections) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::Relaxed);
            let requests = Arc::clone(&requests);
            // A client that has had enough closes, which is an error here and nothing else.
            tokio::spawn(async move { answer_all(stub, stream, &requests).await.ok() });
        }
    });
    server
}

async fn answer_all(
    stub: Stub,
    mut stream: TcpStream,
    requests: &AtomicUsize,
) -> std::io::Result<()> {
    let mut seen = Vec::new();
    loop {
        while !seen.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut seen).await? == 0 {
                return Ok(());
            }
        }
        requests.fetch_add(1, Ordering::Relaxed);
        let request = String::from_utf8_lossy(&seen).into_owned();
        seen.clear();
        answer(stub, &request, &mut stream).await?;
        match stub {
            Stub::Closes | Stub::ClosesInBody | Stub::ClosesAfterwards => return Ok(()),
            Stub::Good
            | Stub::Selective
            | Stub::SelectiveButEmpty
            | Stub::Garbage
            | Stub::Status500
            | Stub::TooLargeAnnounced
            | Stub::TooLargeChunked
            | Stub::Hangs
            | Stub::HangsInBody
            | Stub::Drips => {}
        }
    }
}

async fn answer(stub: Stub, request: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    match stub {
        Stub::Good | Stub::ClosesAfterwards => write(stream, "200 OK", LOADED).await,
        Stub::Selective => write(stream, "200 OK", &selected(request)).await,
        Stub::SelectiveButEmpty => {
            let body = if request.contains("name%5B%5D=") { "" } else { LOADED };
            write(stream, "200 OK", body).await
        }
        Stub::Garbage => write(stream, "200 OK", "<html>\u{0}\u{1} it works! {{{").await,
        Stub::Status500 => write(stream, "500 Internal Server Error", LOADED).await,
        Stub::TooLargeAnnounced => write(stream, "200 OK", &"x 1\n".repeat(2_500_000)).await,
        Stub::TooLargeChunked => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            for _ in 0..10_000 {
                stream.write_all(b"3e8\r\n").await?;
                stream.write_all("x 1\n".repeat(250).as_bytes()).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await
        }
        Stub::Hangs => std::future::pending().await,
        Stub::HangsInBody => {
            write_head(stream, "200 OK", 1000).await?;
            stream.write_all(&LOADED.as_bytes()[..500]).await?;
            std::future::pending().await
        }
        Stub::Drips => {
            write_head(stream, "200 OK", 1_000_000).await?;
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            loop {
                pace.tick().await;
                stream.write_all(b"#").await?;
            }
        }
        Stub::Closes => Ok(()),
        Stub::ClosesInBody => {
            write_head(stream, "200 OK", LOADED.len()).await?;
            stream.write_all(&LOADED.as_bytes()[..500]).await
        }
    }
}

async fn write_head(stream: &mut TcpStream, status: &str, length: usize) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

pub(crate) async fn write(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    write_head(stream, status, body.len()).await?;
    stream.write_all(body.as_bytes()).await
}

/// The lines whose names were asked for, or all of them.
fn selected(request: &str) -> String {
    let query = request.split(' ').nth(1).and_then(|uri| uri.split_once('?')).map(|pair| pair.1);
    let Some(query) = query else { return LOADED.to_owned() };
    let names: Vec<&str> =
        query.split('&').filter_map(|pair| pair.strip_prefix("name%5B%5D=")).collect();
    let wanted = |line: &&str| line.split(['{', ' ']).next().is_some_and(|n| names.contains(&n));
    LOADED.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
}

pub(crate) fn target(id: u64, address: SocketAddr) -> ScrapeTarget {
    let dialects = Dialects::of(&Dialect::Known(DialectName::Vllm));
    ScrapeTarget { id: ReplicaId(id), address, path: "/metrics".into(), dialects }
}

pub(crate) async fn scrape_one(scraper: &Scraper, address: SocketAddr) -> ScrapeResult {
    let clock = Clock::start(TimeScale::REAL);
    let mut results = scraper.scrape(&clock, &[target(1, address)]).await;
    assert_eq!(results.len(), 1);
    results.pop().unwrap().1
}

/// The name of what came back.
pub(crate) fn outcome(result: &ScrapeResult) -> String {
    match result {
        Ok(scrape) => format!("{:?} running", scrape.value.running.unwrap()),
        Err(ScrapeError::Timeout(_)) => "timeout".to_owned(),
        Err(ScrapeError::Connect(_)) => "connect".to_owned(),
        Err(ScrapeError::Request(_)) => "request".to_owned(),
        Err(ScrapeError::Status(status)) => format!("status {status}"),
        Err(ScrapeError::TooLarge { limit_bytes }) => format!("too large for {limit_bytes}"),
        Err(ScrapeError::Body(_)) => "body".to_owned(),
        Err(ScrapeError::Malformed(_)) => "malformed".to_owned(),
        Err(ScrapeError::Path(_)) => "path".to_owned(),
        Err(
            error @ (ScrapeError::Lost(_)
            | ScrapeError::Unseen(_)
            | ScrapeError::Unlabelled(_)
            | ScrapeError::Untold(_)
            | ScrapeError::Prometheus(_)),
        ) => error.to_string(),
    }
}
