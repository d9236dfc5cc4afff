//! What is written down about each replica, so that the next preheat can adopt its process.
//!
//! **Invariant:** a record is replaced as a whole or not at all; a reader never sees half of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use preheat_api::dialect::Dialect;
use preheat_core::{Instant, ReplicaId, ReplicaPhase};
use preheat_runtime::routing::PoolId;
use serde::{Deserialize, Serialize};

/// A file larger than this is no record of ours.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// One replica's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaRecord {
    pub(crate) pool: PoolId,
    pub(crate) replica: ReplicaId,
    pub(crate) phase: ReplicaPhase,
    pub(crate) phase_since: Instant,
    pub(crate) start_ordered_at: Instant,
    pub(crate) restarts: u32,
    pub(crate) pid: u32,
    /// From `/proc/<pid>/stat`: tells whether a pid still means the same process.
    pub(crate) start_ticks: u64,
    /// A pid and its start only mean something within one boot.
    pub(crate) boot_id: String,
    pub(crate) port: u16,
    pub(crate) gpus: Vec<u32>,
    /// Of the command it was started with, see `command::digest`.
    pub(crate) command_digest: String,
    pub(crate) metrics_path: String,
    #[serde(default)]
    pub(crate) dialect: Dialect,
}

/// What must outlive all of a pool's replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolRecord {
    pub(crate) next_replica: u64,
}

pub(crate) fn replica_path(folder: &Path, pool: &PoolId, replica: ReplicaId) -> PathBuf {
    folder.join(format!("{pool}-{replica}.json"))
}

/// Replaces `path` by `value` as JSON.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("record");
    let temporary = path.with_file_name(format!(".{name}.tmp"));
    let mut bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // On a full disk, half a file would be left lying about.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Reads one record; `None` when it is not there or is none.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    if fs::metadata(path).ok()?.len() > RECORD_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Every file that should be a replica's record, sorted by name, and the record if it is one.
pub(crate) fn read_all(folder: &Path) -> Vec<(PathBuf, Option<ReplicaRecord>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_record = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "json")
    };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_record).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_garbage_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let record = ReplicaRecord {
            pool: PoolId("a-b".to_owned()),
            replica: ReplicaId(7),
            phase: ReplicaPhase::Standby(preheat_core::Rung::Sleeping),
            phase_since: Instant::from_nanos(5),
            start_ordered_at: Instant::from_nanos(3),
            restarts: 1,
            pid: 42,
            start_ticks: 99,
            boot_id: "boot".to_owned(),
            port: 18100,
            gpus: vec![0, 1],
            command_digest: "d".to_owned(),
            metrics_path: "/metrics".to_owned(),
            dialect: Dialect::Auto,
        };
        let path = replica_path(folder.path(), &record.pool, record.replica);
        write(&path, &record).unwrap();
        write(&path, &record).unwrap();
        fs::write(folder.path().join("z.json"), "{half").unwrap();
        let all = read_all(folder.path());
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], (path, Some(record)));
        assert_eq!(all[1].1, None);
        assert_eq!(read_all(&folder.path().join("absent")), []);
    }
}
