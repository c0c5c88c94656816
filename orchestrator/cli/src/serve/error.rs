//! Refusals: `{"code": …, "text": …}`, with the status that says whose fault it is.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use trainwire::{JobId, OrchestratorError, StacksError, SubmitError};

/// Why a request was not done.
#[derive(Debug, Serialize)]
pub(crate) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    /// What was wrong, where, and what to do.
    text: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into() }
    }

    /// The caller's.
    pub(crate) fn bad_request(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, text)
    }

    pub(crate) fn no_such_job(job: &JobId) -> Self {
        let text = format!("there is no job {job}; `trainwire ls --all` lists those there are");
        Self::new(StatusCode::NOT_FOUND, "no_such_job", text)
    }

    pub(crate) fn draining() -> Self {
        let text = "the daemon is ending and takes no more work; submit again once it was started again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", text)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let status = match &error {
            SubmitError::Orchestrator(OrchestratorError::NoSuchTask { .. }) => StatusCode::NOT_FOUND,
            SubmitError::Orchestrator(_) => StatusCode::SERVICE_UNAVAILABLE,
            SubmitError::Rejected { .. } => StatusCode::CONFLICT,
            SubmitError::PayloadFile { .. } if !error.is_backpressure() => StatusCode::INTERNAL_SERVER_ERROR,
            error if error.is_backpressure() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<OrchestratorError> for ApiError {
    fn from(error: OrchestratorError) -> Self {
        let status = match &error {
            OrchestratorError::NoSuchTask { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<StacksError> for ApiError {
    fn from(error: StacksError) -> Self {
        match error {
            StacksError::Orchestrator(error) => error.into(),
            error => Self::new(StatusCode::CONFLICT, error.code(), error.to_string()),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_json", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "bad_query", rejection.body_text())
    }
}
