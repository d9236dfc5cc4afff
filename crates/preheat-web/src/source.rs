//! Where answers come from: a status, and a journal beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use preheat_api::status::{ClockStatus, Status};
use preheat_compare::backtest::PastFigures;
use preheat_runtime::control_board::ControlBoard;
use preheat_runtime::journal::{JournalError, JournalReader, latest_moment, latest_status};

/// Says how things are, when asked. May read a file, but waits for nobody.
pub type StatusSource = Arc<dyn Fn() -> Status + Send + Sync>;

/// What an admin server answers from.
#[derive(Clone)]
pub struct Source {
    /// How things are.
    pub status: StatusSource,
    /// What has been.
    pub journal: Option<PathBuf>,
    /// What operators have ordered; absent where no orders are taken.
    pub controls: Option<Arc<ControlBoard>>,
    /// What was recorded elsewhere of a pool that is no pool of this preheat.
    pub figures: Option<Arc<PastFigures>>,
    /// Whether the status is of a process that runs.
    pub live: bool,
}

/// The status that the journal at `path` ends with.
///
/// # Errors
/// When it, or an entry of it, can't be read.
pub fn journal_status(path: &Path) -> Result<Status, JournalError> {
    let reader = JournalReader::open_read_only(path)?;
    let mut pools = Vec::new();
    for pool in reader.pools()? {
        pools.extend(latest_status(&reader, &pool)?);
    }
    let now = latest_moment(&reader)?;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: ClockStatus { now, ..ClockStatus::default() },
        pools,
        ..Status::default()
    })
}
