//! One task and where it stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trainwire::record::{Ending, Metrics, Next, Rung};

use crate::pace::Pace;
use crate::view::words;

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) task_id: Arc<str>,
    pub(crate) max_epochs: i32,
    /// Begun so far.
    pub(crate) attempts: u32,
    /// When the first of them began.
    pub(crate) started_at: Option<SystemTime>,
    /// The output of the trainer that had it last.
    pub(crate) log: Option<PathBuf>,
    /// What it has last said of the metric the run is about.
    pub(crate) score: Option<f64>,
    pub(crate) state: State,
}

/// Where it stands.
#[derive(Debug)]
pub(crate) enum State {
    /// For its first attempt, or its next.
    Waiting,
    /// With a trainer.
    Running(Running),
    /// For good.
    Ended(Ended),
}

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) since: SystemTime,
    /// From 1 on.
    pub(crate) attempt: u32,
    /// The last row of metrics.
    pub(crate) latest: Vec<(String, f64)>,
    pub(crate) pace: Pace,
    pub(crate) trouble: Option<Trouble>,
}

/// What stands out about an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing heard since shortly before.
    Unresponsive(SystemTime),
    /// The connection is gone, the process exists.
    Detached(SystemTime),
    /// Being stopped, this far.
    Stopping(Rung),
    /// There after SIGKILL.
    Stuck,
}

/// A task that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) at: SystemTime,
    /// The result, or what there was of it.
    pub(crate) metrics: Metrics,
    /// What ended it, in words; empty for success.
    pub(crate) cause: String,
    /// Of a failed task: the traceback, or else the end of its output.
    pub(crate) last_words: String,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Succeeded,
    Stopped,
    Cancelled,
    Failed,
}

impl Running {
    pub(super) fn new(attempt: u32, since: SystemTime) -> Self {
        Self { since, attempt, latest: Vec::new(), pace: Pace::default(), trouble: None }
    }

    /// How long it has run.
    pub(crate) fn elapsed(&self, now: SystemTime) -> Duration {
        now.duration_since(self.since).unwrap_or_default()
    }
}

impl Task {
    /// From the first attempt's beginning to the end, pauses between attempts included.
    pub(crate) fn duration(&self) -> Option<Duration> {
        match (&self.state, self.started_at) {
            (State::Ended(ended), Some(started_at)) => ended.at.duration_since(started_at).ok(),
            _ => None,
        }
    }
}

impl State {
    /// Without an ending the task ended while it waited.
    pub(super) fn after(next: &Next, ending: Option<&Ending>, at: SystemTime) -> Self {
        let end = match next {
            Next::Queued { .. } => return Self::Waiting,
            Next::Succeeded => End::Succeeded,
            Next::Cancelled => End::Cancelled,
            Next::Stopped => End::Stopped,
            Next::Dead { .. } => End::Failed,
        };
        let metrics = match ending {
            Some(Ending::Succeeded { metrics } | Ending::Stopped { metrics, .. }) => metrics.clone(),
            _ => Metrics::new(),
        };
        let cause = match (next, ending) {
            (Next::Succeeded, _) => String::new(),
            (_, Some(ending)) => words::ending(ending),
            (Next::Dead { cause, .. }, None) => words::escape(cause),
            (_, None) => "before it began".to_owned(),
        };
        let last_words = match (next, ending) {
            (Next::Dead { .. }, Some(Ending::Failed { error, .. } | Ending::Retry { error, .. }))
                if !error.traceback.is_empty() =>
            {
                error.traceback.clone()
            }
            (Next::Dead { log_tail, .. }, _) => log_tail.to_string(),
            _ => String::new(),
        };
        Self::Ended(Ended { end, at, metrics, cause, last_words })
    }
}
