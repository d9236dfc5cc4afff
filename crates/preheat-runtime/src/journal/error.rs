//! What can go wrong with a journal, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a journal can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file, or its lock, can't be opened.
    #[error("the journal `{}` cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no file to read.
    #[error("there is no journal at `{}`", path.display())]
    Missing {
        /// Where none is.
        path: PathBuf,
    },
    /// A second process wants to write.
    #[error("the journal `{}` is being written by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file was moved or removed while it was being written.
    #[error("the journal `{}` was moved or removed", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The file is no database, or a damaged one.
    #[error("the journal `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is somebody else's database.
    #[error("`{}` is a database, but no journal of preheat", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is from a preheat that stores otherwise.
    #[error("the journal `{}` has version {found}; this preheat reads version {known}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The one known here.
        known: u32,
    },
    /// No room for more.
    #[error("the journal `{}` cannot grow: no space is left", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Writing is not allowed.
    #[error("the journal `{}` may not be written", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Somebody holds a lock in it for too long.
    #[error("the journal `{}` is locked by another program", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Its newest entries are beside it, and can't be reached read-only.
    #[error("the newest entries of the journal `{}` cannot be read from here", path.display())]
    Unshared {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Anything else that SQLite says.
    #[error("the journal `{}` failed", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// One entry makes no sense.
    #[error("entry {seq} of the journal `{}` cannot be read", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's number.
        seq: u64,
        /// What is wrong with it.
        #[source]
        source: BodyError,
    },
    /// An export can't be written.
    #[error("the export cannot be written")]
    Export {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread to write from.
    #[error("no thread could be started for the journal")]
    Thread {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It can't be written as, or read from, JSON.
    #[error("it is not the JSON of an entry")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It can't be unpacked.
    #[error("it is not whole")]
    Packed {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than any entry.
    #[error("it is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// Its row says otherwise than its body.
    #[error("its {column} and its body contradict each other")]
    Contradiction {
        /// Which column.
        column: &'static str,
    },
}

impl JournalError {
    /// Sorts what SQLite said about the file at `path`.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        let Some(code) = source.sqlite_error_code() else { return Self::Sqlite { path, source } };
        if matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) {
            Self::Damaged { path, source }
        } else if code == ErrorCode::DiskFull {
            Self::Full { path, source }
        } else if matches!(code, ErrorCode::ReadOnly | ErrorCode::PermissionDenied) {
            Self::ReadOnly { path, source }
        } else if matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) {
            Self::Locked { path, source }
        } else {
            Self::Sqlite { path, source }
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { path, .. } => unopened_hint(path),
            Self::Sqlite { path, source }
                if source.sqlite_error_code() == Some(ErrorCode::CannotOpen) =>
            {
                unopened_hint(path)
            }
            Self::Missing { .. } => "a journal is written by `preheat up`; \
                `stateDir` in its configuration says where"
                .to_owned(),
            Self::InUse { .. } => {
                "end the other preheat, or give this one a `stateDir` of its own; \
                writing begins by itself when the other has ended"
                    .to_owned()
            }
            Self::Gone { .. } => "a new one is begun; nothing needs to be done".to_owned(),
            Self::Damaged { path, .. } | Self::Foreign { path } => format!(
                "keep it for a look and let a new one begin: \
                 mv '{0}' '{0}.damaged'; rm -f '{0}-wal' '{0}-shm'",
                path.display()
            ),
            Self::OtherVersion { path, found, .. } => format!(
                "use the preheat that wrote it, or let a new journal begin: mv '{0}' '{0}.v{found}'",
                path.display()
            ),
            Self::Full { .. } => "make room on the disk, or shorten `journal.retention`; \
                writing goes on by itself"
                .to_owned(),
            Self::ReadOnly { path, .. } => {
                format!("make `{}` and its directory writable for preheat", path.display())
            }
            Self::Locked { .. } => "end the program that holds it open for writing".to_owned(),
            Self::Unshared { path, .. } => format!(
                "copy `{0}` and `{0}-wal` into a directory that you may write to, and read the copy",
                path.display()
            ),
            Self::Entry { .. } => {
                "it was written by another version of preheat, or changed since; \
                read it with the preheat that wrote it"
                    .to_owned()
            }
            Self::Sqlite { .. } | Self::Export { .. } | Self::Thread { .. } => return None,
        };
        Some(hint)
    }
}

fn unopened_hint(path: &Path) -> String {
    format!("the directory of `{}` must exist and be writable for preheat", path.display())
}

/// The error with everything behind it, in one line.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
