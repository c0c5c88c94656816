//! The control protocol, version 1: HTTP and JSON. `docs/openapi.json` describes it for programs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::StatusCode;
use axum::routing::{get, post};
use trainwire::{JobHandle, JobId};

use super::error::ApiError;
use super::{Daemon, change, logs, look, submit};

/// Every request, and who answers it.
pub(crate) fn router(daemon: Arc<Daemon>) -> Router {
    Router::new()
        .route("/v1/status", get(look::status))
        .route("/v1/slots", get(look::slots))
        .route("/v1/jobs", get(look::jobs).post(submit::submit))
        .route("/v1/jobs/{job}", get(look::job))
        .route("/v1/jobs/{job}/tasks", get(look::tasks).post(submit::add))
        .route("/v1/jobs/{job}/tasks/{task}", get(look::task))
        .route("/v1/jobs/{job}/tasks/{task}/log", get(logs::log))
        .route("/v1/jobs/{job}/tasks/{task}/stack", post(change::stack))
        .route("/v1/jobs/{job}/results", get(look::results))
        .route("/v1/jobs/{job}/events", get(logs::events))
        .route("/v1/jobs/{job}/wait", get(look::wait))
        .route("/v1/jobs/{job}/stop", post(change::stop))
        .route("/v1/jobs/{job}/close", post(change::close))
        .route("/v1/jobs/{job}/retry", post(change::retry))
        .route("/v1/dead-letters", get(look::dead_letters))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_SIZE_BYTES_MAX))
        .with_state(daemon)
}

impl Daemon {
    /// The job a path names.
    pub(crate) async fn job(&self, name: &str) -> Result<JobHandle, ApiError> {
        let job_id =
            JobId::new(name).map_err(|error| ApiError::bad_request(error.code(), error.to_string()))?;
        self.orchestrator.job(&job_id).await?.ok_or_else(|| ApiError::no_such_job(&job_id))
    }
}

/// A job and a task in a path.
pub(crate) type TaskPath = Path<(String, String)>;

async fn unknown() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        "nothing is at this path; docs/openapi.json lists what is",
    )
}

async fn wrong_method() -> ApiError {
    let text = "this path is asked with another method; docs/openapi.json says which";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", text)
}

/// Parameters of ten thousand tasks; larger ones come in files.
const BODY_SIZE_BYTES_MAX: usize = 64 << 20;
