//! Simulations that somebody asked for: queued, run, stopped, and kept for a while.
//!
//! **Invariant:** what runs, waits and is kept is bounded, and so is the time of each run: whoever
//! asks can't keep the machine from its work. Everything that simulates takes its turn here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_api::v1::{Simulation, SimulationState};
use preheat_scenario::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A scenario's text: those of the repository have less than a fiftieth of it.
pub(crate) const SCENARIO_BYTES_MAX: usize = 64 * 1024;
/// What a scenario may ask for. 300,000 requests are a second or two of one core, and 7 MB; a day
/// at two seconds a tick is 43,200 decisions.
pub(crate) const LIMITS: Limits = Limits {
    lasts_max: Duration::from_secs(24 * 3600),
    requests_max: 300_000.0,
    replicas_max: 200,
    rate_scale_max: 20.0,
    trace_files: false,
};
/// Wall time of one run, looked at whenever a request arrives in it.
pub(crate) const RUN_TIME_MAX: Duration = Duration::from_secs(60);
/// Those that wait: eight of them are a lab step of eight runs.
const QUEUED_MAX: usize = 16;
/// Those that have ended and can be asked for: a report with a day of minutes is 200 kB.
const KEPT_MAX: usize = 32;
/// At one time, beside a control loop and without one.
const WORKERS_BESIDE: usize = 1;
const WORKERS_ALONE: usize = 2;

/// All of them. They end with it: a program that ends waits for what runs.
#[derive(Debug)]
pub(crate) struct Simulations {
    jobs: Mutex<Jobs>,
    workers: Arc<Semaphore>,
}

impl Drop for Simulations {
    fn drop(&mut self) {
        let jobs = lock(&self.jobs);
        jobs.by_id.values().chain(&jobs.beside).for_each(|job| job.cancel());
    }
}

#[derive(Debug, Default)]
struct Jobs {
    next_id: u64,
    by_id: BTreeMap<u64, Arc<Job>>,
    /// The one that nobody asked for.
    beside: Option<Arc<Job>>,
}

/// One of them.
#[derive(Debug)]
struct Job {
    /// Share that is done, as the bits of a float.
    progress: AtomicU64,
    is_cancelled: AtomicBool,
    state: Mutex<(SimulationState, Ending)>,
}

/// What a job came to: nothing yet, a result, or an error.
type Ending = Option<Result<serde_json::Value, String>>;

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Simulations {
    pub(crate) fn new(live: bool) -> Self {
        let workers = if live { WORKERS_BESIDE } else { WORKERS_ALONE };
        Self { jobs: Mutex::default(), workers: Arc::new(Semaphore::new(workers)) }
    }

    /// Takes one on; `work` is run as soon as there is a worker, for so much wall time. It is to ask
    /// often whether to go on, and to end soon when not.
    pub(crate) fn submit(
        &self,
        time_max: Duration,
        work: impl FnOnce(&Steering<'_>) -> Result<serde_json::Value, String> + Send + 'static,
    ) -> Result<Simulation, Full> {
        let job = Arc::new(Job::new());
        let id = lock(&self.jobs).add(&job)?;
        self.spawn(&job, time_max, work);
        Ok(job.told(id))
    }

    /// Runs what nobody asked for in turn with them, for so much wall time. It has no number. There is
    /// to be one at a time.
    pub(crate) fn beside(
        &self,
        time_max: Duration,
        work: impl FnOnce(&Steering<'_>) + Send + 'static,
    ) {
        let job = Arc::new(Job::new());
        lock(&self.jobs).beside = Some(Arc::clone(&job));
        self.spawn(&job, time_max, move |steering| {
            work(steering);
            Ok(serde_json::Value::Null)
        });
    }

    fn spawn(
        &self,
        job: &Arc<Job>,
        time_max: Duration,
        work: impl FnOnce(&Steering<'_>) -> Result<serde_json::Value, String> + Send + 'static,
    ) {
        let (workers, running) = (Arc::clone(&self.workers), Arc::clone(job));
        tokio::spawn(async move {
            let turn = workers.acquire().await;
            if !running.begin() {
                return;
            }
            let blocking = Arc::clone(&running);
            let ran = tokio::task::spawn_blocking(move || blocking.run(time_max, work));
            let ending =
                ran.await.unwrap_or_else(|_panic| Err(RunEnd::Failed("it broke off".into())));
            running.end(ending);
            drop(turn);
        });
    }

    /// A worker's turn, for what is answered at once; `None` when others take too long.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.workers).acquire_owned();
        tokio::time::timeout(RUN_TIME_MAX, turn).await.ok()?.ok()
    }

    pub(crate) fn get(&self, id: u64) -> Option<Simulation> {
        let job = lock(&self.jobs).by_id.get(&id).cloned();
        job.map(|job| job.told(id))
    }

    /// Stops it, if it has not ended.
    pub(crate) fn cancel(&self, id: u64) -> Option<Simulation> {
        let job = lock(&self.jobs).by_id.get(&id).cloned()?;
        job.cancel();
        Some(job.told(id))
    }
}

impl Jobs {
    fn add(&mut self, job: &Arc<Job>) -> Result<u64, Full> {
        let is = |job: &Job, states: &[SimulationState]| states.contains(&lock(&job.state).0);
        let under_way = [SimulationState::Queued, SimulationState::Running];
        let queued = self.by_id.values().filter(|job| is(job, &under_way)).count();
        if queued >= QUEUED_MAX {
            return Err(Full);
        }
        while self.by_id.len() - queued >= KEPT_MAX {
            let oldest = self.by_id.iter().find(|(_, job)| !is(job, &under_way));
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            self.by_id.remove(&id);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.by_id.insert(id, Arc::clone(job));
        Ok(id)
    }
}

/// What a job that runs is told by, and tells.
pub(crate) struct Steering<'a> {
    job: &'a Job,
    until: Instant,
}

impl Steering<'_> {
    /// Whether to go on, with the share that is done.
    pub(crate) fn go_on(&self, done: f64) -> bool {
        self.job.progress.store(done.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
        !self.job.is_cancelled.load(Ordering::Relaxed) && !self.is_late()
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// Why a run has no result.
#[derive(Debug)]
enum RunEnd {
    Cancelled,
    Failed(String),
}

impl Job {
    fn new() -> Self {
        Self {
            progress: AtomicU64::default(),
            is_cancelled: AtomicBool::new(false),
            state: Mutex::new((SimulationState::Queued, None)),
        }
    }

    /// One that runs ends when it asks next.
    fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        let mut state = lock(&self.state);
        if state.0 == SimulationState::Queued {
            state.0 = SimulationState::Cancelled;
        }
    }

    /// Whether it is still wanted.
    fn begin(&self) -> bool {
        let mut state = lock(&self.state);
        let is_wanted = state.0 == SimulationState::Queued;
        if is_wanted {
            state.0 = SimulationState::Running;
        }
        is_wanted
    }

    /// Blocks.
    fn run(
        &self,
        time_max: Duration,
        work: impl FnOnce(&Steering<'_>) -> Result<serde_json::Value, String>,
    ) -> Result<serde_json::Value, RunEnd> {
        let steering = Steering { job: self, until: Instant::now() + time_max };
        work(&steering).map_err(|error| {
            if self.is_cancelled.load(Ordering::Relaxed) {
                return RunEnd::Cancelled;
            }
            RunEnd::Failed(if steering.is_late() {
                format!("it took longer than {time_max:?}; run it with the command line")
            } else {
                error
            })
        })
    }

    fn end(&self, ending: Result<serde_json::Value, RunEnd>) {
        *lock(&self.state) = match ending {
            Ok(result) => (SimulationState::Done, Some(Ok(result))),
            Err(RunEnd::Cancelled) => (SimulationState::Cancelled, None),
            Err(RunEnd::Failed(error)) => (SimulationState::Failed, Some(Err(error))),
        };
    }

    fn told(&self, id: u64) -> Simulation {
        let (state, ending) = lock(&self.state).clone();
        let is_done = state == SimulationState::Done;
        let progress =
            if is_done { 1.0 } else { f64::from_bits(self.progress.load(Ordering::Relaxed)) };
        let (result, error) = match ending {
            Some(Ok(result)) => (Some(result), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        Simulation { id, state, progress, error, result }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
