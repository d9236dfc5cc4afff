//! The reading end. Works beside a writer in another process, and never changes the file.
//!
//! **Invariant:** no transaction outlives one page of entries: a long one would keep the writer's
//! log from being folded back into the file.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use preheat_api::journal::{JournalEntry, MemoryDigest};
use preheat_core::{Instant, TickId};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::body;
use super::error::{BodyError, JournalError};
use super::store::{BUSY_TIMEOUT, POOLS, integer, version};

/// Entries read at once.
const PAGE_ROWS: u32 = 64;

/// A journal, to read.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    connection: Connection,
}

/// An entry and its number in the file. Numbers ascend in the order of writing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredEntry {
    /// The number.
    pub seq: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: JournalEntry,
}

/// Which entries to read; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this pool only.
    pub pool: Option<String>,
    /// Not before this time.
    pub from: Option<Instant>,
    /// Not after this time.
    pub until: Option<Instant>,
    /// Only those with a higher number.
    pub after_seq: u64,
}

const COLUMNS: &str = "seq, pool, tick, at_ns, kind, digest, body";

impl JournalReader {
    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// When there is none, when it is damaged, foreign or from a newer preheat, or when its newest
    /// entries can't be reached without writing.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        if let Err(source) = std::fs::metadata(&path) {
            return Err(if source.kind() == std::io::ErrorKind::NotFound {
                JournalError::Missing { path }
            } else {
                JournalError::Open { path, source }
            });
        }
        let reader = Self { connection: connect(&path, Access::Shared)?, path };
        match reader.version() {
            Err(JournalError::Sqlite { source, .. } | JournalError::ReadOnly { source, .. })
                if is_unshared(&source) =>
            {
                reader.without_writer(source)
            }
            Err(error) => Err(error),
            Ok(None) => Err(JournalError::Foreign { path: reader.path }),
            Ok(Some(_)) => Ok(reader),
        }
    }

    /// Where the writer's shared memory can't be opened or made, the file alone can still be read,
    /// if nothing is waiting beside it.
    fn without_writer(self, source: rusqlite::Error) -> Result<Self, JournalError> {
        let waiting = std::fs::metadata(beside(&self.path, "-wal"));
        if waiting.is_ok_and(|log| log.len() > 0) {
            return Err(JournalError::Unshared { path: self.path, source });
        }
        let reader =
            Self { connection: connect(&self.path, Access::Alone)?, path: self.path.clone() };
        match reader.version()? {
            None => Err(JournalError::Foreign { path: self.path }),
            Some(_) => Ok(reader),
        }
    }

    /// A reader never writes entries: what it may not write is the memory shared with the writer.
    fn failed(&self, source: rusqlite::Error) -> JournalError {
        if source.sqlite_error_code() == Some(ErrorCode::ReadOnly) {
            return JournalError::Unshared { path: self.path.clone(), source };
        }
        JournalError::of(&self.path, source)
    }

    fn version(&self) -> Result<Option<i64>, JournalError> {
        version(&self.path, &self.connection)
    }

    /// Names of the pools with entries, sorted.
    ///
    /// # Errors
    /// When SQLite can't read the file.
    pub fn pools(&self) -> Result<Vec<String>, JournalError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(POOLS)?;
            let names = statement.query_map([], |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Entries in the order of writing, checkpoints among them. What is written after the first was
    /// read is left out: whoever is slower than the writer comes to an end as well.
    pub fn entries(&self, selection: Selection) -> Entries<'_> {
        Entries { reader: self, selection, last_seq: None, page: VecDeque::new(), ended: false }
    }

    /// The newest tick of `pool`.
    ///
    /// # Errors
    /// When the file or the entry can't be read.
    pub fn last_record(&self, pool: &str) -> Result<Option<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind <> 'checkpoint' ORDER BY seq DESC";
        self.one(filter, params![pool])
    }

    /// The newest checkpoint of `pool`.
    ///
    /// # Errors
    /// When the file or the entry can't be read.
    pub fn last_checkpoint(&self, pool: &str) -> Result<Option<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind = 'checkpoint' ORDER BY seq DESC";
        self.one(filter, params![pool])
    }

    /// The newest checkpoint of `pool` that is not after `at`.
    ///
    /// # Errors
    /// When the file or the entry can't be read.
    pub fn checkpoint_at(
        &self,
        pool: &str,
        at: Instant,
    ) -> Result<Option<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind = 'checkpoint' AND at_ns <= ?2 \
                      ORDER BY at_ns DESC, seq DESC";
        self.one(filter, params![pool, integer(at.as_nanos())])
    }

    /// Ticks of `pool` from `from` on and before `until`, by their time, at most `limit` of them.
    ///
    /// # Errors
    /// When the file or an entry can't be read.
    pub fn ticks_by_time(
        &self,
        pool: &str,
        from: Instant,
        until: Instant,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind <> 'checkpoint' AND at_ns >= ?2 AND at_ns < ?3 \
                      ORDER BY at_ns, seq LIMIT ?4";
        let (from, until) = (integer(from.as_nanos()), integer(until.as_nanos()));
        self.some(filter, params![pool, from, until, limit])
    }

    /// The last tick of `pool` before `at`.
    ///
    /// # Errors
    /// When the file or the entry can't be read.
    pub fn tick_before(
        &self,
        pool: &str,
        at: Instant,
    ) -> Result<Option<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind <> 'checkpoint' AND at_ns < ?2 \
                      ORDER BY at_ns DESC, seq DESC";
        self.one(filter, params![pool, integer(at.as_nanos())])
    }

    /// Checkpoints of `pool` from `from` on and before `until`, by their time, without those that were
    /// made because it was time for one: at these the policy is the one before.
    ///
    /// # Errors
    /// When the file or an entry can't be read.
    pub fn turns_by_time(
        &self,
        pool: &str,
        from: Instant,
        until: Instant,
    ) -> Result<Vec<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind = 'checkpoint' AND at_ns >= ?2 AND at_ns < ?3 \
                      ORDER BY at_ns, seq";
        let (from, until) = (integer(from.as_nanos()), integer(until.as_nanos()));
        let mut found = self.raw(filter, params![pool, from, until])?;
        found.retain(|entry| !body::was_due(&entry.body));
        found.into_iter().map(|raw| raw.check(&self.path)).collect()
    }

    /// Ticks of `pool` with a number below `seq`, newest first, at most `limit` of them.
    ///
    /// # Errors
    /// When the file or an entry can't be read.
    pub fn ticks_before(
        &self,
        pool: &str,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, JournalError> {
        let filter = "pool = ?1 AND kind <> 'checkpoint' AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
        self.some(filter, params![pool, integer(seq), limit])
    }

    /// The entry of that number.
    ///
    /// # Errors
    /// When the file or the entry can't be read.
    pub fn entry(&self, seq: u64) -> Result<Option<StoredEntry>, JournalError> {
        self.one("seq = ?1", params![integer(seq)])
    }

    /// Time of the first and of the last entry of `pool`; `None` without entries.
    ///
    /// # Errors
    /// When SQLite can't read the file.
    pub fn span(&self, pool: &str) -> Result<Option<(Instant, Instant)>, JournalError> {
        let at = |order: &str| {
            let sql =
                format!("SELECT at_ns FROM entries WHERE pool = ?1 ORDER BY at_ns {order} LIMIT 1");
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_row([pool], |row| row.get::<_, i64>(0)).optional()
        };
        let read = || Ok(at("ASC")?.zip(at("DESC")?));
        let found = read().map_err(|source| self.failed(source))?;
        let instant = |nanos: i64| Instant::from_nanos(u64::try_from(nanos).unwrap_or_default());
        Ok(found.map(|(first, last)| (instant(first), instant(last))))
    }

    /// Writes the selected entries to `out`, one line of JSON each. Returns how many.
    ///
    /// # Errors
    /// When an entry can't be read, or `out` can't be written.
    pub fn export(&self, selection: Selection, out: &mut impl Write) -> Result<u64, JournalError> {
        let mut lines = 0;
        for stored in self.entries(selection) {
            let stored = stored?;
            serde_json::to_writer(&mut *out, &stored)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|source| JournalError::Export { source })?;
            lines += 1;
        }
        out.flush().map_err(|source| JournalError::Export { source })?;
        Ok(lines)
    }

    fn one(
        &self,
        filter: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Option<StoredEntry>, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE {filter} LIMIT 1");
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_row(values, RawEntry::read).optional()
        };
        let raw = read().map_err(|source| self.failed(source))?;
        raw.map(|raw| raw.check(&self.path)).transpose()
    }

    fn some(
        &self,
        filter: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<StoredEntry>, JournalError> {
        self.raw(filter, values)?.into_iter().map(|raw| raw.check(&self.path)).collect()
    }

    fn raw(
        &self,
        filter: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<RawEntry>, JournalError> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE {filter}");
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let rows = statement.query_map(values, RawEntry::read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.failed(source))
    }

    fn last_seq(&self) -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce(max(seq), 0) FROM entries";
        self.connection.query_row(sql, [], |row| row.get(0))
    }

    fn page(&self, selection: &Selection, last_seq: i64) -> rusqlite::Result<VecDeque<RawEntry>> {
        // Spelling out which of the two indexes to follow: by number, within one pool or all.
        let pool = if selection.pool.is_some() { "pool = ?1" } else { "?1 IS NULL" };
        let sql = format!(
            "SELECT {COLUMNS} FROM entries \
             WHERE {pool} AND seq > ?2 AND seq <= ?3 AND at_ns >= ?4 AND at_ns <= ?5 \
             ORDER BY seq LIMIT ?6"
        );
        let from = selection.from.unwrap_or(Instant::ORIGIN).as_nanos();
        let until = selection.until.map_or(u64::MAX, Instant::as_nanos);
        let after = integer(selection.after_seq);
        let values =
            params![selection.pool, after, last_seq, integer(from), integer(until), PAGE_ROWS];
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(values, RawEntry::read)?;
        rows.collect()
    }
}

/// Entries in the order of writing; see [`JournalReader::entries`].
#[derive(Debug)]
pub struct Entries<'a> {
    reader: &'a JournalReader,
    selection: Selection,
    /// The newest entry when reading began.
    last_seq: Option<i64>,
    page: VecDeque<RawEntry>,
    ended: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<StoredEntry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty()
            && !self.ended
            && let Err(source) = self.turn()
        {
            self.ended = true;
            return Some(Err(self.reader.failed(source)));
        }
        let raw = self.page.pop_front()?;
        Some(raw.check(&self.reader.path))
    }
}

impl Entries<'_> {
    /// Reads the next page.
    fn turn(&mut self) -> rusqlite::Result<()> {
        let last_seq = match self.last_seq {
            Some(seq) => seq,
            None => *self.last_seq.insert(self.reader.last_seq()?),
        };
        self.page = self.reader.page(&self.selection, last_seq)?;
        match self.page.back() {
            Some(last) => self.selection.after_seq = last.seq.unsigned_abs(),
            None => self.ended = true,
        }
        Ok(())
    }
}

/// A row as it is stored.
#[derive(Debug)]
struct RawEntry {
    seq: i64,
    pool: String,
    tick: i64,
    at_ns: i64,
    kind: String,
    digest: i64,
    body: Vec<u8>,
}

impl RawEntry {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            pool: row.get(1)?,
            tick: row.get(2)?,
            at_ns: row.get(3)?,
            kind: row.get(4)?,
            digest: row.get(5)?,
            body: row.get(6)?,
        })
    }

    fn check(self, path: &Path) -> Result<StoredEntry, JournalError> {
        let seq = self.seq.unsigned_abs();
        let wrong = |source| JournalError::Entry { path: path.to_path_buf(), seq, source };
        let body = body::unpack(&self.body).map_err(wrong)?;
        let stored = |value: i64| u64::try_from(value).unwrap_or_default();
        let (mut tick, mut at) =
            (TickId(stored(self.tick)), Instant::from_nanos(stored(self.at_ns)));
        let differs = |column| Err(wrong(BodyError::Contradiction { column }));
        if body.kind() != self.kind {
            return differs("kind");
        }
        if let Some(observation) = body.observation() {
            if integer(observation.tick.0) != self.tick {
                return differs("tick");
            }
            if integer(observation.now.as_nanos()) != self.at_ns {
                return differs("time");
            }
            (tick, at) = (observation.tick, observation.now);
        }
        let memory_digest = MemoryDigest(self.digest.cast_unsigned());
        Ok(StoredEntry {
            seq,
            entry: JournalEntry { pool: self.pool, tick, at, memory_digest, body },
        })
    }
}

/// How a reader opens the file.
#[derive(Clone, Copy)]
enum Access {
    /// Beside a writer.
    Shared,
    /// Believing that nobody writes.
    Alone,
}

fn connect(path: &Path, access: Access) -> Result<Connection, JournalError> {
    let failed = |source| JournalError::of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match access {
        Access::Shared => Connection::open_with_flags(path, flags),
        Access::Alone => {
            let uri = format!("file:{}?immutable=1", percent_encoded(path));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
        }
    };
    let connection = opened.map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}

/// The path as part of a URI: everything but plain letters, digits and separators is escaped.
fn percent_encoded(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if plain(*byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether SQLite can't get at the memory that a writer shares.
fn is_unshared(source: &rusqlite::Error) -> bool {
    let code = source.sqlite_error_code();
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure))
}
