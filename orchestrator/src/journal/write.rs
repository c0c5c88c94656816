//! Writing the journal: one connection, on a thread of its own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi, params};
use tokio::sync::mpsc::UnboundedSender;

use super::payloads::Files;
use super::{Batch, Journal, forget};
use crate::clock;
use crate::error::{OrchestratorError, StartError};
use crate::planted;
use crate::record::{JobNo, Record};

/// What the writer thread says; after an error nothing more.
pub(crate) type Committed = Result<Commit, OrchestratorError>;

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Commit {
    /// It is as durable as its records ask for. In the order in which they came.
    Done(Batch),
    /// There is no room on the disk for it. It is tried again until there is, and then done.
    Waits,
}

/// The thread that commits.
#[derive(Debug)]
pub(crate) struct Writer {
    batches: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it. What becomes of each batch is told on `committed`; after the first error nothing is
    /// written any more.
    pub(crate) fn start(journal: Journal, committed: UnboundedSender<Committed>) -> Result<Self, StartError> {
        let (batches, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("trainwire-log".to_owned())
            .spawn(move || run(journal, &inbox, &committed))
            .map_err(|error| StartError::System { what: "thread", text: error.to_string() })?;
        Ok(Self { batches: Some(batches), thread: Some(thread) })
    }

    /// Hands over a batch. After an error, which has been told then, it is dropped.
    pub(crate) fn commit(&self, batch: Batch) {
        if let Some(batches) = &self.batches {
            let _ = batches.send(batch);
        }
    }
}

/// Waits for what was handed over, then closes the journal and releases the lock.
impl Drop for Writer {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(journal: Journal, inbox: &Receiver<Batch>, committed: &UnboundedSender<Committed>) {
    // The lock outlives the connection.
    let Journal { connection, path, files, lock: _lock } = journal;
    let mut database = Database {
        connection,
        files,
        synchronous: Synchronous::Full,
        log_bytes: 0,
        forgotten: VecDeque::new(),
    };
    let mut waits = false;
    let mut batches = VecDeque::new();
    loop {
        let next = match batches.pop_front() {
            Some(batch) => Some(batch),
            None => match database.wait(inbox) {
                Ok(next) => next,
                Err(error) => return fail(&database, &path, &error, committed),
            },
        };
        let Some(mut batch) = next else { return };
        let outcome = database.commit(&mut batch);
        match outcome {
            Ok(over) => {
                if waits {
                    tracing::info!("there is room for the journal again; what waited is written");
                }
                waits = false;
                if committed.send(Ok(Commit::Done(batch))).is_err() {
                    return;
                }
                // What goes wrong here, the next start makes good.
                over.iter().for_each(|file| drop(std::fs::remove_file(file)));
            }
            Err(error) if is_full(&error) => {
                if !waits {
                    tracing::error!(code = "disk_full", path = %path.display(), %error, "the disk is full: trainers go on, their results wait, new jobs are refused; free space");
                    if committed.send(Ok(Commit::Waits)).is_err() {
                        return;
                    }
                }
                waits = true;
                batches.push_front(batch);
                match inbox.recv_timeout(ROOM_INTERVAL) {
                    Ok(next) => batches.push_back(next),
                    Err(RecvTimeoutError::Timeout) => {}
                    // Nobody waits for it any more, and nobody was told that it is done.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                continue;
            }
            Err(error) => return fail(&database, &path, &error, committed),
        }
        match database.tend_log() {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "no room to move the journal's log into its database; the log grows");
            }
            Err(error) => return fail(&database, &path, &error, committed),
        }
    }
}

/// The last word. Closing the database must not write what could not be synced.
fn fail(database: &Database, path: &Path, error: &rusqlite::Error, committed: &UnboundedSender<Committed>) {
    let leave_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    if let Err(error) = database.connection.set_db_config(leave_log, true) {
        tracing::error!(%error, "the journal's log cannot be left alone");
    }
    let text = format!("{}: {error}", path.display());
    tracing::error!(code = "journal_failed", "{text}");
    let _ = committed.send(Err(OrchestratorError::Journal { text }));
}

/// Nothing was changed for want of room, and nothing that was synced before is in doubt. The index of the
/// log is not synced at all, so an error in making it larger is as harmless.
fn is_full(error: &rusqlite::Error) -> bool {
    if planted::is("fsync-tried-again") {
        return true;
    }
    let Some(error) = error.sqlite_error().filter(|_| !planted::is("full-is-the-end")) else { return false };
    error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
}

/// The database as its only writer holds it.
struct Database {
    connection: Connection,
    files: Files,
    synchronous: Synchronous,
    /// About so much was written to the log since it was last moved into the database.
    log_bytes: usize,
    /// Jobs whose rows are to be deleted.
    forgotten: VecDeque<JobNo>,
}

impl Database {
    /// Gives the files that no row names any more.
    fn commit(&mut self, batch: &mut Batch) -> rusqlite::Result<Vec<PathBuf>> {
        let needed = if batch.must_sync() { Synchronous::Full } else { Synchronous::Normal };
        if self.synchronous != needed {
            self.connection.pragma_update(None, "synchronous", needed.pragma())?;
            self.synchronous = needed;
        }
        let mut bytes = COMMIT_BYTES;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO records (seq, at_us, job, task, attempt, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for entry in &batch.entries {
                let body = serde_json::to_string(&entry.record)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                bytes += body.len();
                insert.execute(params![
                    entry.seq.0.cast_signed(),
                    clock::to_micros(entry.at),
                    entry.job.map(|job| job.0.cast_signed()),
                    entry.task.map(|task| task.0.cast_signed()),
                    entry.attempt,
                    body,
                ])?;
            }
        }
        bytes += self.files.insert(&transaction, &mut batch.payloads)?;
        let over = self.files.delete(&transaction, &batch.entries)?;
        transaction.commit()?;
        self.log_bytes += bytes;
        self.forgotten.extend(batch.entries.iter().filter_map(|entry| match entry.record {
            Record::JobForgotten { job, .. } => Some(job),
            _ => None,
        }));
        Ok(self.files.forget(&over))
    }

    /// The next batch, or `None` when there will be no more. Meanwhile rows are deleted that nobody needs.
    fn wait(&mut self, inbox: &Receiver<Batch>) -> rusqlite::Result<Option<Batch>> {
        while let Some(job) = self.forgotten.front().copied() {
            match inbox.try_recv() {
                Ok(batch) => return Ok(Some(batch)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) => {}
            }
            match forget::some(&mut self.connection, &mut self.files, job) {
                Ok(Some(unnamed)) => unnamed.iter().for_each(|file| drop(std::fs::remove_file(file))),
                Ok(None) => {
                    self.forgotten.pop_front();
                    if self.forgotten.is_empty() {
                        forget::all_but_the_last(&self.connection)?;
                    }
                }
                // There is room for the rows as long as there is none for others.
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(inbox.recv().ok())
    }

    /// Moves the log into the database now and then. By hand: SQLite keeps to itself what goes wrong where
    /// it does so by itself.
    fn tend_log(&mut self) -> rusqlite::Result<()> {
        if self.log_bytes < LOG_BYTES_MAX {
            return Ok(());
        }
        self.log_bytes = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }
}

/// Opens the file and brings it to this version's format.
pub(super) fn open(path: &Path) -> Result<Connection, StartError> {
    let failed =
        |error: rusqlite::Error| StartError::Journal { path: path.to_owned(), text: error.to_string() };
    let connection = Connection::open(path).map_err(failed)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > FORMAT {
        return Err(StartError::JournalNewer { path: path.to_owned(), found, known: FORMAT });
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", Synchronous::Full.pragma()).map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
    for (_, step) in (0..).zip(FORMATS).filter(|(before, _)| *before >= found) {
        // One transaction, user_version included: a crash leaves the old format or the new.
        connection.execute_batch(&format!("BEGIN IMMEDIATE;\n{step}\nCOMMIT;")).map_err(failed)?;
    }
    if found == 0 {
        connection
            .execute("INSERT INTO meta VALUES ('created_by', ?1)", [env!("CARGO_PKG_VERSION")])
            .map_err(failed)?;
    }
    Ok(connection)
}

/// How far a commit goes, in WAL mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Synchronous {
    /// The log is fsynced, and with it everything committed before.
    Full,
    /// The log is written; it survives this process, not a power cut.
    Normal,
}

impl Synchronous {
    fn pragma(self) -> &'static str {
        match self {
            Self::Full if planted::is("no-fsync") => "OFF",
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// From each `user_version` to the next. Formats only grow.
const FORMATS: [&str; 2] = [include_str!("format_1.sql"), include_str!("format_2.sql")];

/// `user_version` of the last.
pub(crate) const FORMAT: i64 = FORMATS.len().cast_signed() as i64;

/// Between two looks for room on a full disk.
const ROOM_INTERVAL: Duration = Duration::from_millis(500);

/// Of pages: records are added at the end, and what is read again the kernel has, too.
const CACHE_KIB: i64 = 512;

/// What a commit writes beside its bodies: three or four pages of 4 KiB, in part.
const COMMIT_BYTES: usize = 16 << 10;

/// As large as SQLite lets the log grow by itself.
const LOG_BYTES_MAX: usize = 4 << 20;
