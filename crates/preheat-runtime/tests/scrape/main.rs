//! The scraper against loopback servers that behave and servers that don't.

use std::sync::atomic::Ordering;
use std::time::Duration;

use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::scrape::{ScrapeConfig, ScrapeTarget, Scraper, Selection};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use stub::{LOADED, Stub, outcome, scrape_one, serve, target, write};

#[cfg(test)]
mod stub;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_target_gets_its_own_result() {
    let table = [
        (Stub::Hangs, "timeout"),
        (Stub::Good, "8 running"),
        (Stub::HangsInBody, "timeout"),
        (Stub::Drips, "timeout"),
        (Stub::Garbage, "malformed"),
        (Stub::Status500, "status 500"),
        (Stub::TooLargeAnnounced, "too large for 4194304"),
        (Stub::TooLargeChunked, "too large for 4194304"),
        (Stub::Closes, "request"),
        (Stub::ClosesInBody, "body"),
        (Stub::Good, "8 running"),
    ];
    let mut targets = Vec::new();
    for (id, (stub, _)) in table.iter().enumerate() {
        targets.push(target(id as u64, serve(*stub).await.address));
    }
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    targets.push(target(100, refused));
    targets.push(ScrapeTarget { path: "no path".into(), ..target(101, refused) });

    let scraper = Scraper::new(ScrapeConfig::default());
    let results = scraper.scrape(&Clock::start(TimeScale::REAL), &targets).await;
    let seen: Vec<String> =
        results.iter().map(|(id, result)| format!("{id} {}", outcome(result))).collect();
    let mut expected: Vec<String> =
        table.iter().enumerate().map(|(id, (_, outcome))| format!("r{id} {outcome}")).collect();
    expected.extend(["r100 connect".to_owned(), "r101 path".to_owned()]);
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn hanging_targets_do_not_keep_the_slots() {
    let (hangs, good) = (serve(Stub::Hangs).await, serve(Stub::Good).await);
    let config = ScrapeConfig {
        timeout: Duration::from_millis(500),
        concurrency_max: 1,
        ..ScrapeConfig::default()
    };
    let targets = [target(1, hangs.address), target(2, good.address)];
    let results = Scraper::new(config).scrape(&Clock::start(TimeScale::REAL), &targets).await;
    assert_eq!(outcome(&results[0].1), "timeout");
    assert_eq!(outcome(&results[1].1), "8 running");
}

#[tokio::test]
async fn connections_are_kept_and_replaced_when_they_end() {
    let scraper = Scraper::new(ScrapeConfig::default());
    for (stub, connections) in [(Stub::Good, 1), (Stub::ClosesAfterwards, 3)] {
        let server = serve(stub).await;
        for _ in 0..3 {
            assert_eq!(outcome(&scrape_one(&scraper, server.address).await), "8 running");
        }
        assert_eq!(server.connections.load(Ordering::Relaxed), connections, "{stub:?}");
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_told_apart_from_one_that_fails() {
    let scraper = Scraper::new(ScrapeConfig::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut seen).await.unwrap();
        }
        write(&mut stream, "200 OK", LOADED).await.unwrap();
    });
    assert_eq!(outcome(&scrape_one(&scraper, address).await), "8 running");
    server.await.unwrap();
    assert_eq!(outcome(&scrape_one(&scraper, address).await), "connect");
}

#[tokio::test]
async fn only_the_wanted_series_are_asked_for() {
    let config = ScrapeConfig { selection: Selection::Wanted, ..ScrapeConfig::default() };
    let everything = Scraper::new(ScrapeConfig::default());
    let wanted = Scraper::new(config);
    // A server that selects is asked once a scrape; one that ignores the names as well.
    for stub in [Stub::Selective, Stub::Good] {
        let server = serve(stub).await;
        let whole = scrape_one(&everything, server.address).await.unwrap();
        let part = scrape_one(&wanted, server.address).await.unwrap();
        assert_eq!(part.value, whole.value);
        assert_eq!(server.requests.load(Ordering::Relaxed), 2, "{stub:?}");
    }
    // One that selects and has nothing is asked for everything, and then only so.
    let server = serve(Stub::SelectiveButEmpty).await;
    assert_eq!(outcome(&scrape_one(&wanted, server.address).await), "8 running");
    assert_eq!(outcome(&scrape_one(&wanted, server.address).await), "8 running");
    assert_eq!(server.requests.load(Ordering::Relaxed), 3);
}
