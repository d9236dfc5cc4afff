//! Streams of events, and coming back to one.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use crate::world::{Server, World};

/// A stream of events being read.
struct Events(Lines<BufReader<TcpStream>>);

/// One event.
#[derive(Debug, Default)]
struct Event {
    name: String,
    id: Option<u64>,
    data: serde_json::Value,
}

impl Events {
    async fn open(server: &Server, path: &str, last_id: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let last = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        while !lines.next_line().await.unwrap().unwrap().is_empty() {}
        Self(lines)
    }

    async fn next(&mut self) -> Event {
        let mut event = Event::default();
        loop {
            let line = self.0.next_line().await.unwrap().unwrap();
            if let Some(name) = line.strip_prefix("event: ") {
                event.name = name.to_owned();
            } else if let Some(id) = line.strip_prefix("id: ") {
                event.id = Some(id.parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).unwrap();
            } else if line.is_empty() && !event.name.is_empty() {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn a_fleet_is_told_at_once() {
    let mut world = World::new();
    world.drive(2, 0);
    let server = world.serve(None).await;
    let event = Events::open(&server, "/api/v1/events", None).await.next().await;
    assert_eq!((event.name.as_str(), event.id), ("fleet", None));
    assert_eq!(event.data["pools"][0]["pool"], "chat");
}

#[tokio::test]
async fn who_comes_back_is_told_what_was_missed() {
    let mut world = World::new();
    world.drive(1, 0);
    let server = world.serve(None).await;
    let mut events = Events::open(&server, "/api/v1/pools/chat/events", None).await;
    assert_eq!(events.next().await.name, "pool");
    let caught_up = events.next().await;
    assert_eq!(caught_up.name, "caught-up");
    let known = caught_up.id.unwrap();
    drop(events);

    // While nobody listens.
    world.drive(30, 60);
    let log = server.json("/api/v1/pools/chat/decisions", 200).await;
    let decisions = log["decisions"].as_array().unwrap();
    let missed: Vec<&serde_json::Value> =
        decisions.iter().rev().filter(|one| one["seq"].as_u64().unwrap() > known).collect();
    assert!(!missed.is_empty());
    let mut events = Events::open(&server, "/api/v1/pools/chat/events", Some(known)).await;
    assert_eq!(events.next().await.name, "pool");
    for expected in missed {
        let event = events.next().await;
        assert_eq!((event.name.as_str(), event.id), ("decision", expected["seq"].as_u64()));
        assert_eq!(&event.data, expected);
    }
}

#[tokio::test]
async fn who_comes_back_to_another_journal_begins_anew() {
    let mut world = World::new();
    world.drive(1, 0);
    let server = world.serve(None).await;
    let mut events = Events::open(&server, "/api/v1/pools/chat/events", Some(1_000_000)).await;
    assert_eq!(events.next().await.name, "pool");
    assert_eq!(events.next().await.name, "reset");
}

#[tokio::test]
async fn streams_leave_room_for_everything_else() {
    let mut world = World::new();
    world.drive(1, 0);
    let server = world.serve(None).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut events = Events::open(&server, "/api/v1/events", None).await;
        events.next().await;
        open.push(events);
    }
    server.json("/api/v1/events", 503).await;
    server.json("/api/v1/fleet", 200).await;
}
