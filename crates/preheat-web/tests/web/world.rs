//! A pool that is scaled and recorded, and a server that tells of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use preheat_api::status::{ClockStatus, Status};
use preheat_core::{
    Action, Concurrency, Controls, GatewayObservation, Instant, LatencyWindow, Memory, Observation,
    Policy, PolicySpec, ReplicaCount, ReplicaId, ReplicaObservation, ReplicaPhase, Sample,
    ScheduledDemand,
};
use preheat_runtime::control_board::{ControlBoard, PoolBounds};
use preheat_runtime::controller::Controller;
use preheat_runtime::journal::{Journal, JournalOptions};
use preheat_runtime::routing::PoolId;
use preheat_web::{Admin, Source, Token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Model time between two ticks.
pub(crate) const TICK_S: u64 = 2;
/// When the first tick is.
pub(crate) const BEGIN_S: u64 = 6_000;
const COLD_START: Duration = Duration::from_secs(20);
const SERVICE_TIME: Duration = Duration::from_secs(6);
const SLOTS: u32 = 8;

/// One pool in a world of its own, with a journal.
pub(crate) struct World {
    folder: tempfile::TempDir,
    journal: Journal,
    controller: Controller,
    replicas: Vec<(ReplicaId, ReplicaPhase, Instant)>,
    next_id: u64,
    now: Instant,
    /// What an operator has ordered.
    pub(crate) controls: Controls,
    /// What is announced.
    pub(crate) scheduled: Vec<ScheduledDemand>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("journal.db"), JournalOptions::default());
        let pool = PoolId("chat".to_owned());
        let controller = Controller::new(pool, 1, policy(6), Memory::default());
        let controller = controller.with_journal(journal.clone());
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(BEGIN_S));
        Self {
            folder,
            journal,
            controller,
            replicas: Vec::new(),
            next_id: 0,
            now,
            controls: Controls::default(),
            scheduled: Vec::new(),
        }
    }

    /// Its configuration is read anew: at most so many replicas.
    pub(crate) fn reconfigure(&mut self, replicas_max: u32) {
        self.controller.set_policy(policy(replicas_max));
    }

    /// preheat ends.
    pub(crate) fn end(&mut self) {
        self.controller.shutdown(self.now);
        assert_eq!(self.journal.flush().failure, None);
    }

    /// preheat ends, and begins again with at most so many replicas.
    pub(crate) fn restart(&mut self, replicas_max: u32) {
        self.end();
        let (pool, memory) = (self.controller.pool().clone(), self.controller.memory().clone());
        let controller = Controller::new(pool, 1, policy(replicas_max), memory);
        self.controller = controller.with_journal(self.journal.clone());
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    /// Ticks so often, with so many arrivals at each.
    pub(crate) fn drive(&mut self, ticks: u64, arrivals: u64) {
        for done in 0..ticks {
            self.step(arrivals);
            // The journal takes 256 entries that it has not stored yet.
            if done % 100 == 99 {
                self.journal.flush();
            }
        }
        assert_eq!(self.journal.flush().failure, None);
    }

    fn step(&mut self, arrivals: u64) {
        let now = self.now;
        for (_, phase, since) in &mut self.replicas {
            if *phase == ReplicaPhase::Loading && now.since(*since) >= COLD_START {
                (*phase, *since) = (ReplicaPhase::Ready, now);
            }
        }
        let observation = Observation {
            gateway: Some(gateway(now, arrivals)),
            controls: self.controls,
            scheduled: self.scheduled.clone(),
            ..Observation::of(
                self.controller.next_tick(),
                now,
                self.replicas.iter().map(|replica| seen(*replica, now, arrivals)).collect(),
            )
        };
        let plan = self.controller.tick(observation).plan;
        for action in &plan.actions {
            match action {
                Action::Start { count } => {
                    for _ in 0..*count {
                        let id = ReplicaId(self.next_id);
                        self.replicas.push((id, ReplicaPhase::Loading, now));
                        self.next_id += 1;
                    }
                }
                Action::Drain { replica } => self.turn(*replica, ReplicaPhase::Draining),
                Action::Resume { replica } | Action::Wake { replica } => {
                    self.turn(*replica, ReplicaPhase::Ready);
                }
                Action::Sleep { replica, .. } | Action::Stop { replica, .. } => {
                    self.replicas.retain(|(id, ..)| id != replica);
                }
            }
        }
        self.now = now.saturating_add(Duration::from_secs(TICK_S));
    }

    fn turn(&mut self, replica: ReplicaId, to: ReplicaPhase) {
        let now = self.now;
        for (_, phase, since) in self.replicas.iter_mut().filter(|(id, ..)| *id == replica) {
            (*phase, *since) = (to, now);
        }
    }

    /// A server of what this world is like now.
    pub(crate) async fn serve(&self, token: Option<&str>) -> Server {
        let now = self.now;
        let status = Status {
            version: "1.2.3".to_owned(),
            clock: ClockStatus { now, scale: 20.0 },
            pools: vec![self.controller.status()],
            ..Status::default()
        };
        let bounds = PoolBounds { replicas_min: ReplicaCount(1), replicas_max: ReplicaCount(6) };
        let file = self.folder.path().join("controls.json");
        let board = ControlBoard::open(file, [("chat".to_owned(), bounds)]);
        Server::of(
            Source {
                status: Arc::new(move || status.clone()),
                journal: Some(self.path()),
                controls: Some(Arc::new(board)),
                figures: None,
                live: true,
            },
            token,
        )
        .await
    }
}

fn policy(replicas_max: u32) -> Policy {
    let spec = PolicySpec { replicas_max: ReplicaCount(replicas_max), ..PolicySpec::default() };
    spec.validate().unwrap()
}

/// Every request takes a while, so a ready replica has all that came in it, up to its slots.
fn seen(
    (id, phase, since): (ReplicaId, ReplicaPhase, Instant),
    now: Instant,
    arrivals: u64,
) -> ReplicaObservation {
    let is_up = matches!(phase, ReplicaPhase::Ready | ReplicaPhase::Draining);
    let count = |value| is_up.then(|| Sample::new(value, now));
    let inside = if phase == ReplicaPhase::Ready { arrivals.min(u64::from(SLOTS)) } else { 0 };
    let inside = count(u32::try_from(inside).unwrap_or(SLOTS));
    ReplicaObservation {
        in_flight: inside,
        queue_depth: count(0),
        max_num_seqs: Concurrency::new(SLOTS),
        outstanding: inside,
        ..ReplicaObservation::untold(id, phase, since)
    }
}

fn gateway(now: Instant, arrivals: u64) -> GatewayObservation {
    let latency = (arrivals > 0).then(|| LatencyWindow {
        count: arrivals,
        mean: Duration::from_millis(300),
        p50: Duration::from_millis(250),
        p90: Duration::from_millis(500),
        p99: Duration::from_millis(1000 + arrivals),
    });
    GatewayObservation {
        observed_at: now,
        over: Duration::from_secs(TICK_S),
        arrivals,
        completions: arrivals,
        failures: 0,
        rejections: 0,
        held: 0,
        held_oldest: None,
        ttft: latency,
        first_tokens: None,
        itl: None,
        engine_time: latency.map(|window| LatencyWindow { mean: SERVICE_TIME, ..window }),
    }
}

/// An admin server that answers until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn of(source: Source, token: Option<&str>) -> Self {
        Self::with_control_token(source, token, None).await
    }

    pub(crate) async fn with_control_token(
        source: Source,
        token: Option<&str>,
        control: Option<&str>,
    ) -> Self {
        let parsed = |token: Option<&str>| token.map(|token| Token::parse(token).unwrap());
        let admin =
            Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0)), parsed(token)).await.unwrap();
        let admin = admin.with_control_token(parsed(control));
        let address = admin.local_addr().unwrap();
        Self { address, task: tokio::spawn(admin.serve(source, std::future::pending())) }
    }

    /// The whole answer, head and body.
    pub(crate) async fn ask(&self, request: &str, headers: &str) -> String {
        self.ask_with_body(request, headers, "").await
    }

    /// The same with something to send.
    pub(crate) async fn ask_with_body(&self, request: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let head = format!("{request} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n{body}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The body of a `GET`, with this status.
    pub(crate) async fn json(&self, path: &str, status: u16) -> serde_json::Value {
        let answer = self.ask(&format!("GET {path}"), "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}
