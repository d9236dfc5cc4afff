//! The journal's file, opened for writing: tables, transactions, and what is pruned when.
//!
//! **Invariant:** for every pool, the oldest entry kept is a checkpoint, so that everything kept
//! can be replayed; only the size limit may break that, when no checkpoint would make room.
//!
//! **Invariant:** one process writes. It holds a lock on a file beside the journal, which the system
//! takes back when the process dies.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use preheat_api::journal::JOURNAL_VERSION;
use preheat_core::Instant;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::body::PackedEntry;
use super::error::JournalError;
use super::writer::JournalOptions;

/// How long to wait for a lock that a reader's checkpointing or a backup holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The write-ahead log is cut back to this after a reader let it grow.
const WAL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Entries deleted in one transaction: few enough to be done within a tick.
const PRUNE_ROWS_MAX: u32 = 2048;
/// Free pages given back to the file system in one go: 4 MiB.
const VACUUM_PAGES_MAX: u32 = 1024;

const SCHEMA: &str = "
    CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
    CREATE TABLE entries (
        seq    INTEGER PRIMARY KEY AUTOINCREMENT,
        pool   TEXT    NOT NULL,
        tick   INTEGER NOT NULL,
        at_ns  INTEGER NOT NULL,
        kind   TEXT    NOT NULL CHECK (kind IN ('decided', 'held', 'checkpoint')),
        digest INTEGER NOT NULL,
        body   BLOB    NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_time ON entries (pool, at_ns);
    CREATE INDEX entries_by_pool ON entries (pool);
    CREATE INDEX checkpoints ON entries (pool, at_ns) WHERE kind = 'checkpoint';
";

/// Names of pools without reading every entry: from each name, straight to the next.
pub(super) const POOLS: &str = "
    WITH RECURSIVE names(pool) AS (
        SELECT min(pool) FROM entries
        UNION ALL
        SELECT (SELECT min(pool) FROM entries WHERE entries.pool > names.pool)
        FROM names WHERE names.pool IS NOT NULL
    )
    SELECT pool FROM names WHERE pool IS NOT NULL";

/// The file, open and ours.
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
    begun: bool,
    /// Held for as long as the store lives.
    _lock: File,
}

impl Store {
    /// Opens the journal at `path`, or begins one.
    pub(super) fn open(path: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        let lock = lock(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |source| JournalError::of(path, source);
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let begun = version(path, &connection)?.is_none();
        if begun {
            begin(&connection).map_err(failed)?;
        }
        let settings = format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA journal_size_limit = {WAL_BYTES_MAX};"
        );
        connection.execute_batch(&settings).map_err(failed)?;
        if let Some(pages) = options.pages_max {
            connection.pragma_update(None, "max_page_count", pages).map_err(failed)?;
        }
        Ok(Self { path: path.to_path_buf(), connection, begun, _lock: lock })
    }

    /// Whether there was no journal before it was opened.
    pub(super) const fn is_new(&self) -> bool {
        self.begun
    }

    /// Stores all of `entries`, or none.
    pub(super) fn append<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a PackedEntry>,
    ) -> Result<(), JournalError> {
        let stored = self.try_append(entries);
        stored.map_err(|source| JournalError::of(&self.path, source))
    }

    fn try_append<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a PackedEntry>,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let sql = "INSERT INTO entries (pool, tick, at_ns, kind, digest, body) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut insert = transaction.prepare_cached(sql)?;
        for entry in entries {
            insert.execute(params![
                entry.pool,
                integer(entry.tick),
                integer(entry.at.as_nanos()),
                entry.kind,
                entry.digest.cast_signed(),
                entry.body,
            ])?;
        }
        drop(insert);
        transaction.commit()
    }

    /// Deletes, of each pool, what no replay from `oldest` on needs. Bounded: some may be left.
    pub(super) fn prune_before(&mut self, oldest: Instant) -> Result<u64, JournalError> {
        if !self.path.exists() {
            return Err(JournalError::Gone { path: self.path.clone() });
        }
        let by_time = "SELECT max(seq) FROM entries \
                       WHERE pool = ?1 AND kind = 'checkpoint' AND at_ns <= ?2";
        let deleted = self.prune_by(by_time, integer(oldest.as_nanos()));
        deleted.map_err(|source| JournalError::of(&self.path, source))
    }

    /// Deletes some of the oldest entries if the file holds more than `bytes_max`.
    pub(super) fn prune_above(&mut self, bytes_max: u64) -> Result<u64, JournalError> {
        let pruned = self.try_prune_above(bytes_max);
        pruned.map_err(|source| JournalError::of(&self.path, source))
    }

    fn try_prune_above(&mut self, bytes_max: u64) -> rusqlite::Result<u64> {
        if self.bytes_used()? <= bytes_max {
            return Ok(0);
        }
        let last_of_oldest = "SELECT seq FROM entries ORDER BY seq LIMIT 1 OFFSET ?1";
        let newest = "SELECT max(seq) FROM entries";
        let row = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
        let connection = &self.connection;
        let cut = match connection.query_row(last_of_oldest, [PRUNE_ROWS_MAX], row).optional()? {
            Some(seq) => seq,
            // So few that they must be large: half of them.
            None => connection.query_row(newest, [], row)?,
        };
        let Some(cut) = cut else { return Ok(0) };
        let by_seq = "SELECT max(seq) FROM entries \
                      WHERE pool = ?1 AND kind = 'checkpoint' AND seq <= ?2";
        let deleted = self.prune_by(by_seq, cut)?;
        if deleted > 0 {
            return Ok(deleted);
        }
        let half = "SELECT (min(seq) + max(seq)) / 2 FROM entries WHERE seq <= ?1";
        let half: i64 = self.connection.query_row(half, [cut], |row| row.get(0))?;
        let sql = "DELETE FROM entries WHERE seq <= ?1";
        let deleted = self.connection.execute(sql, [half])? as u64;
        self.give_back()?;
        Ok(deleted)
    }

    /// Deletes, of each pool, what lies before the checkpoint that `checkpoint` finds.
    fn prune_by(&mut self, checkpoint: &str, limit: i64) -> rusqlite::Result<u64> {
        let pools: Vec<String> = {
            let mut statement = self.connection.prepare_cached(POOLS)?;
            let names = statement.query_map([], |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>()?
        };
        let delete = "DELETE FROM entries WHERE seq IN \
                      (SELECT seq FROM entries WHERE pool = ?1 AND seq < ?2 ORDER BY seq LIMIT ?3)";
        let mut deleted = 0;
        for pool in pools {
            let find = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
            let mut statement = self.connection.prepare_cached(checkpoint)?;
            if let Some(keep) = statement.query_row(params![pool, limit], find)? {
                let mut statement = self.connection.prepare_cached(delete)?;
                deleted += statement.execute(params![pool, keep, PRUNE_ROWS_MAX])? as u64;
            }
        }
        if deleted > 0 {
            self.give_back()?;
        }
        Ok(deleted)
    }

    /// Gives free pages back to the file system.
    fn give_back(&self) -> rusqlite::Result<()> {
        let sql = format!("PRAGMA incremental_vacuum({VACUUM_PAGES_MAX})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        // Each step frees one page.
        while rows.next()?.is_some() {}
        Ok(())
    }

    fn bytes_used(&self) -> rusqlite::Result<u64> {
        let pragma = |name: &str| {
            let value = self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            value.map(i64::unsigned_abs)
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Ok(pages.saturating_mul(pragma("page_size")?))
    }
}

/// The version of the journal in `connection`; `None` for a file without a table.
pub(super) fn version(path: &Path, connection: &Connection) -> Result<Option<i64>, JournalError> {
    let failed = |source| JournalError::of(path, source);
    let row = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let tables = "SELECT count(*) FROM sqlite_schema";
    if connection.query_row(tables, [], row).map_err(failed)? == 0 {
        return Ok(None);
    }
    let ours = "SELECT count(*) FROM sqlite_schema WHERE name IN ('schema_version', 'entries')";
    if connection.query_row(ours, [], row).map_err(failed)? != 2 {
        return Err(JournalError::Foreign { path: path.to_path_buf() });
    }
    let version = "SELECT max(version) FROM schema_version";
    let found = connection
        .query_row(version, [], |row| row.get::<_, Option<i64>>(0))
        .map_err(failed)?
        .ok_or_else(|| JournalError::Foreign { path: path.to_path_buf() })?;
    if found != i64::from(JOURNAL_VERSION) {
        let path = path.to_path_buf();
        return Err(JournalError::OtherVersion { path, found, known: JOURNAL_VERSION });
    }
    Ok(Some(found))
}

/// Makes the tables of a new journal.
fn begin(connection: &Connection) -> rusqlite::Result<()> {
    // Has no effect once there is a table.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
    let version = format!("INSERT INTO schema_version (version) VALUES ({JOURNAL_VERSION});");
    connection.execute_batch(&format!("BEGIN IMMEDIATE;{SCHEMA}{version}COMMIT;"))
}

/// Takes the lock of the journal at `path`.
fn lock(path: &Path) -> Result<File, JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let open = |source: io::Error| JournalError::Open { path: path.to_path_buf(), source };
    let options = &mut File::options();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(PathBuf::from(name)).map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(open(source)),
    }
}

/// SQLite's integers are signed; anything past their range (the year 2262) sorts last.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
