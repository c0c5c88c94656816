//! Where records lie: SQLite in WAL mode, written by one thread, or nowhere but in memory.
//!
//! ```text
//!  driver ── Batch ──► writer thread ── one transaction, one fsync at most ──► journal.sqlite
//!     ◄── the same batch, committed ──┘                                          ▲
//!                                            event streams that start late ──────┘ read it
//! ```
//!
//! Group commit needs no timer: a batch is whatever the driver decided during the last commit.
//!
//! On a full disk the batch waits with the writer until there is room. Every other error is the last: after
//! an fsync that failed the kernel has forgotten what was not written, and a second one would say that all
//! is well.

mod forget;
mod payloads;
mod query;
mod write;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use trainwire_unix::names;

use crate::error::StartError;
use crate::planted;
use crate::record::{JobNo, Record, Seq, TaskNo};

use payloads::Files;
pub(crate) use payloads::{FOLDER_NAME as PAYLOADS_NAME, PayloadFolder, ROW_SIZE_BYTES_MAX, StoredTask};
pub(crate) use query::{Reader, StoredBytes};
pub(crate) use write::{Commit, Committed, FORMAT, Writer};

/// A record in its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    pub(crate) at: SystemTime,
    pub(crate) job: Option<JobNo>,
    pub(crate) task: Option<TaskNo>,
    pub(crate) attempt: Option<u32>,
    pub(crate) record: Record,
}

/// What is committed together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// The bytes of the tasks submitted in `entries`.
    pub(crate) payloads: Vec<(TaskNo, StoredTask)>,
}

impl Batch {
    /// Whether it must be on the disk, and not only in the log, before anyone hears of it.
    pub(crate) fn must_sync(&self) -> bool {
        self.entries.iter().any(|entry| entry.record.must_sync())
    }
}

/// A journal that is open and ours, before its writer starts.
pub(crate) struct Journal {
    connection: Connection,
    path: PathBuf,
    files: Files,
    /// Held for as long as the journal is open; the kernel releases it with the process.
    lock: File,
}

impl Journal {
    /// Takes the state folder for this process, and creates the journal or brings it to this
    /// version's format.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StartError> {
        let unusable = |source| StartError::StateDir { path: state_dir.to_owned(), source };
        names::make_folder(state_dir).map_err(unusable)?;
        let lock = lock(state_dir)?;
        let path = state_dir.join(FILE_NAME);
        let mut connection = write::open(&path)?;
        let unreadable =
            |error: rusqlite::Error| StartError::Journal { path: path.clone(), text: error.to_string() };
        let mut files = Files::load(&connection, state_dir).map_err(unreadable)?;
        forget::rest(&mut connection, &mut files).map_err(unreadable)?;
        Ok(Self { connection, path, files, lock })
    }

    /// Gives everything committed so far, in order.
    pub(crate) fn replay(&self, each: impl FnMut(Entry)) -> Result<(), StartError> {
        query::replay(&self.connection, each).map_err(|error| self.unreadable(&error))
    }

    /// Where the bytes of a task are.
    pub(crate) fn bytes_of(&self, task: TaskNo) -> Result<StoredBytes, StartError> {
        query::bytes_of(&self.connection, task).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &rusqlite::Error) -> StartError {
        StartError::Journal { path: self.path.clone(), text: error.to_string() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(state_dir: &Path) -> Result<File, StartError> {
    let unusable = |source| StartError::StateDir { path: state_dir.to_owned(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(state_dir.join("lock"))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) if planted::is("no-lock") => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if read.is_err() || holder.is_empty() { "unknown" } else { holder };
            return Err(StartError::Locked { path: state_dir.to_owned(), holder: holder.to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    // For the error above; the lock itself is the kernel's.
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(unusable)?;
    Ok(file)
}

/// In the state folder.
pub(crate) const FILE_NAME: &str = "journal.sqlite";

#[cfg(test)]
mod tests;
