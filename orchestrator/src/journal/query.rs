//! Reading the journal, on a connection of its own: a reader never waits for the writer.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::Entry;
use crate::clock;
use crate::record::{JobNo, Seq, TaskNo};

/// A read connection.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens a journal that exists.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self { connection: Connection::open_with_flags(path, flags)? })
    }

    /// The journal's `user_version`.
    pub(crate) fn format(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "user_version", |row| row.get(0))
    }

    /// The first record of every job that is remembered. The index finds them, not a look at each record.
    pub(crate) fn submissions(&self) -> rusqlite::Result<Vec<Entry>> {
        self.connection
            .prepare(
                "SELECT seq, at_us, job, task, attempt, body FROM records
                 WHERE seq IN (SELECT min(seq) FROM records WHERE job IS NOT NULL GROUP BY job) ORDER BY seq",
            )?
            .query_map([], entry)?
            .collect()
    }

    /// Where the bytes of a task are.
    pub(crate) fn bytes_of(&self, task: TaskNo) -> rusqlite::Result<StoredBytes> {
        bytes_of(&self.connection, task)
    }

    /// The job's next records after `since`, at most `limit`.
    pub(crate) fn records_of(&self, job: JobNo, since: Seq, limit: u32) -> rusqlite::Result<Vec<Entry>> {
        self.connection
            .prepare_cached(
                "SELECT seq, at_us, job, task, attempt, body FROM records
                 WHERE job = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?
            .query_map(params![job.0.cast_signed(), since.0.cast_signed(), limit], entry)?
            .collect()
    }
}

/// Where the bytes of a task are.
pub(crate) enum StoredBytes {
    /// In its row.
    Row(Vec<u8>),
    /// In a file of this name in the state folder.
    File(String),
    /// They were in memory.
    Nowhere,
    /// No row speaks of them.
    Missing,
}

pub(super) fn replay(connection: &Connection, mut each: impl FnMut(Entry)) -> rusqlite::Result<()> {
    let mut rows =
        connection.prepare("SELECT seq, at_us, job, task, attempt, body FROM records ORDER BY seq")?;
    for entry in rows.query_map([], entry)? {
        each(entry?);
    }
    Ok(())
}

pub(super) fn bytes_of(connection: &Connection, task: TaskNo) -> rusqlite::Result<StoredBytes> {
    let number = task.0.cast_signed();
    let mut row = connection.prepare_cached("SELECT bytes FROM payloads WHERE task = ?1")?;
    if let Some(bytes) = row.query_row([number], |row| row.get(0)).optional()? {
        return Ok(StoredBytes::Row(bytes));
    }
    let mut row = connection.prepare_cached("SELECT file FROM payload_files WHERE task = ?1")?;
    let file: Option<Option<String>> = row.query_row([number], |row| row.get(0)).optional()?;
    Ok(match file {
        Some(Some(name)) => StoredBytes::File(name),
        Some(None) => StoredBytes::Nowhere,
        None => StoredBytes::Missing,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let body = row.get_ref("body")?.as_str()?;
    let record = serde_json::from_str(body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })?;
    let number = |column| row.get::<_, Option<i64>>(column).map(|number| number.map(i64::cast_unsigned));
    Ok(Entry {
        seq: Seq(row.get::<_, i64>("seq")?.cast_unsigned()),
        at: clock::from_micros(row.get("at_us")?),
        job: number("job")?.map(JobNo),
        task: number("task")?.map(TaskNo),
        attempt: row.get("attempt")?,
        record,
    })
}
