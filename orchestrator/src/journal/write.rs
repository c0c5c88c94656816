//! Writing the journal: one connection, on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::mpsc::UnboundedSender;

use super::payloads::Files;
use super::{Batch, Journal};
use crate::clock;
use crate::error::{OrchestratorError, StartError};

/// What the writer thread answers to each batch, in order.
pub(crate) type Committed = Result<Batch, OrchestratorError>;

/// The thread that commits.
#[derive(Debug)]
pub(crate) struct Writer {
    batches: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it. Each batch comes back on `committed` once it is as durable as its records ask for;
    /// after the first error nothing is written any more.
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
    let Journal { mut connection, lock: _lock, path, mut files } = journal;
    let mut synchronous = Synchronous::Full;
    while let Ok(mut batch) = inbox.recv() {
        let mut over = Vec::new();
        let answer = match commit(&mut connection, &mut synchronous, &mut files, &mut batch) {
            Ok(files) => {
                over = files;
                Ok(batch)
            }
            Err(error) => {
                let text = format!("{}: {error}", path.display());
                tracing::error!(code = "journal_failed", "{text}");
                Err(OrchestratorError::Journal { text })
            }
        };
        let failed = answer.is_err();
        let heard = committed.send(answer).is_ok();
        // What goes wrong here, the next start makes good.
        over.iter().for_each(|file| drop(std::fs::remove_file(file)));
        if !heard || failed {
            return;
        }
    }
}

/// Gives the files that no row names any more.
fn commit(
    connection: &mut Connection,
    synchronous: &mut Synchronous,
    files: &mut Files,
    batch: &mut Batch,
) -> rusqlite::Result<Vec<PathBuf>> {
    let needed = if batch.must_sync() { Synchronous::Full } else { Synchronous::Normal };
    if *synchronous != needed {
        connection.pragma_update(None, "synchronous", needed.pragma())?;
        *synchronous = needed;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO records (seq, at_us, job, task, attempt, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for entry in &batch.entries {
            let body = serde_json::to_string(&entry.record)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
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
    files.insert(&transaction, &mut batch.payloads)?;
    let over = files.delete(&transaction, &batch.entries)?;
    transaction.commit()?;
    Ok(over)
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
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// From each `user_version` to the next. Formats only grow.
const FORMATS: [&str; 2] = [include_str!("format_1.sql"), include_str!("format_2.sql")];

/// `user_version` of the last.
const FORMAT: i64 = FORMATS.len().cast_signed() as i64;
