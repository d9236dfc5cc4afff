//! One task per replica: it owns the engine process from start to end.
//!
//! ```text
//! place → spawn → until ready → serve ⇄ sleep
//!   ↑                 │           │
//!   └── back off ── ended by itself        ordered to stop → SIGTERM … SIGKILL → gone
//! ```
//!
//! **Invariant:** an order to stop is followed at once, whatever is being waited for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use preheat_api::config::PoolConfig;
use preheat_core::{ReplicaId, ReplicaPhase};
use preheat_runtime::clock::Clock;
use preheat_runtime::probe::{ProbeError, Prober};
use preheat_runtime::routing::PoolId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backoff;
use crate::command::{self, CommandContext};
use crate::logs::{self, LogFollower};
use crate::process::{Process, SpawnError};
use crate::procfs;
use crate::record::ReplicaRecord;
use crate::state_dir::StateFiles;
use crate::table::{AfterCrash, Intent, Table};

/// Between two probes of an engine that is starting, in model time.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// The same in wall time, however fast model time runs: more often would only load the machine.
const PROBE_INTERVAL_WALL_MIN: Duration = Duration::from_millis(20);
/// Between two tries to place a replica for which there is no port or GPU, in wall time.
const PLACE_INTERVAL: Duration = Duration::from_millis(250);
/// A first token may compile kernels for half a minute: so many probe timeouts are allowed for it.
const CANARY_TIMEOUT_FACTOR: u32 = 12;
/// Falling asleep and waking move weights between GPU and host: seconds for large models.
const SLEEP_TIMEOUT: Duration = Duration::from_secs(60);
/// On top of an engine's own shutdown timeout, in wall time.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// Between two looks at a log's size.
const LOG_BOUND_INTERVAL: Duration = Duration::from_secs(5);

/// What all supervisors share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: Table,
    pub(crate) state: Arc<StateFiles>,
    pub(crate) clock: Clock,
    pub(crate) prober: Prober,
    pub(crate) emulated_program: Vec<String>,
    pub(crate) boot_id: String,
}

impl Shared {
    /// Model name that an engine of this pool must list.
    pub(crate) fn probed_model(config: &PoolConfig) -> &str {
        let canary_model = config.engine.readiness.canary_model.as_deref();
        canary_model.or_else(|| config.model_names.first().map(String::as_str)).unwrap_or_default()
    }

    /// Wall time that an engine gets between SIGTERM and SIGKILL.
    pub(crate) fn patience(&self, config: &PoolConfig) -> Duration {
        self.clock.to_wall(config.engine.shutdown_timeout) + SHUTDOWN_GRACE
    }

    fn probe_interval(&self) -> Duration {
        self.clock.to_wall(PROBE_INTERVAL).clamp(PROBE_INTERVAL_WALL_MIN, PROBE_INTERVAL)
    }
}

/// Supervises one replica until nothing of it is left.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    pool: PoolId,
    config: Arc<PoolConfig>,
    replica: ReplicaId,
    intent: watch::Receiver<Intent>,
    log_path: PathBuf,
    log: LogFollower,
    /// Starts in a row that came to nothing.
    failures: u32,
    /// A record that may still be being written after whoever wanted it was cut short.
    write: Option<JoinHandle<()>>,
}

/// How the attendance of one process ended.
enum End {
    /// The engine ended by itself, or can't be trusted any more.
    Failed(String),
    /// It was ordered to stop.
    Ordered,
}

/// Names a process in its record.
#[derive(Clone, Copy)]
struct ProcessName {
    pid: u32,
    start_ticks: u64,
}

impl Supervisor {
    /// `None` when the table has no such replica.
    pub(crate) fn new(shared: &Arc<Shared>, pool: &PoolId, replica: ReplicaId) -> Option<Self> {
        let inner = shared.table.lock();
        let entry = inner.pools.get(pool)?;
        let intent = entry.replicas.get(&replica)?.intent();
        let config = Arc::clone(&entry.config);
        drop(inner);
        let log_path = shared.state.log_path(pool, replica);
        Some(Self {
            shared: Arc::clone(shared),
            pool: pool.clone(),
            config,
            replica,
            intent,
            log: LogFollower::from_end(&log_path),
            log_path,
            failures: 0,
            write: None,
        })
    }

    /// Runs until the replica is gone. Starts its engine, unless one was `adopted`.
    pub(crate) async fn run(mut self, mut adopted: Option<Process>) {
        loop {
            let process = match adopted.take() {
                Some(process) => Some(process),
                None => self.start().await,
            };
            let ended = match process {
                Some(process) => self.attend(process).await,
                // No process: only an order to stop leads here.
                None => AfterCrash::Gone,
            };
            let AfterCrash::Restart { ready_for } = ended else { break };
            if ready_for >= backoff::FORGIVEN_AFTER {
                self.failures = 0;
            }
            if !self.back_off().await {
                break;
            }
        }
        self.unpersist().await;
        self.shared.table.remove(&self.pool, self.replica);
        let (state, pool) = (Arc::clone(&self.shared.state), self.pool.clone());
        let living = self.shared.table.replica_ids(&self.pool);
        blocking(move || state.prune_logs(&pool, &living)).await;
    }

    /// Tries to start an engine until it succeeds. `None` when ordered to stop instead.
    async fn start(&mut self) -> Option<Process> {
        loop {
            if *self.intent.borrow() == Intent::Stop {
                return None;
            }
            let error = match self.spawn().await {
                Ok(process) => return Some(process),
                Err(error) => error,
            };
            let waits = matches!(error, SpawnError::NoPort(_) | SpawnError::NoGpuSlots(_));
            let why = with_source(&error);
            tracing::warn!(pool = %self.pool, replica = %self.replica, why, "could not start");
            self.shared.table.failed_to_start(&self.pool, self.replica, why);
            let goes_on =
                if waits { self.pause(PLACE_INTERVAL).await } else { self.back_off().await };
            if !goes_on {
                return None;
            }
        }
    }

    async fn spawn(&mut self) -> Result<Process, SpawnError> {
        let (port, gpus) = self.shared.table.place(&self.pool, self.replica)?;
        let line = command::command_line(&CommandContext {
            pool: &self.config,
            replica: self.replica,
            port,
            gpus: &gpus,
            emulated_program: &self.shared.emulated_program,
            clock_anchor: self.shared.clock.anchor(),
        });
        let (path, title) = (self.log_path.clone(), format!("{} at port {port}", self.replica));
        let open = move || (logs::open(&path, &title), LogFollower::from_end(&path));
        let opened = blocking(open).await;
        let log = opened.and_then(|(file, follower)| {
            self.log = follower;
            let warnings = self.shared.state.warnings();
            warnings.set("logs", file.as_ref().map(|_| ()), &self.log_path);
            file.ok()
        });
        let process = Process::spawn(&line, log.as_ref())?;
        tracing::info!(pool = %self.pool, replica = %self.replica, pid = process.pid, port, "started");
        self.shared.table.spawned(&self.pool, self.replica, &process);
        Ok(process)
    }

    /// Looks after one process until it is gone.
    async fn attend(&mut self, mut process: Process) -> AfterCrash {
        let name = ProcessName { pid: process.pid, start_ticks: process.start_ticks };
        let mut intent = self.intent.clone();
        let end = tokio::select! {
            // An order to stop comes first: an engine that then ends has not crashed.
            biased;
            () = ordered_to_stop(&mut intent) => End::Ordered,
            exit = process.exited() => End::Failed(exit.to_string()),
            failure = self.serve(name) => End::Failed(failure),
        };
        let patience = self.shared.patience(&self.config);
        let End::Failed(why) = end else {
            process.terminate(patience).await;
            return AfterCrash::Gone;
        };
        let why = match logs::last_line(&self.log_path) {
            Some(line) => format!("{why}; its last words: {line}"),
            None => why,
        };
        tracing::warn!(pool = %self.pool, replica = %self.replica, why, "engine failed");
        let after = self.shared.table.crashed(&self.pool, self.replica, why);
        if procfs::is_alive(process.pid, process.start_ticks) {
            process.terminate(patience).await;
        } else {
            process.kill_remains().await;
        }
        after
    }

    /// Brings about what is intended of a running engine, for as long as it goes well. Returns what
    /// did not.
    async fn serve(&mut self, name: ProcessName) -> String {
        let Some((phase, address)) = self.phase_and_address() else {
            return "it has no address".to_owned();
        };
        let mut is_asleep = matches!(phase, ReplicaPhase::Standby(_) | ReplicaPhase::Waking(_));
        if !is_asleep && phase.is_starting() {
            self.persist(name).await;
            self.until_ready(address).await;
        }
        loop {
            self.persist(name).await;
            let intended = *self.intent.borrow_and_update();
            let moved = match (intended, is_asleep) {
                (Intent::Sleep, false) => self.fall_asleep(address).await.map(|()| true),
                (Intent::Serve, true) => self.wake(address).await.map(|()| false),
                // Woken before it had begun to fall asleep.
                (Intent::Serve, false) if self.is_waking() => {
                    self.ready_again(address).await.map(|()| false)
                }
                (Intent::Sleep | Intent::Serve | Intent::Stop, _) => {
                    self.until_ordered().await;
                    continue;
                }
            };
            match moved {
                Ok(asleep) => is_asleep = asleep,
                // What is half asleep answers garbage or nothing: it must go.
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Waits for the next order, and meanwhile keeps the log from growing for ever.
    async fn until_ordered(&mut self) {
        loop {
            tokio::select! {
                changed = self.intent.changed() => {
                    if changed.is_err() {
                        // The table outlives its supervisors, so there is no order to wait for.
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                () = tokio::time::sleep(LOG_BOUND_INTERVAL) => {
                    let path = self.log_path.clone();
                    blocking(move || logs::bound(&path)).await;
                }
            }
        }
    }

    /// Probes until the engine lists its model and answers one token.
    async fn until_ready(&mut self, address: SocketAddr) {
        loop {
            self.follow_log().await;
            match self.probe(address).await {
                Ok(()) => break,
                // Before the port opens, there is nothing to say.
                Err(ProbeError::Connect { .. }) => {}
                Err(error) => {
                    self.shared.table.not_ready(&self.pool, self.replica, error.to_string());
                }
            }
            tokio::time::sleep(self.shared.probe_interval()).await;
        }
        self.shared.table.became_ready(&self.pool, self.replica);
    }

    async fn probe(&self, address: SocketAddr) -> Result<(), ProbeError> {
        let readiness = &self.config.engine.readiness;
        let model = Shared::probed_model(&self.config);
        let prober = &self.shared.prober;
        prober.lists_model(address, &readiness.path, model, readiness.timeout).await?;
        self.shared.table.progressed(&self.pool, self.replica, ReplicaPhase::Warming);
        self.canary(address).await
    }

    async fn canary(&self, address: SocketAddr) -> Result<(), ProbeError> {
        let readiness = &self.config.engine.readiness;
        if !readiness.canary {
            return Ok(());
        }
        let timeout = readiness.timeout * CANARY_TIMEOUT_FACTOR;
        self.shared.prober.canary(address, Shared::probed_model(&self.config), timeout).await
    }

    async fn fall_asleep(&self, address: SocketAddr) -> Result<(), ProbeError> {
        let Some(paths) = &self.config.engine.sleep else { return Ok(()) };
        self.shared.prober.post(address, &paths.sleep_path, SLEEP_TIMEOUT).await?;
        self.until_sleeping(address, &paths.state_path, true).await
    }

    async fn wake(&self, address: SocketAddr) -> Result<(), ProbeError> {
        if let Some(paths) = &self.config.engine.sleep {
            self.shared.prober.post(address, &paths.wake_path, SLEEP_TIMEOUT).await?;
            self.until_sleeping(address, &paths.state_path, false).await?;
        }
        self.ready_again(address).await
    }

    async fn ready_again(&self, address: SocketAddr) -> Result<(), ProbeError> {
        // A 200 proves only that the endpoint returned; weights may still be garbage.
        self.canary(address).await?;
        self.shared.table.became_ready(&self.pool, self.replica);
        Ok(())
    }

    fn is_waking(&self) -> bool {
        self.phase_and_address().is_some_and(|(phase, _)| matches!(phase, ReplicaPhase::Waking(_)))
    }

    /// Asks until the engine is asleep, or awake, as `expected`; gives up after [`SLEEP_TIMEOUT`].
    async fn until_sleeping(
        &self,
        address: SocketAddr,
        path: &str,
        expected: bool,
    ) -> Result<(), ProbeError> {
        let timeout = self.config.engine.readiness.timeout;
        let interval = self.shared.probe_interval();
        let rounds = SLEEP_TIMEOUT.as_nanos() / interval.as_nanos().max(1);
        let mut result = Ok(());
        for _ in 0..rounds.max(1) {
            result = self.shared.prober.is_sleeping(address, path, expected, timeout).await;
            match &result {
                Err(ProbeError::WrongSleepState { .. }) => tokio::time::sleep(interval).await,
                Ok(()) | Err(_) => return result,
            }
        }
        result
    }

    async fn follow_log(&mut self) {
        let mut log = std::mem::replace(&mut self.log, LogFollower::from_end(&self.log_path));
        let path = self.log_path.clone();
        let read = blocking(move || {
            let phase = log.phase();
            let _ = logs::bound(&path);
            (log, phase)
        });
        if let Some((log, phase)) = read.await {
            self.log = log;
            if let Some(phase) = phase {
                self.shared.table.progressed(&self.pool, self.replica, phase);
            }
        }
    }

    fn phase_and_address(&self) -> Option<(ReplicaPhase, SocketAddr)> {
        let inner = self.shared.table.lock();
        let replica = inner.pools.get(&self.pool)?.replicas.get(&self.replica)?;
        Some((replica.phase, replica.address()?))
    }

    /// Writes down what the next preheat needs to adopt this process.
    async fn persist(&mut self, name: ProcessName) {
        self.finish_write().await;
        let Some(record) = self.record(name) else { return };
        let state = Arc::clone(&self.shared.state);
        self.write = Some(tokio::task::spawn_blocking(move || state.write_replica(&record)));
        self.finish_write().await;
    }

    /// Waits for a write, so that what comes after it also lands after it.
    async fn finish_write(&mut self) {
        if let Some(write) = &mut self.write {
            // A write that panicked or was cancelled is over, too.
            let _ = write.await;
        }
        self.write = None;
    }

    async fn unpersist(&mut self) {
        self.finish_write().await;
        let (state, pool) = (Arc::clone(&self.shared.state), self.pool.clone());
        let replica = self.replica;
        blocking(move || state.remove_replica(&pool, replica)).await;
    }

    fn record(&self, name: ProcessName) -> Option<ReplicaRecord> {
        let inner = self.shared.table.lock();
        let replica = inner.pools.get(&self.pool)?.replicas.get(&self.replica)?;
        Some(ReplicaRecord {
            pool: self.pool.clone(),
            replica: self.replica,
            phase: replica.phase,
            phase_since: replica.phase_since,
            start_ordered_at: replica.start_ordered_at,
            restarts: replica.restarts,
            pid: name.pid,
            start_ticks: name.start_ticks,
            boot_id: self.shared.boot_id.clone(),
            port: replica.port?,
            gpus: replica.gpus.clone().unwrap_or_default(),
            command_digest: command::digest(&self.config),
            metrics_path: self.config.engine.metrics_path.clone(),
            dialect: self.config.engine.dialect.clone(),
        })
    }

    /// Waits before the next try. Whether there is to be one.
    async fn back_off(&mut self) -> bool {
        // The process is gone; a record of it would only be looked at in vain.
        self.unpersist().await;
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(self.replica, self.failures);
        let goes_on = self.pause(self.shared.clock.to_wall(delay)).await;
        if goes_on {
            self.shared.table.restarts(&self.pool, self.replica);
        }
        goes_on
    }

    /// Waits this much wall time, unless ordered to stop before. Whether to go on.
    async fn pause(&mut self, wall: Duration) -> bool {
        tokio::select! {
            biased;
            () = ordered_to_stop(&mut self.intent) => false,
            () = tokio::time::sleep(wall) => true,
        }
    }
}

/// Waits for an order to stop.
async fn ordered_to_stop(intent: &mut watch::Receiver<Intent>) {
    if intent.wait_for(|intent| *intent == Intent::Stop).await.is_err() {
        // The table outlives its supervisors: without it, nobody gives orders.
        std::future::pending::<()>().await;
    }
}

/// Runs file work off the async threads. `None` when the runtime is shutting down.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// An error and what caused it, in one line.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
