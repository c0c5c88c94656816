//! Deleting the rows of jobs that were forgotten: a few at a time, because a large job has millions and the
//! next commit waits for none of them. What a crash interrupts, the next start completes before it replays.

use std::path::PathBuf;

use rusqlite::{Connection, params};

use super::payloads::Files;
use crate::record::{JobNo, TaskNo};

/// Deletes the next rows of a job, and gives the files that none names any more; `None` once there are no rows.
pub(super) fn some(
    connection: &mut Connection,
    files: &mut Files,
    job: JobNo,
) -> rusqlite::Result<Option<Vec<PathBuf>>> {
    let job = job.0.cast_signed();
    let transaction = connection.transaction()?;
    let mut last = None;
    let mut tasks = Vec::new();
    {
        let mut rows = transaction
            .prepare_cached("SELECT seq, task FROM records WHERE job = ?1 ORDER BY seq LIMIT ?2")?;
        for row in rows.query_map(params![job, ROWS], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))? {
            let (seq, task): (i64, Option<i64>) = row?;
            last = Some(seq);
            tasks.extend(task);
        }
        let Some(last) = last else { return Ok(None) };
        tasks.dedup();
        for task in &tasks {
            transaction.prepare_cached("DELETE FROM payloads WHERE task = ?1")?.execute([task])?;
            transaction.prepare_cached("DELETE FROM payload_files WHERE task = ?1")?.execute([task])?;
        }
        transaction
            .prepare_cached("DELETE FROM records WHERE job = ?1 AND seq <= ?2")?
            .execute(params![job, last])?;
    }
    transaction.commit()?;
    let tasks: Vec<TaskNo> = tasks.into_iter().map(|task| TaskNo(task.cast_unsigned())).collect();
    Ok(Some(files.forget(&tasks)))
}

/// Of forgotten jobs without rows the last record says all: how far the numbers are.
pub(super) fn all_but_the_last(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM records WHERE job IS NULL AND event = 'job_forgotten' AND seq <
             (SELECT max(seq) FROM records WHERE job IS NULL AND event = 'job_forgotten')",
        )?
        .execute([])
        .map(|_| ())
}

/// Completes what was begun before.
pub(super) fn rest(connection: &mut Connection, files: &mut Files) -> rusqlite::Result<()> {
    let jobs: Vec<i64> = connection
        .prepare("SELECT body ->> '$.job' FROM records WHERE job IS NULL AND event = 'job_forgotten'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for job in jobs {
        while let Some(unnamed) = some(connection, files, JobNo(job.cast_unsigned()))? {
            unnamed.iter().for_each(|file| drop(std::fs::remove_file(file)));
        }
    }
    all_but_the_last(connection)
}

/// Some milliseconds' worth.
const ROWS: u32 = 1_000;
