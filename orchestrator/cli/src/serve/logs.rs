//! What trainers wrote, and what happened: streams that can be followed to their end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use trainwire::JobHandle;
use trainwire::record::Seq;
use trainwire::status::AttemptLog;

use super::Daemon;
use super::error::ApiError;
use super::routes::TaskPath;
use super::shape::log_line;
use crate::view::json;

/// What of a task's log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// Only this one.
    attempt: Option<u32>,
    /// Until the task has ended.
    #[serde(default)]
    follow: bool,
    /// One object a line, with the attempt.
    #[serde(default)]
    json: bool,
}

pub(crate) async fn log(
    State(daemon): State<Arc<Daemon>>,
    Path((job, task)): TaskPath,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let job = daemon.job(&job).await?;
    // A name that is none is said before the stream begins.
    job.task_logs(&task)?;
    let (sender, body) = Channel::<Bytes, io::Error>::new(CHUNKS_WAITING_MAX);
    let kind = if query.json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    tokio::spawn(async move { Tail { job, task, query, sender, line: Vec::new() }.run().await });
    Ok(([(header::CONTENT_TYPE, kind)], Body::new(body)).into_response())
}

/// One reader's way through a task's attempts.
struct Tail {
    job: JobHandle,
    task: String,
    query: LogQuery,
    sender: Sender<Bytes, io::Error>,
    /// With `json`: the beginning of a line.
    line: Vec<u8>,
}

impl Tail {
    /// Ends when all is sent, or when nobody reads any more.
    async fn run(mut self) {
        let mut attempt = 0;
        // Looks after its end in which an attempt wrote nothing.
        let mut quiet_looks = 0;
        let mut position = None;
        loop {
            // Whether the task has ended is asked before its logs are: all that was written by then is seen.
            let Ok(outcome) = self.job.task_outcome(&self.task) else { return };
            let Ok(logs) = self.job.task_logs(&self.task) else { return };
            let wanted = |log: &&AttemptLog| self.query.attempt.is_none_or(|wanted| wanted == log.attempt);
            let Some(log) = logs.iter().filter(wanted).nth(attempt).cloned() else {
                if outcome.is_some() || !self.query.follow {
                    return;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
                continue;
            };
            let from = position.unwrap_or(log.from);
            let Some(read) = self.forward(&log, from).await else { return };
            position = Some(from + read);
            if read > 0 {
                quiet_looks = 0;
                continue;
            }
            // A trainer that failed writes its traceback after it has said so.
            let complete = log.over && (log.to.is_some() || quiet_looks >= QUIET_LOOKS);
            if complete || !self.query.follow {
                if self.end_line(log.attempt).await.is_none() {
                    return;
                }
                attempt += 1;
                position = None;
                quiet_looks = 0;
                continue;
            }
            quiet_looks += u32::from(log.over);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Sends what there is after `from`, at most one chunk; `None` when nobody reads.
    async fn forward(&mut self, log: &AttemptLog, from: u64) -> Option<u64> {
        let Some(path) = log.path.clone() else { return Some(0) };
        let limit = log.to.map_or(CHUNK_SIZE_BYTES, |to| to.saturating_sub(from).min(CHUNK_SIZE_BYTES));
        let chunk = tokio::task::spawn_blocking(move || read(path, from, limit)).await;
        // A log that was removed has nothing more to say.
        let chunk = chunk.ok()?.unwrap_or_default();
        let size = chunk.len() as u64;
        if size > 0 {
            self.send(log.attempt, chunk).await?;
        }
        Some(size)
    }

    async fn send(&mut self, attempt: u32, chunk: Vec<u8>) -> Option<()> {
        if !self.query.json {
            return self.sender.send_data(chunk.into()).await.ok();
        }
        self.line.extend(chunk);
        let mut out = String::new();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            out.push_str(&log_line(attempt, String::from_utf8_lossy(&line[..end]).as_ref()));
            out.push('\n');
        }
        if out.is_empty() {
            return Some(());
        }
        self.sender.send_data(out.into()).await.ok()
    }

    /// The last line of an attempt may lack its end.
    async fn end_line(&mut self, attempt: u32) -> Option<()> {
        if self.line.is_empty() {
            return Some(());
        }
        self.send(attempt, vec![b'\n']).await
    }
}

fn read(path: PathBuf, from: u64, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut chunk = Vec::new();
    file.take(limit).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Those after this one.
    #[serde(default)]
    since: u64,
}

/// One event a line, as `run --json` writes them, until the job has ended.
pub(crate) async fn events(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let mut events = daemon.job(&job).await?.events_since(Seq(query.since));
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(CHUNKS_WAITING_MAX);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let Some(mut line) = json::line(&event) else { continue };
            line.push('\n');
            if sender.send_data(line.into()).await.is_err() {
                return;
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response())
}

/// Between two looks at a log that is followed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Half a second for a traceback.
const QUIET_LOOKS: u32 = 5;

/// Read at once.
const CHUNK_SIZE_BYTES: u64 = 256 << 10;

/// Chunks a slow reader may be behind.
const CHUNKS_WAITING_MAX: usize = 4;
