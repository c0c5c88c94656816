//! Questions that change nothing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use trainwire::{JobHandle, JobId};

use super::Daemon;
use super::error::ApiError;
use super::routes::TaskPath;
use super::shape::{DeadLetterShape, JobShape, SlotShape, TaskShape, TrainerShape};
use crate::results::Row;

/// The daemon itself.
#[derive(Debug, Serialize)]
pub(crate) struct StatusShape {
    version: &'static str,
    pid: u32,
    state_dir: String,
    /// It takes no more work.
    draining: bool,
}

pub(crate) async fn status(State(daemon): State<Arc<Daemon>>) -> Json<StatusShape> {
    Json(StatusShape {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        state_dir: daemon.state_dir.display().to_string(),
        draining: daemon.draining.load(Ordering::Relaxed),
    })
}

pub(crate) async fn slots(State(daemon): State<Arc<Daemon>>) -> Result<Json<Vec<SlotShape>>, ApiError> {
    let slots = daemon.orchestrator.slots().await?;
    Ok(Json(slots.into_iter().map(SlotShape::from).collect()))
}

/// Which jobs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobsQuery {
    /// Those that have ended, too.
    #[serde(default)]
    all: bool,
}

/// In the order of their submission.
pub(crate) async fn jobs(
    State(daemon): State<Arc<Daemon>>,
    query: Result<Query<JobsQuery>, QueryRejection>,
) -> Result<Json<Vec<JobShape>>, ApiError> {
    let Query(query) = query?;
    let mut jobs = Vec::new();
    for job in daemon.orchestrator.jobs().await? {
        let shape = JobShape::of(&job).await?;
        if query.all || !shape.ended {
            jobs.push(shape);
        }
    }
    Ok(Json(jobs))
}

/// A job with its trainers.
#[derive(Debug, Serialize)]
pub(crate) struct JobDetail {
    #[serde(flatten)]
    job: JobShape,
    command: Vec<String>,
    socket: String,
    trainers: Vec<TrainerShape>,
}

pub(crate) async fn job(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
) -> Result<Json<JobDetail>, ApiError> {
    let job = daemon.job(&job).await?;
    let status = job.status().await?;
    Ok(Json(JobDetail {
        command: status.spec.command.clone(),
        socket: job.socket_path().display().to_string(),
        trainers: status.trainers.iter().map(TrainerShape::from).collect(),
        job: JobShape::from_status(job.id(), &status),
    }))
}

/// Which tasks, by their places in the order of submission.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TasksQuery {
    #[serde(default)]
    from: usize,
    #[serde(default = "page")]
    limit: usize,
}

impl TasksQuery {
    fn places(&self) -> Range<usize> {
        self.from..self.from.saturating_add(self.limit.min(PAGE_TASKS_MAX))
    }
}

pub(crate) async fn tasks(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    query: Result<Query<TasksQuery>, QueryRejection>,
) -> Result<Json<Vec<TaskShape>>, ApiError> {
    let Query(query) = query?;
    let job = daemon.job(&job).await?;
    let tasks = job.tasks(query.places()).await?;
    Ok(Json(tasks.iter().map(|status| TaskShape::of(&job, status)).collect::<Result<_, _>>()?))
}

/// What the tasks were given, and what came of them so far.
pub(crate) async fn results(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    query: Result<Query<TasksQuery>, QueryRejection>,
) -> Result<Json<Vec<Row>>, ApiError> {
    let Query(query) = query?;
    let results = daemon.job(&job).await?.results(query.places()).await?;
    Ok(Json(results.into_iter().map(Row::from).collect()))
}

pub(crate) async fn task(
    State(daemon): State<Arc<Daemon>>,
    Path((job, task)): TaskPath,
) -> Result<Json<TaskShape>, ApiError> {
    let job = daemon.job(&job).await?;
    let status = job.task(&task).await?;
    Ok(Json(TaskShape::of(&job, &status)?))
}

/// For what, and how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    task: Option<String>,
    /// In milliseconds.
    #[serde(default = "poll_ms")]
    timeout_ms: u64,
}

/// How the job stands once it, or the task, has ended, or the time is up.
#[derive(Debug, Serialize)]
pub(crate) struct WaitShape {
    /// What was waited for has ended.
    ended: bool,
    job: JobShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskShape>,
}

pub(crate) async fn wait(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    query: Result<Query<WaitQuery>, QueryRejection>,
) -> Result<Json<WaitShape>, ApiError> {
    let Query(query) = query?;
    let job = daemon.job(&job).await?;
    let timeout = Duration::from_millis(query.timeout_ms).min(WAIT_MAX);
    let ended = match &query.task {
        Some(task) => tokio::time::timeout(timeout, job.task_ended(task)).await.map(|end| end.map(drop)),
        None => tokio::time::timeout(timeout, job.outcome()).await.map(|end| end.map(drop)),
    };
    let ended = ended.map_or(Ok(false), |end| end.map(|()| true))?;
    let task = match &query.task {
        Some(task) => Some(TaskShape::of(&job, &job.task(task).await?)?),
        None => None,
    };
    Ok(Json(WaitShape { ended, task, job: JobShape::of(&job).await? }))
}

/// Of which job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLettersQuery {
    job: Option<String>,
}

pub(crate) async fn dead_letters(
    State(daemon): State<Arc<Daemon>>,
    query: Result<Query<DeadLettersQuery>, QueryRejection>,
) -> Result<Json<Vec<DeadLetterShape>>, ApiError> {
    let Query(query) = query?;
    let jobs = match &query.job {
        Some(job) => vec![daemon.job(job).await?],
        None => daemon.orchestrator.jobs().await?,
    };
    let of = |job: &JobHandle| -> Vec<DeadLetterShape> {
        let id: &JobId = job.id();
        job.dead_letters().into_iter().filter_map(|dead| DeadLetterShape::of(id, dead)).collect()
    };
    Ok(Json(jobs.iter().flat_map(of).collect()))
}

fn page() -> usize {
    PAGE_TASKS_MAX
}

fn poll_ms() -> u64 {
    30_000
}

/// A look at tasks takes the orchestrator's time.
const PAGE_TASKS_MAX: usize = 1_000;

/// Whoever waits longer asks again: a connection that says nothing for an hour is easily lost.
const WAIT_MAX: Duration = Duration::from_secs(60);
