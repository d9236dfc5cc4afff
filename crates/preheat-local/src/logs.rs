//! Engine logs: files of bounded size, and what their lines tell about a start.
//!
//! **Invariant:** no line makes a replica ready.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use preheat_core::ReplicaPhase;
use preheat_runtime::start_log::phase_of;

/// A log that grows beyond this is emptied. Engines append, so that they go on at the new end.
pub(crate) const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Read of a log at a time: far more than an engine writes between two probes.
const READ_BYTES_MAX: u64 = 256 * 1024;
/// A last line is looked for in this much of a log's end.
const TAIL_BYTES: u64 = 4 * 1024;
/// A longer line is no message any more.
const LINE_CHARS_MAX: usize = 300;

/// Begins the line that tells the starts in a log apart.
const TITLE_MARK: &str = "--- preheat starts ";

/// Opens a log for an engine to append to, below a line that tells this start from those before.
pub(crate) fn open(path: &Path, title: &str) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    empty_if_too_long(&file)?;
    writeln!(file, "{TITLE_MARK}{title}")?;
    Ok(file)
}

/// Empties a log that has grown too long.
pub(crate) fn bound(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.len() <= LOG_BYTES_MAX {
        return Ok(());
    }
    empty_if_too_long(&OpenOptions::new().append(true).open(path)?)
}

fn empty_if_too_long(file: &File) -> io::Result<()> {
    if file.metadata()?.len() > LOG_BYTES_MAX { file.set_len(0) } else { Ok(()) }
}

/// The last line of the last start that says something, for error messages.
pub(crate) fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    if line.starts_with(TITLE_MARK) {
        return None;
    }
    Some(line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect())
}

/// Follows the log of an engine that is starting.
#[derive(Debug)]
pub(crate) struct LogFollower {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
    phase: Option<ReplicaPhase>,
}

impl LogFollower {
    /// Follows from the log's present end.
    pub(crate) fn from_end(path: &Path) -> Self {
        let offset = fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self { path: path.to_owned(), offset, partial: Vec::new(), phase: None }
    }

    /// Reads what is new; the phase that the lines so far tell, if they tell any.
    pub(crate) fn phase(&mut self) -> Option<ReplicaPhase> {
        // Without a readable log, readiness is still told by probes.
        let _ = self.read_new();
        self.phase
    }

    fn read_new(&mut self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        self.offset += file.take(READ_BYTES_MAX).read_to_end(&mut bytes)? as u64;
        let mut lines = bytes.split(|&byte| byte == b'\n');
        // What follows the last line end is not a line yet.
        let rest = lines.next_back().unwrap_or_default();
        for line in lines {
            self.partial.extend_from_slice(line);
            let told = phase_of(&String::from_utf8_lossy(&self.partial));
            self.phase = self.phase.max(told);
            self.partial.clear();
        }
        if self.partial.len() < READ_BYTES_MAX as usize {
            self.partial.extend_from_slice(rest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_reads_what_is_new_and_survives_emptying() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/engine.log");
        let mut log = open(&path, "r0").unwrap();
        assert_eq!(last_line(&path), None, "the engine has said nothing");
        writeln!(log, "Application startup complete").unwrap();
        let mut follower = LogFollower::from_end(&path);
        assert_eq!(follower.phase(), None, "lines of an earlier start tell nothing");
        write!(log, "Starting to load").unwrap();
        assert_eq!(follower.phase(), None);
        writeln!(log, " model x").unwrap();
        assert_eq!(follower.phase(), Some(ReplicaPhase::Loading));
        log.set_len(0).unwrap();
        writeln!(log, "Pulling image").unwrap();
        assert_eq!(follower.phase(), Some(ReplicaPhase::Loading), "phases don't go back");
        writeln!(log, "Graph capturing…\n\n").unwrap();
        assert_eq!(follower.phase(), Some(ReplicaPhase::Warming));
        assert_eq!(last_line(&path).as_deref(), Some("Graph capturing…"));
    }

    #[test]
    fn a_log_is_emptied_beyond_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        let mut log = open(&path, "r0").unwrap();
        log.set_len(LOG_BYTES_MAX + 1).unwrap();
        bound(&path).unwrap();
        writeln!(log, "after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
    }
}
