//! How jobs, tasks, trainers and slots are said in JSON. Names and meanings stay, keys are added.

use serde::Serialize;
use serde_json::{Value, json};
use trainwire::status::{JobStatus, SlotStatus, TaskCondition, TaskCounts, TaskStatus, TrainerStatus, Wait};
use trainwire::{Attempt, JobHandle, JobId, TaskEnd, TaskOutcome};

use super::error::ApiError;
use crate::clock;
use crate::view::json::{ending, last_progress, metrics_object};
use crate::view::words;

/// A job in a list.
#[derive(Debug, Serialize)]
pub(crate) struct JobShape {
    job: String,
    /// It takes more tasks.
    open: bool,
    /// All is over, the trainers included.
    pub(crate) ended: bool,
    tasks: CountsShape,
    trainers_running: usize,
    /// What its next waiting task waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<WaitShape>,
}

#[derive(Debug, Serialize)]
struct CountsShape {
    total: usize,
    waiting: usize,
    running: usize,
    succeeded: usize,
    cancelled: usize,
    stopped: usize,
    pruned: usize,
    dead: usize,
}

/// For programs and for people.
#[derive(Debug, Serialize)]
struct WaitShape {
    /// Stable.
    what: &'static str,
    text: String,
}

/// A task.
#[derive(Debug, Serialize)]
pub(crate) struct TaskShape {
    task: String,
    model_name: String,
    max_epochs: i32,
    size_bytes: u64,
    state: &'static str,
    starts: u32,
    failures: u32,
    losses: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    trainer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<WaitShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeShape>,
}

/// How a task ended.
#[derive(Debug, Serialize)]
struct OutcomeShape {
    attempts: u32,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

/// A task that was given up.
#[derive(Debug, Serialize)]
pub(crate) struct DeadLetterShape {
    job: String,
    task: String,
    attempts: u32,
    duration_ms: u64,
    cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    log_tail: String,
    /// One an attempt, oldest first.
    evidence: Vec<Value>,
}

/// A trainer.
#[derive(Debug, Serialize)]
pub(crate) struct TrainerShape {
    trainer: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    attached: bool,
    state: &'static str,
    tasks: Vec<String>,
}

/// A slot.
#[derive(Debug, Serialize)]
pub(crate) struct SlotShape {
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trainer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// Its trainer has ended, something it started has not.
    leftover: bool,
}

impl JobShape {
    pub(crate) async fn of(job: &JobHandle) -> Result<Self, ApiError> {
        Ok(Self::from_status(job.id(), &job.status().await?))
    }

    pub(crate) fn from_status(job: &JobId, status: &JobStatus) -> Self {
        Self {
            job: job.to_string(),
            open: status.open,
            ended: status.ended,
            tasks: CountsShape::from(status.counts),
            trainers_running: status.trainers.len(),
            waits_for: status.wait.map(WaitShape::from),
        }
    }
}

impl TaskShape {
    pub(crate) fn of(job: &JobHandle, status: &TaskStatus) -> Result<Self, ApiError> {
        let outcome = job.task_outcome(&status.task_id)?;
        let (state, trainer, wait) = condition(&status.condition);
        let state = if outcome.as_ref().is_some_and(TaskOutcome::is_pruned) { "pruned" } else { state };
        Ok(Self {
            task: status.task_id.to_string(),
            model_name: status.model_name.to_string(),
            max_epochs: status.max_epochs,
            size_bytes: status.size_bytes,
            state,
            starts: status.starts,
            failures: status.failures,
            losses: status.losses,
            trainer,
            checkpoint: status.checkpoint.as_ref().map(|path| path.display().to_string()),
            waits_for: wait.map(WaitShape::from),
            outcome: outcome.map(OutcomeShape::from),
        })
    }
}

impl DeadLetterShape {
    pub(crate) fn of(job: &JobId, outcome: TaskOutcome) -> Option<Self> {
        let TaskEnd::Dead { cause, log_tail, .. } = outcome.state else { return None };
        Some(Self {
            job: job.to_string(),
            task: outcome.task_id.to_string(),
            attempts: outcome.attempts,
            duration_ms: millis(outcome.duration),
            cause,
            log: outcome.log.map(|path| path.display().to_string()),
            log_tail,
            evidence: outcome.history.iter().map(attempt).collect(),
        })
    }
}

impl From<TaskOutcome> for OutcomeShape {
    fn from(outcome: TaskOutcome) -> Self {
        let (metrics, cause) = match outcome.state {
            TaskEnd::Succeeded { metrics } | TaskEnd::Stopped { metrics } => {
                (Some(metrics_object(&metrics)), None)
            }
            TaskEnd::Dead { cause, .. } => (None, Some(cause)),
            _ => (None, None),
        };
        Self {
            attempts: outcome.attempts,
            duration_ms: millis(outcome.duration),
            log: outcome.log.map(|path| path.display().to_string()),
            metrics,
            cause,
        }
    }
}

impl From<TaskCounts> for CountsShape {
    fn from(counts: TaskCounts) -> Self {
        Self {
            total: counts.total(),
            waiting: counts.waiting,
            running: counts.running,
            succeeded: counts.succeeded,
            cancelled: counts.cancelled,
            stopped: counts.stopped,
            pruned: counts.pruned,
            dead: counts.dead,
        }
    }
}

impl From<Wait> for WaitShape {
    fn from(wait: Wait) -> Self {
        let what = match wait {
            Wait::Socket => "socket",
            Wait::Backoff { .. } => "backoff",
            Wait::NextStart { .. } => "next_start",
            Wait::TrainerStarting => "trainer_starting",
            Wait::TrainersBusy { .. } => "trainers_busy",
            Wait::TrainersUnavailable { .. } => "trainers_unavailable",
            Wait::Slots { .. } => "slots",
            Wait::TrainerByHand => "trainer_by_hand",
            _ => "other",
        };
        Self { what, text: words::wait(wait) }
    }
}

impl From<&TrainerStatus> for TrainerShape {
    fn from(status: &TrainerStatus) -> Self {
        use trainwire::status::TrainerCondition as Condition;
        let state = match status.condition {
            Condition::Starting => "starting",
            Condition::Idle => "idle",
            Condition::Busy => "busy",
            Condition::Unresponsive => "unresponsive",
            Condition::Disconnected => "disconnected",
            Condition::Leaving => "leaving",
            Condition::Stuck => "stuck",
            _ => "other",
        };
        Self {
            trainer: status.trainer.0,
            pid: status.pid,
            attached: status.attached,
            state,
            tasks: status.tasks.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<SlotStatus> for SlotShape {
    fn from(status: SlotStatus) -> Self {
        Self {
            slot: status.name,
            trainer: status.trainer.map(|trainer| trainer.0),
            job: status.job_id,
            leftover: status.leftover,
        }
    }
}

/// How an attempt ended, and what is known of it.
fn attempt(attempt: &Attempt) -> Value {
    let mut fields = ending(&attempt.ending);
    fields["attempt"] = attempt.number.into();
    fields["trainer"] = attempt.trainer.0.into();
    fields["began"] = clock::rfc3339(attempt.began).into();
    fields["duration_ms"] = millis(attempt.duration).into();
    if let Some(last) = &attempt.last_progress {
        fields["last_progress"] = last_progress(last);
    }
    if let Some(log) = &attempt.log {
        fields["log"] = log.display().to_string().into();
        fields["log_from"] = attempt.log_from.into();
    }
    fields
}

/// The state's name, who has the task, and what it waits for.
fn condition(condition: &TaskCondition) -> (&'static str, Option<u64>, Option<Wait>) {
    match condition {
        TaskCondition::Waiting(wait) => ("waiting", None, Some(*wait)),
        TaskCondition::Delivered(with) => ("delivered", Some(with.trainer.0), None),
        TaskCondition::Running(with) => ("running", Some(with.trainer.0), None),
        TaskCondition::Stopping { with, .. } => ("stopping", Some(with.trainer.0), None),
        TaskCondition::Stuck(with) => ("stuck", Some(with.trainer.0), None),
        TaskCondition::Succeeded => ("succeeded", None, None),
        TaskCondition::Cancelled => ("cancelled", None, None),
        TaskCondition::Stopped => ("stopped", None, None),
        TaskCondition::Dead => ("dead", None, None),
        _ => ("other", None, None),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A line of a log that is asked for in JSON.
pub(crate) fn log_line(attempt: u32, text: &str) -> String {
    json!({ "attempt": attempt, "text": text }).to_string()
}
