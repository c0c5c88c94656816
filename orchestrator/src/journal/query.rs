//! Reading the journal, on a connection of its own: a reader never waits for the writer.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, params};

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

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare("SELECT seq, at_us, job, task, attempt, body FROM records ORDER BY seq")?
        .query_map([], entry)?
        .collect()
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
