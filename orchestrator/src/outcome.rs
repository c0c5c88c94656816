//! What became of a job, folded from its records.

mod results;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smallvec::SmallVec;

use crate::job::StopReason;
use crate::journal::Entry;
use crate::record::{Ending, LastProgress, Metrics, Next, Record, TaskNo, TrainerNo};
use crate::status::{AttemptLog, TaskCounts};

pub(crate) use results::Unfilled;
pub use results::{Standing, TaskResult};

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
    /// The attempts that did not succeed, oldest first; those that came back before they began among them.
    pub history: Vec<Attempt>,
}

/// An attempt that did not succeed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// 1, 2, …
    pub number: u32,
    /// Who had it.
    pub trainer: TrainerNo,
    /// When the trainer's code was given it, or, if it never was, the trainer.
    pub began: SystemTime,
    /// From then to its end.
    pub duration: Duration,
    /// What happened.
    pub ending: Ending,
    /// The last row of metrics it reported.
    pub last_progress: Option<LastProgress>,
    /// The output of its trainer; `None` for one that was started by hand.
    pub log: Option<PathBuf>,
    /// Where in it the attempt's output begins, in bytes.
    pub log_from: u64,
}

impl TaskOutcome {
    /// Whether it was stopped because what it reported was not worth its time. No failure, and not tried again
    /// unless it is named.
    pub fn is_pruned(&self) -> bool {
        is_pruned(&self.state, &self.history)
    }
}

fn is_pruned(end: &TaskEnd, history: &[Attempt]) -> bool {
    let last = history.last().map(|attempt| &attempt.ending);
    matches!((end, last), (TaskEnd::Stopped { .. }, Some(Ending::Stopped { reason: StopReason::Pruned, .. })))
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
        /// How each attempt ended, oldest first, as far as it ended otherwise than well. When and where stands
        /// in [`TaskOutcome::history`].
        evidence: Vec<Ending>,
    },
}

/// Folds a job's records into its outcome.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// By number: that is the order in which they were submitted.
    tasks: Vec<Folding>,
    logs: BTreeMap<TrainerNo, TrainerLog>,
    counts: TaskCounts,
}

/// The output of one trainer.
#[derive(Debug)]
struct TrainerLog {
    path: PathBuf,
    /// Where what it was given begins, ascending.
    marks: Vec<u64>,
}

/// Where the output of one attempt is.
#[derive(Debug)]
struct Span {
    attempt: u32,
    trainer: TrainerNo,
    from: Option<u64>,
    /// The trainer's code had it.
    started: bool,
    over: bool,
}

#[derive(Debug)]
struct Folding {
    number: TaskNo,
    task_id: Arc<str>,
    model_name: Arc<str>,
    /// One an attempt.
    spans: SmallVec<[Span; 1]>,
    /// The newest of any attempt.
    checkpoint: Option<PathBuf>,
    started_at: Option<SystemTime>,
    duration: Duration,
    history: Vec<Attempt>,
    end: Option<TaskEnd>,
}

impl Fold {
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match &entry.record {
            Record::TaskSubmitted { task, task_id, model_name, .. } => {
                // Among ten thousand jobs most have one task.
                if self.tasks.is_empty() {
                    self.tasks.reserve_exact(1);
                }
                self.tasks.push(Folding {
                    number: *task,
                    task_id: Arc::clone(task_id),
                    model_name: Arc::clone(model_name),
                    spans: SmallVec::new(),
                    checkpoint: None,
                    started_at: None,
                    duration: Duration::ZERO,
                    history: Vec::new(),
                    end: None,
                });
                self.counts.waiting += 1;
            }
            Record::TrainerSpawned { trainer, log, .. } => {
                self.logs.insert(*trainer, TrainerLog { path: PathBuf::from(log), marks: Vec::new() });
            }
            Record::Delivered { trainer, attempt, log_from, .. } => {
                if let (Some(log), Some(from)) = (self.logs.get_mut(trainer), log_from)
                    && log.marks.last() != Some(from)
                {
                    log.marks.push(*from);
                }
                if let Some(task) = self.task_mut(entry) {
                    // One that never reached the trainer's code has left nothing.
                    if task.spans.last().is_some_and(|span| span.attempt == *attempt) {
                        task.spans.pop();
                    }
                    let span = Span {
                        attempt: *attempt,
                        trainer: *trainer,
                        from: *log_from,
                        started: false,
                        over: false,
                    };
                    task.spans.push(span);
                    task.started_at = Some(entry.at);
                    self.counts.waiting -= 1;
                    self.counts.running += 1;
                }
            }
            Record::Started { .. } => {
                if let Some(task) = self.task_mut(entry) {
                    task.started_at = Some(entry.at);
                    if let Some(span) = task.spans.last_mut() {
                        span.started = true;
                    }
                }
            }
            Record::Checkpointed { path, .. } => {
                if let Some(task) = self.task_mut(entry) {
                    task.checkpoint = Some(PathBuf::from(&**path));
                }
            }
            Record::Ended { ending, next, last_progress, .. } => {
                let ending = &**ending;
                if let Some(index) = self.index_of(entry)
                    && let Some(task) = self.tasks.get_mut(index)
                {
                    let began = task.started_at.take().unwrap_or(entry.at);
                    task.duration = entry.at.duration_since(began).unwrap_or_default();
                    if let Some(span) = task.spans.last_mut() {
                        span.over = true;
                        // A trainer may hold its Started back until the result of a short task.
                        span.started |= !matches!(ending, Ending::Returned { .. } | Ending::Stopped { .. });
                        if !matches!(ending, Ending::Succeeded { .. }) {
                            task.history.push(Attempt {
                                number: span.attempt,
                                trainer: span.trainer,
                                began,
                                duration: task.duration,
                                ending: ending.clone(),
                                last_progress: last_progress.as_deref().cloned(),
                                log: self.logs.get(&span.trainer).map(|log| log.path.clone()),
                                log_from: span.from.unwrap_or(0),
                            });
                        }
                    }
                    task.end(Some(ending), next);
                    self.counts.running -= 1;
                    let pruned = task.is_pruned();
                    *if pruned { &mut self.counts.pruned } else { self.counts.after(next) } += 1;
                }
            }
            Record::Closed { next, .. } => {
                if let Some(task) = self.task_mut(entry) {
                    task.end(None, next);
                    self.counts.waiting -= 1;
                    *self.counts.after(next) += 1;
                }
            }
            Record::Requeued { .. } => {
                let ended = |task: &mut Folding| Some((task.is_pruned(), task.end.take()?));
                if let Some((pruned, end)) = self.task_mut(entry).and_then(ended) {
                    let before = match end {
                        TaskEnd::Dead { .. } => &mut self.counts.dead,
                        _ if pruned => &mut self.counts.pruned,
                        _ => &mut self.counts.stopped,
                    };
                    *before -= 1;
                    self.counts.waiting += 1;
                }
            }
            _ => {}
        }
    }

    /// Those that have ended as `wanted`, without those that were pruned.
    pub(crate) fn numbers(&self, wanted: impl Fn(&TaskEnd) -> bool) -> Vec<TaskNo> {
        let ended = self.tasks.iter().filter(|task| task.end.as_ref().is_some_and(&wanted));
        ended.filter(|task| !task.is_pruned()).map(|task| task.number).collect()
    }

    pub(crate) fn task_id(&self, task: TaskNo) -> Option<&Arc<str>> {
        self.index(task).and_then(|index| self.tasks.get(index)).map(|task| &task.task_id)
    }

    pub(crate) fn task_no(&self, task_id: &str) -> Option<TaskNo> {
        self.tasks.iter().find(|task| &*task.task_id == task_id).map(|task| task.number)
    }

    /// Of a job that has ended: every task has then.
    pub(crate) fn outcome(&self) -> JobOutcome {
        JobOutcome { tasks: self.outcomes(|_| true) }
    }

    /// Those of the tasks that have ended as `wanted`.
    pub(crate) fn outcomes(&self, wanted: impl Fn(&TaskEnd) -> bool) -> Vec<TaskOutcome> {
        let ended = self.tasks.iter().filter(|task| task.end.as_ref().is_some_and(&wanted));
        ended.filter_map(|task| self.outcome_of(task)).collect()
    }

    pub(crate) fn task_outcome(&self, task: TaskNo) -> Option<TaskOutcome> {
        self.outcome_of(self.tasks.get(self.index(task)?)?)
    }

    pub(crate) fn counts(&self) -> TaskCounts {
        self.counts
    }

    /// Where the output of a task's attempts is.
    pub(crate) fn logs(&self, task: TaskNo) -> Vec<AttemptLog> {
        let spans = self.index(task).and_then(|index| self.tasks.get(index)).map(|task| &task.spans);
        let logs = spans.into_iter().flatten().map(|span| {
            let log = self.logs.get(&span.trainer);
            let from = span.from.unwrap_or(0);
            let after = log.map_or(&[][..], |log| &log.marks);
            let to = after.get(after.partition_point(|mark| *mark <= from)).copied();
            let path = log.map(|log| log.path.clone());
            AttemptLog { attempt: span.attempt, path, from, to, over: span.over }
        });
        logs.collect()
    }

    fn outcome_of(&self, task: &Folding) -> Option<TaskOutcome> {
        let last = task.spans.last();
        Some(TaskOutcome {
            task_id: Arc::clone(&task.task_id),
            model_name: Arc::clone(&task.model_name),
            state: task.end.clone()?,
            attempts: last.map_or(0, |span| span.attempt),
            log: last.and_then(|span| Some(self.logs.get(&span.trainer)?.path.clone())),
            duration: task.duration,
            history: task.history.clone(),
        })
    }

    /// The task an entry is about.
    fn task_mut(&mut self, entry: &Entry) -> Option<&mut Folding> {
        let index = self.index_of(entry)?;
        self.tasks.get_mut(index)
    }

    fn index_of(&self, entry: &Entry) -> Option<usize> {
        self.index(entry.task?)
    }

    fn index(&self, task: TaskNo) -> Option<usize> {
        // Tasks that were submitted together have numbers without gaps.
        let first = self.tasks.first()?.number;
        let close = usize::try_from(task.0.checked_sub(first.0)?).ok()?;
        if self.tasks.get(close).is_some_and(|found| found.number == task) {
            return Some(close);
        }
        self.tasks.binary_search_by_key(&task, |task| task.number).ok()
    }
}

impl TaskCounts {
    /// The count of those of whom this became.
    fn after(&mut self, next: &Next) -> &mut usize {
        match next {
            Next::Queued { .. } => &mut self.waiting,
            Next::Succeeded => &mut self.succeeded,
            Next::Cancelled => &mut self.cancelled,
            Next::Stopped => &mut self.stopped,
            Next::Dead { .. } => &mut self.dead,
        }
    }
}

impl Folding {
    fn is_pruned(&self) -> bool {
        self.end.as_ref().is_some_and(|end| is_pruned(end, &self.history))
    }

    fn end(&mut self, ending: Option<&Ending>, next: &Next) {
        let metrics = match ending {
            Some(Ending::Succeeded { metrics } | Ending::Stopped { metrics, .. }) => metrics.clone(),
            _ => Metrics::new(),
        };
        self.end = match next {
            Next::Queued { .. } => None,
            Next::Succeeded => Some(TaskEnd::Succeeded { metrics }),
            Next::Cancelled => Some(TaskEnd::Cancelled),
            Next::Stopped => Some(TaskEnd::Stopped { metrics }),
            Next::Dead { cause, log_tail } => Some(TaskEnd::Dead {
                cause: cause.to_string(),
                log_tail: log_tail.to_string(),
                evidence: self.history.iter().map(|attempt| attempt.ending.clone()).collect(),
            }),
        };
    }
}
