//! Writing the journal: one connection, on a thread of its own.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::mpsc::UnboundedSender;

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
    let Journal { mut connection, lock: _lock, path } = journal;
    let mut synchronous = Synchronous::Full;
    while let Ok(batch) = inbox.recv() {
        let answer = match commit(&mut connection, &mut synchronous, &batch) {
            Ok(()) => Ok(batch),
            Err(error) => {
                let text = format!("{}: {error}", path.display());
                tracing::error!(code = "journal_failed", "{text}");
                Err(OrchestratorError::Journal { text })
            }
        };
        let failed = answer.is_err();
        if committed.send(answer).is_err() || failed {
            return;
        }
    }
}

fn commit(connection: &mut Connection, synchronous: &mut Synchronous, batch: &Batch) -> rusqlite::Result<()> {
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
        let mut insert = transaction.prepare_cached("INSERT INTO payloads (task, bytes) VALUES (?1, ?2)")?;
        for (task, bytes) in &batch.payloads {
            insert.execute(params![task.0.cast_signed(), &bytes[..]])?;
        }
    }
    transaction.commit()
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
    if found == 0 {
        // One transaction, user_version included: a crash leaves the old format or the new.
        connection.execute_batch(&format!("BEGIN IMMEDIATE;\n{SCHEMA}\nCOMMIT;")).map_err(failed)?;
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

const SCHEMA: &str = include_str!("schema.sql");

/// `user_version` of [`SCHEMA`].
const FORMAT: i64 = 1;
