//! A simulation's decisions in the journal that `preheat up` writes, for `why` and `replay`. Knows
//! nothing of what is simulated.
//!
//! **Invariant:** a recording is whole, or its end is an error: a simulation can wait for a disk,
//! which a live pool can't.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_api::status::JournalHealth;
use preheat_core::{Decision, Memory, Observation, Policy};
use preheat_runtime::controller::Controller;
use preheat_runtime::journal::{Journal, JournalOptions};
use preheat_runtime::routing::PoolId;
use preheat_sim::preheat_policy::Watcher;

use crate::failure::hinted;

/// Name of the pool in the journal.
const POOL: &str = "simulated";
/// Ticks between two waits for the journal. Each is at most two entries, a checkpoint among them, and
/// a journal takes 256 that it has not stored yet.
const TICKS_UNSTORED_MAX: u64 = 64;

/// A journal of one run, being written.
pub(super) struct Recording {
    path: PathBuf,
    journal: Journal,
    recorder: Arc<Mutex<Recorder>>,
}

struct Recorder {
    controller: Controller,
    journal: Journal,
    ticks: u64,
}

impl Recording {
    /// Begins the journal of a pool that decides by `policy`.
    ///
    /// # Errors
    /// When there is a file at `path` already, or none can be made.
    pub(super) fn begin(
        path: &Path,
        gpus_per_replica: u32,
        policy: Policy,
    ) -> anyhow::Result<Self> {
        // Made here, so that what another preheat writes at the same time is not written to.
        File::create_new(path).map_err(|error| refused(path, &error))?;
        let mut kept = JournalOptions::default();
        // All of the run, however long: it ends by itself.
        (kept.retention, kept.bytes_max) = (Duration::MAX, u64::MAX);
        let journal = Journal::open(path, kept);
        check(path, &journal.flush())?;
        let controller =
            Controller::new(PoolId(POOL.to_owned()), gpus_per_replica, policy, Memory::default());
        let controller = controller.with_journal(journal.clone());
        let recorder = Recorder { controller, journal: journal.clone(), ticks: 0 };
        Ok(Self { path: path.to_path_buf(), journal, recorder: Arc::new(Mutex::new(recorder)) })
    }

    /// Takes every decision down.
    pub(super) fn watcher(&self) -> Watcher {
        let recorder = Arc::clone(&self.recorder);
        Box::new(move |observation, decision| lock(&recorder).record(observation, decision))
    }

    /// Ends the journal; how many ticks are in it.
    ///
    /// # Errors
    /// When one of them could not be stored.
    pub(super) fn end(self) -> anyhow::Result<u64> {
        let ticks = {
            let mut recorder = lock(&self.recorder);
            if let Some(at) = recorder.controller.last().map(|entry| entry.at) {
                recorder.controller.shutdown(at);
            }
            recorder.ticks
        };
        check(&self.path, &self.journal.close())?;
        Ok(ticks)
    }
}

impl Recorder {
    fn record(&mut self, observation: &Observation, decision: &Decision) {
        self.controller.tick_decided(observation.clone(), decision.clone());
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_UNSTORED_MAX) {
            self.journal.flush();
        }
    }
}

fn lock(recorder: &Mutex<Recorder>) -> MutexGuard<'_, Recorder> {
    // A run that panicked is not gone on with.
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(path: &Path, health: &JournalHealth) -> anyhow::Result<()> {
    let path = path.display();
    if let Some(failure) = &health.failure {
        let hint = failure.hint.clone();
        let hint = hint.unwrap_or_else(|| "choose another path with --journal".to_owned());
        return Err(hinted(format!("the journal can't be written: {}", failure.error), hint));
    }
    if health.dropped_records > 0 {
        let lost = health.dropped_records;
        return Err(hinted(
            format!("the journal {path} is not whole: {lost} entries could not be stored in time"),
            "choose a path on a faster disk with --journal",
        ));
    }
    Ok(())
}

fn refused(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let path = path.display();
    if error.kind() == ErrorKind::AlreadyExists {
        return hinted(
            format!("{path} is there already, and a simulation begins a journal of its own"),
            "choose another path with --journal, or remove that file",
        );
    }
    hinted(
        format!("the journal {path} can't be made: {error}"),
        "choose a path in a folder that exists and can be written with --journal",
    )
}
