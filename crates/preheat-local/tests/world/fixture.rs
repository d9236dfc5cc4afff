//! A world over fake engines in a folder of its own, and waiting for what it should come to.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use preheat_api::config::LocalConfig;
use preheat_core::{Action, ReplicaId, ReplicaObservation, ReplicaPhase};
use preheat_local::{
    LocalWorld, PoolObservation, ReplicaProcess, ShutdownMode, StateDir, WorldOptions,
};
use preheat_runtime::clock::TimeScale;
use preheat_runtime::routing::{PoolId, RoutingReceiver, routing_channel};

/// Far beyond what anything here takes; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Ports of one test: one that reserves the others, and a few for engines.
const PORTS_EACH: u16 = 10;

/// Everything of one test but the world, which some tests start twice.
pub(crate) struct Setup {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) first_port: u16,
    pub(crate) traits: String,
    pub(crate) pool_keys: String,
    pub(crate) engine_keys: String,
    pub(crate) file_keys: String,
    pub(crate) command: Option<String>,
    _reservation: TcpListener,
}

impl Setup {
    pub(crate) fn new(traits: &str) -> Self {
        let (reservation, first_port) = reserve_ports();
        Self {
            folder: tempfile::tempdir().unwrap(),
            first_port,
            traits: traits.to_owned(),
            pool_keys: String::new(),
            engine_keys: String::new(),
            file_keys: String::new(),
            command: None,
            _reservation: reservation,
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn last_port(&self) -> u16 {
        self.first_port + PORTS_EACH - 2
    }

    pub(crate) fn config(&self) -> LocalConfig {
        let program = std::env::current_exe().unwrap();
        let program = program.display();
        let command = self.command.clone().unwrap_or_else(|| {
            format!("['{program}', fake_engine, --exact, --nocapture, --test-threads=1]")
        });
        let (folder, traits) = (self.folder.path().display(), &self.traits);
        let (first, last) = (self.first_port, self.last_port());
        let yaml = format!(
            "{}pools:\n  - name: p\n    modelName: m\n    maxReplicas: 3\n{}    engine:\n      \
             command: {command}\n      ports: {first}-{last}\n      \
             env: {{FAKE_PORT: '{{port}}', FAKE_FOLDER: '{folder}', FAKE_TRAITS: '{traits}'}}\n\
             {}",
            self.file_keys, self.pool_keys, self.engine_keys
        );
        LocalConfig::parse(&yaml, Path::new("test.yaml")).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A world twenty times as fast as real time, so that back-offs are short.
    pub(crate) async fn start(&self) -> Running {
        // Another test that forks at this moment holds a copy of the last world's lock until it execs.
        let state = eventually("lock", || StateDir::open(&self.state()).ok()).await;
        let clock = state.clock(TimeScale::try_from(20.0).unwrap());
        let (sender, routing) = routing_channel();
        let options = WorldOptions::default();
        let world = LocalWorld::start(&self.config(), state, clock, sender, options).await;
        Running { world, routing, pool: PoolId("p".to_owned()) }
    }

    /// Opens a gate that engines wait at.
    pub(crate) fn open(&self, gate: &str) {
        std::fs::write(self.folder.path().join(gate), "").unwrap();
    }

    /// What an engine has marked.
    pub(crate) async fn mark(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        eventually(name, || std::fs::read_to_string(&path).ok()).await
    }

    /// Waits until the record of a replica says so.
    pub(crate) async fn recorded(&self, replica: &str, phase: &str) {
        let path = self.state().join(format!("replicas/p-{replica}.json"));
        let phase = format!("\"phase\": {phase}");
        let says_so = || std::fs::read_to_string(&path).ok()?.contains(&phase).then_some(());
        eventually(&phase, says_so).await;
    }

    pub(crate) fn records(&self) -> usize {
        std::fs::read_dir(self.state().join("replicas")).map_or(0, Iterator::count)
    }
}

/// A test that fails leaves its engines running: they are known by their environment.
impl Drop for Setup {
    fn drop(&mut self) {
        let folder = format!("FAKE_FOLDER={}\0", self.folder.path().display());
        let pids = std::fs::read_dir("/proc").unwrap();
        let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if environment.windows(folder.len()).any(|window| window == folder.as_bytes()) {
                let pid = nix::unistd::Pid::from_raw(pid);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}

/// The first of a run of ports that nobody else in these tests uses: the listener holds them.
fn reserve_ports() -> (TcpListener, u16) {
    let bases = (21_000..31_000).step_by(usize::from(PORTS_EACH));
    for base in bases {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, base)) {
            return (listener, base + 1);
        }
    }
    panic!("no ports left");
}

pub(crate) struct Running {
    pub(crate) world: LocalWorld,
    pub(crate) routing: RoutingReceiver,
    pub(crate) pool: PoolId,
}

impl Running {
    pub(crate) async fn observe(&self) -> PoolObservation {
        self.world.observe(&self.pool).await.unwrap()
    }

    pub(crate) async fn apply(&self, actions: &[Action]) {
        assert_eq!(self.world.apply(&self.pool, actions).await, Ok(vec![]));
    }

    pub(crate) async fn start_replicas(&self, count: u32) {
        self.apply(&[Action::Start { count }]).await;
    }

    /// Waits until the replica is in this phase.
    pub(crate) async fn reaches(&self, id: u64, phase: ReplicaPhase) -> ReplicaObservation {
        let seen = async {
            loop {
                let replicas = self.observe().await.replicas;
                let found = replicas.into_iter().find(|r| r.id == ReplicaId(id));
                if let Some(found) = found.filter(|replica| replica.phase == phase) {
                    return found;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, seen).await;
        waited.unwrap_or_else(|_| panic!("r{id} never {phase:?}: {:?}", self.world.status()))
    }

    pub(crate) async fn ready(&self, id: u64) -> ReplicaObservation {
        self.reaches(id, ReplicaPhase::Ready).await
    }

    /// Waits until nothing is left of the replica.
    pub(crate) async fn gone(&self, id: u64) {
        eventually("gone", || self.process(id).is_none().then_some(())).await;
    }

    pub(crate) fn process(&self, id: u64) -> Option<ReplicaProcess> {
        self.world.status().replicas.into_iter().find(|replica| replica.id == ReplicaId(id))
    }

    /// Waits until the status shows this of a replica.
    pub(crate) async fn shows<T>(&self, id: u64, what: impl Fn(&ReplicaProcess) -> Option<T>) -> T {
        eventually("status", || what(&self.process(id)?)).await
    }

    pub(crate) fn pid(&self, id: u64) -> u32 {
        self.process(id).unwrap().pid.unwrap()
    }

    pub(crate) fn address(&self, id: u64) -> SocketAddr {
        self.process(id).unwrap().address.unwrap()
    }

    /// Ids that the gateway may send requests to.
    pub(crate) fn routed(&self) -> Vec<u64> {
        let table = self.routing.borrow();
        let routes = table.pools_by_model.get("m").unwrap();
        routes.backends.iter().map(|backend| backend.replica.0).collect()
    }

    pub(crate) async fn crash(&self, id: u64) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.address(id)).await.unwrap();
        stream.write_all(b"POST /crash HTTP/1.1\r\n\r\n").await.unwrap();
        // It ends without an answer.
        let _ = stream.read(&mut [0; 16]).await;
    }

    pub(crate) async fn stop(self) {
        self.world.shutdown(Duration::ZERO, ShutdownMode::Now).await;
    }
}

/// Waits until `look` sees something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Whether a process exists and is no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}
