//! The writing end: a bounded queue, and a thread that empties it into the file.
//!
//! **Invariant:** [`Journal::append`] neither blocks nor fails. What can't be stored is counted in
//! [`JournalHealth`], and the next checkpoint after it lets a replay go on from there.
//!
//! **Invariant:** no clock. Retries and pruning follow the time of the entries that come in.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_api::journal::JournalEntry;
use preheat_api::status::{JournalFailure, JournalHealth};
use preheat_core::Instant;

use super::body::PackedEntry;
use super::error::{JournalError, one_line};
use super::store::Store;

/// Entries on their way to the thread: ten seconds of four hundred pools' ticks, or a checkpoint of each
/// of two thousand, which all write one when they begin and when they end.
const QUEUE_MAX: usize = 2048;
/// Entries kept in memory while the file can't be written: half an hour of one pool.
const PENDING_MAX: usize = 1024;
/// Bytes of them: an entry of a hundred replicas has 8 KiB, one of ten thousand a hundred times that.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries per transaction.
const BATCH_MAX: usize = 256;
/// Model time between two tries to write again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Model time between two prunings by age.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Wall time that [`Journal::flush`] waits for a file that answers slowly.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`JournalOptions::bytes_max`]. A week of one pool's ticks has about 300 MB with ten
/// replicas, and 2.4 GB with a hundred.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Default of [`JournalOptions::retention`].
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// How much is kept.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Model time for which entries are kept.
    pub retention: Duration,
    /// Bytes of the file above which the oldest entries go, however young.
    pub bytes_max: u64,
    /// Pages at which SQLite says that the disk is full.
    pub(super) pages_max: Option<u32>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { retention: RETENTION, bytes_max: BYTES_MAX, pages_max: None }
    }
}

/// A handle to write with. Cheap to clone; all clones write to the same file.
///
/// A process that ends calls [`Self::close`] first: what is still in the queue would be lost.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// What both ends see.
#[derive(Debug)]
struct Shared {
    health: Mutex<JournalHealth>,
    dropped: AtomicU64,
    /// An entry was lost since the last one that was stored.
    lost: AtomicBool,
    /// How often storing went on after entries were lost.
    gaps: AtomicU64,
}

impl Shared {
    fn health(&self) -> MutexGuard<'_, JournalHealth> {
        // A panic while holding the lock can't leave it half-changed: each change is one assignment.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, entries: u64) {
        if entries > 0 {
            self.dropped.fetch_add(entries, Ordering::Relaxed);
            self.lost.store(true, Ordering::Release);
        }
    }
}

enum Message {
    Entry(Arc<JournalEntry>),
    /// Answer when everything before was tried.
    Flush(SyncSender<()>),
    /// The same, and let go of the file.
    Close(SyncSender<()>),
}

impl Journal {
    /// Opens, or begins, the journal at `path`. It does not fail: whether it can be written is in
    /// [`Self::health`], and writing is tried again for as long as entries come.
    pub fn open(path: impl Into<PathBuf>, options: JournalOptions) -> Self {
        let path = path.into();
        let health = JournalHealth { path: path.display().to_string(), ..Default::default() };
        let shared = Arc::new(Shared {
            health: Mutex::new(health),
            dropped: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            gaps: AtomicU64::new(0),
        });
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let writer = Writer::new(path, options, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("journal".to_owned());
        if let Err(source) = thread.spawn(move || writer.run(&receiver)) {
            let error = JournalError::Thread { source };
            shared.health().failure = Some(failure(&error, None));
        }
        Self(Arc::new(Inner { sender, shared }))
    }

    /// Hands over an entry to be stored.
    pub fn append(&self, entry: Arc<JournalEntry>) {
        match self.0.sender.try_send(Message::Entry(entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.0.shared.lose(1),
        }
    }

    /// Whether entries are being stored.
    pub fn health(&self) -> JournalHealth {
        let dropped_records = self.0.shared.dropped.load(Ordering::Relaxed);
        JournalHealth { dropped_records, ..self.0.shared.health().clone() }
    }

    /// How often storing went on after entries were lost. Whoever sees it change writes a
    /// checkpoint, so that a replay can go on from there.
    pub fn gaps(&self) -> u64 {
        self.0.shared.gaps.load(Ordering::Acquire)
    }

    /// Waits, for a bounded time, until everything appended before was tried to be stored. Blocks:
    /// not for async code.
    pub fn flush(&self) -> JournalHealth {
        self.ask(Message::Flush)
    }

    /// The same, and lets go of the file, for another process to write. Entries that come
    /// afterwards are lost, and counted as such.
    pub fn close(&self) -> JournalHealth {
        self.ask(Message::Close)
    }

    fn ask(&self, message: impl FnOnce(SyncSender<()>) -> Message) -> JournalHealth {
        let (answer, answered) = sync_channel(1);
        if self.0.sender.send(message(answer)).is_ok() {
            // A timeout shows in the health: what is still pending was not stored.
            let _in_time = answered.recv_timeout(FLUSH_TIMEOUT);
        }
        self.health()
    }
}

/// The thread's state.
struct Writer {
    path: PathBuf,
    options: JournalOptions,
    shared: Arc<Shared>,
    store: Option<Store>,
    pending: VecDeque<PackedEntry>,
    pending_bytes: usize,
    /// Time of the newest entry.
    now: Instant,
    /// While it fails: when to try again.
    retry_at: Option<Instant>,
    prune_at: Instant,
    closing: bool,
    closed: bool,
}

impl Writer {
    fn new(path: PathBuf, options: JournalOptions, shared: Arc<Shared>) -> Self {
        Self {
            path,
            options,
            shared,
            store: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            now: Instant::ORIGIN,
            retry_at: None,
            prune_at: Instant::ORIGIN,
            closing: false,
            closed: false,
        }
    }

    fn run(mut self, receiver: &Receiver<Message>) {
        self.advance();
        while let Ok(first) = receiver.recv() {
            let mut waiting = Vec::new();
            self.take(first, &mut waiting);
            for _ in 1..BATCH_MAX {
                let Ok(message) = receiver.try_recv() else { break };
                self.take(message, &mut waiting);
            }
            let due = self.retry_at.is_none_or(|at| self.now >= at);
            if !self.closed && (due || !waiting.is_empty()) {
                self.advance();
            }
            if self.closing {
                self.close();
            }
            for answer in waiting {
                // Whoever asked may have stopped waiting.
                let _heard = answer.send(());
            }
        }
        if !self.closed {
            self.advance();
        }
    }

    fn take(&mut self, message: Message, waiting: &mut Vec<SyncSender<()>>) {
        match message {
            Message::Entry(entry) => {
                self.now = entry.at;
                let full =
                    self.pending.len() >= PENDING_MAX || self.pending_bytes >= PENDING_BYTES_MAX;
                let packed = (!self.closed && !full).then(|| PackedEntry::of(&entry));
                if let Some(Ok(packed)) = packed {
                    self.pending_bytes += packed.body.len();
                    self.pending.push_back(packed);
                } else {
                    self.shared.lose(1);
                }
            }
            Message::Flush(answer) => waiting.push(answer),
            Message::Close(answer) => {
                self.closing = true;
                waiting.push(answer);
            }
        }
    }

    /// Lets go of the file for good.
    fn close(&mut self) {
        self.shared.lose(self.pending.len() as u64);
        self.pending.clear();
        self.pending_bytes = 0;
        self.store = None;
        self.closed = true;
    }

    /// Stores what is pending, or says why not.
    fn advance(&mut self) {
        let stored = match self.store_pending() {
            Err(gone @ JournalError::Gone { .. }) => {
                tracing::warn!(error = one_line(&gone), "a new journal is begun");
                self.store_pending()
            }
            stored => stored,
        };
        match stored {
            Ok(()) => {
                self.retry_at = None;
                if self.shared.health().failure.take().is_some() {
                    tracing::info!("the journal is being written again");
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn store_pending(&mut self) -> Result<(), JournalError> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.open_store()?,
        };
        while !self.pending.is_empty() {
            self.store_batch(&mut store)?;
        }
        self.prune(&mut store)?;
        // Only one that works is kept: after a failure the file is opened anew.
        self.store = Some(store);
        Ok(())
    }

    fn open_store(&self) -> Result<Store, JournalError> {
        let store = Store::open(&self.path, &self.options)?;
        if store.is_new() && self.shared.health().written_records > 0 {
            // What was written is in another file: this one needs a checkpoint to begin with.
            self.shared.gaps.fetch_add(1, Ordering::Release);
        }
        Ok(store)
    }

    /// Stores the oldest of what is pending. In parts, so that some fit when not all do.
    fn store_batch(&mut self, store: &mut Store) -> Result<(), JournalError> {
        let batch = self.pending.len().min(BATCH_MAX);
        let lost = self.shared.lost.swap(false, Ordering::Acquire);
        let stored = store.append(self.pending.iter().take(batch));
        stored.inspect_err(|_| {
            self.shared.lost.fetch_or(lost, Ordering::Release);
        })?;
        self.pending.drain(..batch);
        self.pending_bytes = self.pending.iter().map(|entry| entry.body.len()).sum();
        self.shared.health().written_records += batch as u64;
        if lost {
            self.shared.gaps.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    fn prune(&mut self, store: &mut Store) -> Result<(), JournalError> {
        store.prune_above(self.options.bytes_max)?;
        if self.now >= self.prune_at {
            store.prune_before(self.now.saturating_sub(self.options.retention))?;
            self.prune_at = self.now.saturating_add(PRUNE_INTERVAL);
        }
        Ok(())
    }

    fn fail(&mut self, error: &JournalError) {
        self.retry_at = Some(self.now.saturating_add(RETRY_INTERVAL));
        let since = self.pending.front().map(|entry| entry.at);
        let mut health = self.shared.health();
        let first = health.failure.as_ref().and_then(|failure| failure.since);
        let was_failing = health.failure.is_some();
        health.failure = Some(failure(error, first.or(since)));
        drop(health);
        if !was_failing {
            tracing::warn!(
                error = one_line(error),
                "the journal can't be written; scaling goes on"
            );
        }
    }
}

fn failure(error: &JournalError, since: Option<Instant>) -> JournalFailure {
    JournalFailure { error: one_line(error), hint: error.hint(), since }
}
