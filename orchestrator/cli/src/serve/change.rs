//! Stopping, closing, trying again, and looking into trainers.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trainwire::StopReason;

use super::Daemon;
use super::error::ApiError;
use super::routes::TaskPath;
use super::shape::JobShape;
use super::submit::spec;

/// What is to end, and how.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopRequest {
    /// One task; the whole job unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
    /// The work is not wanted any more.
    #[serde(default)]
    pub(crate) cancel: bool,
    /// SIGKILL at once.
    #[serde(default)]
    pub(crate) kill: bool,
    /// What the task has reported is not worth its time.
    #[serde(default)]
    pub(crate) prune: bool,
}

/// Answered when the stop is under way; `wait` tells when it is done.
pub(crate) async fn stop(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    request: Result<Json<StopRequest>, JsonRejection>,
) -> Result<Json<JobShape>, ApiError> {
    let Json(request) = request?;
    let job = daemon.job(&job).await?;
    if request.prune && (request.cancel || request.kill || request.task.is_none()) {
        let text = "prune is for one task, which is asked to stop: name it, and leave out cancel and kill";
        return Err(ApiError::bad_request("bad_stop", text));
    }
    let reason = match (request.cancel, request.prune) {
        (true, _) => StopReason::Cancelled,
        (_, true) => StopReason::Pruned,
        _ => StopReason::Interrupted,
    };
    match (&request.task, request.kill) {
        (Some(_), true) => {
            let text = "one task cannot be killed alone; stop it, or kill the job";
            return Err(ApiError::bad_request("bad_stop", text));
        }
        (Some(task), false) => job.stop_task(task, reason).await?,
        (None, true) => job.kill().await?,
        (None, false) => job.stop(reason).await?,
    }
    Ok(Json(JobShape::of(&job).await?))
}

/// What is to be tried again.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryRequest {
    /// Those that are dead or stopped, unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tasks: Vec<String>,
    /// Limits of the job that are to hold from now on; keys of a spec.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) limits: Map<String, Value>,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub(crate) struct RetryAnswer {
    /// Tasks that wait again.
    requeued: usize,
}

/// Answered when it is on the disk.
pub(crate) async fn retry(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    request: Result<Json<RetryRequest>, JsonRejection>,
) -> Result<Json<RetryAnswer>, ApiError> {
    let Json(request) = request?;
    daemon.check_takes_work()?;
    let job = daemon.job(&job).await?;
    if !request.limits.is_empty() {
        let present = serde_json::to_value(&*job.status().await?.spec);
        let mut limits = match present {
            Ok(Value::Object(present)) => present,
            _ => Map::new(),
        };
        limits.extend(request.limits);
        let limits = spec(limits)?;
        job.change_limits(|present| *present = limits).await?;
    }
    let tasks: Vec<&str> = request.tasks.iter().map(String::as_str).collect();
    Ok(Json(RetryAnswer { requeued: job.retry(&tasks).await? }))
}

/// What a trainer's threads are doing.
#[derive(Debug, Serialize)]
pub(crate) struct StacksShape {
    /// As the trainer wrote it.
    text: String,
    /// Where it is, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

/// Answered when the stacks are in the log; the task goes on.
pub(crate) async fn stack(
    State(daemon): State<Arc<Daemon>>,
    Path((job, task)): TaskPath,
) -> Result<Json<StacksShape>, ApiError> {
    let stacks = daemon.job(&job).await?.dump_stacks(&task).await?;
    Ok(Json(StacksShape { text: stacks.text, log: stacks.log.map(|log| log.display().to_string()) }))
}

/// An open job takes no more tasks.
pub(crate) async fn close(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
) -> Result<Json<JobShape>, ApiError> {
    let job = daemon.job(&job).await?;
    job.close().await?;
    Ok(Json(JobShape::of(&job).await?))
}
