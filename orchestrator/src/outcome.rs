//! What became of a job, folded from its records.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::journal::Entry;
use crate::record::{Ending, Metrics, Next, Record, TaskNo, TrainerNo};

/// A job that has ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobOutcome {
    /// In the order of the submission.
    pub tasks: Vec<TaskOutcome>,
}

impl JobOutcome {
    /// Whether every task succeeded.
    pub fn succeeded(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task.state, TaskEnd::Succeeded { .. }))
    }
}

/// A task that has ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskOutcome {
    /// Unique in the job.
    pub task_id: Arc<str>,
    /// For people.
    pub model_name: Arc<str>,
    /// How.
    pub state: TaskEnd,
    /// Deliveries, returned ones included.
    pub attempts: u32,
    /// The output of the trainer that had it last; `None` for one that was never delivered, or whose
    /// trainer was started by hand.
    pub log: Option<PathBuf>,
    /// From the start of the last attempt to its end; zero for one that never started.
    pub duration: Duration,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TaskEnd {
    /// The result is in.
    Succeeded {
        /// The result.
        metrics: Metrics,
    },
    /// It was cancelled before it ran, or while it did.
    Cancelled,
    /// It was stopped while it ran.
    Stopped {
        /// What there was of a result.
        metrics: Metrics,
    },
    /// Out of budget: a dead letter.
    Dead {
        /// In words.
        cause: String,
        /// The last lines of the trainer's output, as it wrote them: escape control characters before
        /// showing them. May be empty.
        log_tail: String,
        /// How each attempt ended, oldest first, as far as it ended otherwise than well.
        evidence: Vec<Ending>,
    },
}

/// Folds a job's records into its outcome.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// By number: that is the order in which they were submitted.
    tasks: Vec<Folding>,
    logs: HashMap<TrainerNo, PathBuf>,
}

#[derive(Debug)]
struct Folding {
    number: TaskNo,
    task_id: Arc<str>,
    model_name: Arc<str>,
    attempts: u32,
    /// That had it last.
    trainer: Option<TrainerNo>,
    started_at: Option<SystemTime>,
    duration: Duration,
    evidence: Vec<Ending>,
    end: Option<TaskEnd>,
}

impl Fold {
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match &entry.record {
            Record::TaskSubmitted { task, task_id, model_name, .. } => {
                self.tasks.push(Folding {
                    number: *task,
                    task_id: task_id.as_str().into(),
                    model_name: model_name.as_str().into(),
                    attempts: 0,
                    trainer: None,
                    started_at: None,
                    duration: Duration::ZERO,
                    evidence: Vec::new(),
                    end: None,
                });
            }
            Record::TrainerSpawned { trainer, log, .. } => {
                self.logs.insert(*trainer, PathBuf::from(log));
            }
            Record::Delivered { trainer, attempt, .. } => {
                if let Some(task) = self.task_mut(entry) {
                    task.attempts = *attempt;
                    task.trainer = Some(*trainer);
                    task.started_at = Some(entry.at);
                }
            }
            Record::Started { .. } => {
                if let Some(task) = self.task_mut(entry) {
                    task.started_at = Some(entry.at);
                }
            }
            Record::Ended { ending, next, .. } => {
                if let Some(task) = self.task_mut(entry) {
                    let started_at = task.started_at.take().unwrap_or(entry.at);
                    task.duration = entry.at.duration_since(started_at).unwrap_or_default();
                    task.end(Some(ending), next);
                }
            }
            Record::Closed { next, .. } => {
                if let Some(task) = self.task_mut(entry) {
                    task.end(None, next);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn task_id(&self, task: TaskNo) -> Option<&Arc<str>> {
        self.index(task).and_then(|index| self.tasks.get(index)).map(|task| &task.task_id)
    }

    pub(crate) fn task_no(&self, task_id: &str) -> Option<TaskNo> {
        self.tasks.iter().find(|task| &*task.task_id == task_id).map(|task| task.number)
    }

    pub(crate) fn outcome(&self) -> JobOutcome {
        let tasks = self.tasks.iter().map(|task| TaskOutcome {
            task_id: Arc::clone(&task.task_id),
            model_name: Arc::clone(&task.model_name),
            // Of a job that has ended every task has.
            state: task.end.clone().unwrap_or(TaskEnd::Cancelled),
            attempts: task.attempts,
            log: task.trainer.and_then(|trainer| self.logs.get(&trainer)).cloned(),
            duration: task.duration,
        });
        JobOutcome { tasks: tasks.collect() }
    }

    /// The task an entry is about.
    fn task_mut(&mut self, entry: &Entry) -> Option<&mut Folding> {
        let index = self.index(entry.task?)?;
        self.tasks.get_mut(index)
    }

    fn index(&self, task: TaskNo) -> Option<usize> {
        self.tasks.binary_search_by_key(&task, |task| task.number).ok()
    }
}

impl Folding {
    fn end(&mut self, ending: Option<&Ending>, next: &Next) {
        let metrics = match ending {
            Some(Ending::Succeeded { metrics } | Ending::Stopped { metrics, .. }) => metrics.clone(),
            _ => Metrics::new(),
        };
        if let Some(ending) = ending.filter(|ending| !matches!(ending, Ending::Succeeded { .. })) {
            self.evidence.push(ending.clone());
        }
        self.end = match next {
            Next::Queued { .. } => None,
            Next::Succeeded => Some(TaskEnd::Succeeded { metrics }),
            Next::Cancelled => Some(TaskEnd::Cancelled),
            Next::Stopped => Some(TaskEnd::Stopped { metrics }),
            Next::Dead { cause, log_tail } => Some(TaskEnd::Dead {
                cause: cause.clone(),
                log_tail: log_tail.clone(),
                evidence: std::mem::take(&mut self.evidence),
            }),
        };
    }
}
