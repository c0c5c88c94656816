//! Jobs and tasks that come in.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trainwire::job::JobSpec;
use trainwire::{Job, TaskBuffer, TrainingTask};

use super::Daemon;
use super::error::ApiError;

/// A job with its tasks.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// Of [`JobSpec`]; what is left out is as there.
    pub(crate) spec: Map<String, Value>,
    /// At least one, unless the job is open.
    #[serde(default)]
    pub(crate) tasks: Vec<TaskRequest>,
}

/// Tasks for an open job.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TasksRequest {
    pub(crate) tasks: Vec<TaskRequest>,
}

/// One task, with its hyperparameters or the file they are in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskRequest {
    pub(crate) task_id: String,
    pub(crate) model_name: String,
    /// The schema's default unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_epochs: Option<i32>,
    /// Becomes msgpack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
    /// Absolute; read byte for byte by the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hyperparams_file: Option<String>,
}

/// What became of a submission.
#[derive(Debug, Serialize)]
pub(crate) struct SubmitAnswer {
    job: String,
    /// Where trainers connect.
    socket: String,
}

/// What became of tasks for an open job.
#[derive(Debug, Serialize)]
pub(crate) struct AddAnswer {
    added: usize,
    /// There already, with the same bytes.
    existing: usize,
}

pub(crate) async fn submit(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<JobRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<SubmitAnswer>), ApiError> {
    let Json(request) = request?;
    daemon.check_takes_work()?;
    let job = Job::from_spec(spec(request.spec)?).tasks(build(request.tasks).await?);
    let job = daemon.orchestrator.submit(job).await?;
    let answer = SubmitAnswer { job: job.id().to_string(), socket: job.socket_path().display().to_string() };
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(crate) async fn add(
    State(daemon): State<Arc<Daemon>>,
    Path(job): Path<String>,
    request: Result<Json<TasksRequest>, JsonRejection>,
) -> Result<Json<AddAnswer>, ApiError> {
    let Json(request) = request?;
    daemon.check_takes_work()?;
    let submitted = daemon.job(&job).await?.submit_all(build(request.tasks).await?).await?;
    Ok(Json(AddAnswer { added: submitted.added, existing: submitted.existing }))
}

impl Daemon {
    pub(super) fn check_takes_work(&self) -> Result<(), ApiError> {
        if self.draining.load(Ordering::Relaxed) { Err(ApiError::draining()) } else { Ok(()) }
    }
}

/// A key that is none is a mistake, not a default.
pub(super) fn spec(said: Map<String, Value>) -> Result<JobSpec, ApiError> {
    let known = match serde_json::to_value(JobSpec::default()) {
        Ok(Value::Object(known)) => known,
        _ => Map::new(),
    };
    if let Some(unknown) = said.keys().find(|key| !known.contains_key(*key)) {
        let distance = |key: &&String| strsim::damerau_levenshtein(key, unknown);
        let nearest = known.keys().min_by_key(distance).filter(|key| distance(key) <= unknown.len() / 2);
        let hint = nearest.map(|key| format!("; did you mean {key:?}?")).unwrap_or_default();
        let text = format!("spec has the unknown key {unknown:?}{hint}");
        return Err(ApiError::bad_request("bad_spec", text));
    }
    serde_json::from_value(Value::Object(said))
        .map_err(|error| ApiError::bad_request("bad_spec", format!("spec: {error}")))
}

/// Files are read, so elsewhere.
async fn build(tasks: Vec<TaskRequest>) -> Result<Vec<TrainingTask>, ApiError> {
    let built = tokio::task::spawn_blocking(|| tasks.into_iter().map(training_task).collect());
    built.await.unwrap_or_else(|_| {
        Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "system", "building the tasks panicked"))
    })
}

fn training_task(task: TaskRequest) -> Result<TrainingTask, ApiError> {
    let task_id = task.task_id.clone();
    let refuse = |code, why: String| ApiError::bad_request(code, format!("task {task_id:?}: {why}"));
    match (task.params, task.hyperparams_file) {
        (Some(_), Some(_)) => {
            Err(refuse("bad_task", "has either params or hyperparams_file, not both".to_owned()))
        }
        (params, None) => {
            let built = TrainingTask::new(task.task_id, task.model_name).params(&params.unwrap_or_default());
            let built = built.map_err(|error| refuse(error.code(), error.to_string()))?;
            Ok(match task.max_epochs {
                Some(epochs) => built.max_epochs(epochs),
                None => built,
            })
        }
        (None, Some(path)) => {
            let unreadable = |error| refuse("hyperparams_file", format!("{path} cannot be read: {error}"));
            if !FilePath::new(&path).is_absolute() {
                return Err(refuse("hyperparams_file", format!("{path} is relative; name it absolutely")));
            }
            let found = std::fs::metadata(&path).map_err(unreadable)?;
            if !found.is_file() {
                return Err(refuse("hyperparams_file", format!("{path} is no regular file")));
            }
            let file = std::fs::File::open(&path).map_err(unreadable)?;
            let buffer = TaskBuffer::read_from(&task.task_id, &task.model_name, file);
            let buffer = buffer.map_err(|error| refuse(error.code(), error.to_string()))?;
            let buffer = match task.max_epochs {
                Some(epochs) => buffer.max_epochs(epochs),
                None => buffer,
            };
            buffer.finish().map_err(|error| refuse(error.code(), error.to_string()))
        }
    }
}
