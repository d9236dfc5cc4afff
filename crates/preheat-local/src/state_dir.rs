//! The state directory: one preheat at a time, and what it keeps between runs.
//!
//! ```text
//! lock                     held while a preheat runs; holds its pid
//! clock.json               ties model time to wall time
//! pools/<pool>.json        the next replica's number
//! replicas/<pool>-<r>.json one running engine process
//! logs/<pool>-<r>.log      what that engine writes
//! ```
//!
//! **Invariant:** a file that can't be written never stops an engine or a decision; it becomes a
//! warning in the status.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use preheat_core::ReplicaId;
use preheat_runtime::clock::{Clock, ClockAnchor, TimeScale};
use preheat_runtime::routing::PoolId;

use crate::record::{self, PoolRecord, ReplicaRecord};

/// Logs of replicas that are gone, kept for each pool: a day's worth of scaling to read back, at
/// most 20 × 16 MiB.
const GONE_LOGS_MAX: usize = 20;

/// Why a state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Its lock is held.
    #[error("another preheat{} uses this state directory, {}", holder(*pid), path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it, where that could be read.
        pid: Option<u32>,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl StateDirError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::InUse { .. } => {
                "stop it first, or give this one another directory with `stateDir`".to_owned()
            }
        }
    }
}

/// A state directory that this process holds, until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    /// Kept open: closing it releases the lock.
    _lock: Option<File>,
    files: Arc<StateFiles>,
}

/// What is in a state directory.
#[derive(Debug)]
pub(crate) struct StateFiles {
    root: PathBuf,
    warnings: Warnings,
}

impl StateDir {
    /// Takes hold of a directory, making it if need be. One that can't be written is used all the
    /// same, with a warning: then nothing keeps a second preheat out, and nothing is adopted later.
    ///
    /// # Errors
    /// When another preheat holds it.
    pub fn open(root: &Path) -> Result<Self, StateDirError> {
        let warnings = Warnings::default();
        let lock = match lock(root) {
            Ok(file) => Some(file),
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(root.join("lock")).ok();
                let pid = pid.and_then(|text| text.trim().parse().ok());
                return Err(StateDirError::InUse { path: root.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => {
                warnings.set("lock", Err(&error), &root.join("lock"));
                None
            }
        };
        let files = StateFiles { root: root.to_owned(), warnings };
        Ok(Self { _lock: lock, files: Arc::new(files) })
    }

    /// A clock that goes on in the model time of the last run, if that had the same scale, so that
    /// records and adopted emulated engines keep their meaning; else a new one.
    pub fn clock(&self, scale: TimeScale) -> Clock {
        let path = self.files.root.join("clock.json");
        let anchor: Option<ClockAnchor> = record::read(&path);
        if let Some(anchor) = anchor.filter(|anchor| anchor.scale == scale) {
            return Clock::resume(anchor);
        }
        let clock = Clock::start(scale);
        let written = record::write(&path, &clock.anchor());
        self.files.warnings.set("clock", written.as_ref().copied(), &path);
        clock
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.files.root
    }

    pub(crate) fn files(&self) -> Arc<StateFiles> {
        Arc::clone(&self.files)
    }
}

impl StateFiles {
    pub(crate) fn log_path(&self, pool: &PoolId, replica: ReplicaId) -> PathBuf {
        self.root.join("logs").join(format!("{pool}-{replica}.log"))
    }

    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Numbers of a pool's replicas that have a log, ascending.
    fn logged_replicas(&self, pool: &PoolId) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(self.root.join("logs")) else { return Vec::new() };
        let number = |entry: io::Result<fs::DirEntry>| -> Option<u64> {
            let name = entry.ok()?.file_name();
            let rest = name.to_str()?.strip_prefix(&pool.0)?.strip_prefix("-r")?;
            rest.strip_suffix(".log")?.parse().ok()
        };
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Removes the oldest logs of replicas that are gone.
    pub(crate) fn prune_logs(&self, pool: &PoolId, living: &[ReplicaId]) {
        let mut gone = self.logged_replicas(pool);
        gone.retain(|number| !living.contains(&ReplicaId(*number)));
        for number in gone.iter().take(gone.len().saturating_sub(GONE_LOGS_MAX)) {
            self.remove(&self.log_path(pool, ReplicaId(*number)));
        }
    }

    fn replicas(&self) -> PathBuf {
        self.root.join("replicas")
    }

    pub(crate) fn read_replicas(&self) -> Vec<(PathBuf, Option<ReplicaRecord>)> {
        record::read_all(&self.replicas())
    }

    pub(crate) fn write_replica(&self, replica: &ReplicaRecord) {
        let path = record::replica_path(&self.replicas(), &replica.pool, replica.replica);
        let written = record::write(&path, replica);
        self.warnings.set("replicas", written.as_ref().copied(), &path);
    }

    pub(crate) fn remove_replica(&self, pool: &PoolId, replica: ReplicaId) {
        self.remove(&record::replica_path(&self.replicas(), pool, replica));
    }

    pub(crate) fn remove(&self, path: &Path) {
        match fs::remove_file(path) {
            Ok(()) => self.warnings.set("replicas", Ok(()), path),
            Err(error) if is_absent(&error) => {}
            Err(error) => self.warnings.set("replicas", Err(&error), path),
        }
    }

    fn pool_path(&self, pool: &PoolId) -> PathBuf {
        self.root.join("pools").join(format!("{pool}.json"))
    }

    /// The first number that no replica of this pool ever had, as far as is known: by its file, or
    /// by the logs, should that have got lost.
    pub(crate) fn next_replica(&self, pool: &PoolId) -> u64 {
        let written = record::read(&self.pool_path(pool));
        let written = written.map_or(0, |pool: PoolRecord| pool.next_replica);
        let logged = self.logged_replicas(pool).last().map_or(0, |last| last.saturating_add(1));
        written.max(logged)
    }

    pub(crate) fn write_next_replica(&self, pool: &PoolId, next_replica: u64) {
        let path = self.pool_path(pool);
        let written = record::write(&path, &PoolRecord { next_replica });
        self.warnings.set("pools", written.as_ref().copied(), &path);
    }
}

/// A folder that is a file has nothing in it either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn lock(root: &Path) -> Result<File, TryLockError> {
    fs::create_dir_all(root).map_err(TryLockError::Error)?;
    // Not truncated at opening: the pid in it may be that of a holder.
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join("lock"))
        .map_err(TryLockError::Error)?;
    file.try_lock()?;
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        // The lock is what counts; the pid in it is for the message only.
        tracing::warn!(%error, "could not write the pid into the lock");
    }
    Ok(file)
}

/// What could not be written, by what it was for. One per kind, so it can't grow.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<BTreeMap<&'static str, String>>);

impl Warnings {
    /// Sets or clears the warning of one kind.
    pub(crate) fn set(&self, kind: &'static str, result: Result<(), &io::Error>, path: &Path) {
        // Each change is one call, so a panic elsewhere can't have left it half-done.
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                warnings.remove(kind);
            }
            Err(error) => {
                let text = format!("could not write {}: {error}", path.display());
                if warnings.insert(kind, text).is_none() {
                    tracing::warn!(kind, %error, path = %path.display(), "could not write state");
                }
            }
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let held = StateDir::open(&root).unwrap();
        let error = StateDir::open(&root).unwrap_err();
        let pid = std::process::id();
        let expected =
            format!("another preheat (pid {pid}) uses this state directory, {}", root.display());
        assert_eq!(error.to_string(), expected);
        drop(held);
        assert!(StateDir::open(&root).is_ok());
    }

    #[test]
    fn a_directory_that_is_a_file_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        fs::write(&root, "").unwrap();
        let state = StateDir::open(&root).unwrap();
        let _ = state.clock(TimeScale::REAL);
        state.files().write_next_replica(&PoolId("p".to_owned()), 3);
        state.files().remove_replica(&PoolId("p".to_owned()), ReplicaId(1));
        let texts = state.files().warnings().texts();
        assert_eq!(texts.len(), 3, "{texts:?}");
    }

    #[test]
    fn old_logs_are_removed_and_numbers_are_not_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = StateDir::open(folder.path()).unwrap().files();
        let (pool, other) = (PoolId("p".to_owned()), PoolId("p-r1".to_owned()));
        fs::create_dir(folder.path().join("logs")).unwrap();
        for number in 0..30 {
            fs::write(files.log_path(&pool, ReplicaId(number)), "").unwrap();
        }
        fs::write(files.log_path(&other, ReplicaId(99)), "").unwrap();
        files.prune_logs(&pool, &[ReplicaId(2), ReplicaId(29)]);
        let mut kept = vec![2];
        kept.extend(9..30);
        assert_eq!(files.logged_replicas(&pool), kept);
        assert_eq!((files.next_replica(&pool), files.next_replica(&other)), (30, 100));
        files.write_next_replica(&pool, 40);
        assert_eq!(files.next_replica(&pool), 40);
    }

    #[test]
    fn a_clock_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let scale = TimeScale::try_from(20.0).unwrap();
        let first = state.clock(scale);
        assert_eq!(state.clock(scale).anchor(), first.anchor());
        assert_ne!(state.clock(TimeScale::REAL).anchor(), first.anchor());
    }
}
