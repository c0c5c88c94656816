//! How the tasks of a run stand: events folded into what people want to see. Knows no terminal.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trainwire::record::{Condition, Ending, Metrics, Next, Record, Rung, TrainerNo};
use trainwire::{Event, What};
use trainwire_protocol::message::Report;

use crate::pace::Pace;
use crate::view::{fit, words};

/// All tasks of a job.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) job_id: String,
    pub(crate) started_at: SystemTime,
    /// Where the trainers' output is.
    pub(crate) logs_dir: PathBuf,
    /// In the order of submission.
    pub(crate) tasks: Vec<Task>,
    /// What a task's attempts can come to with both budgets used up.
    pub(crate) attempts_max: u32,
    /// Somebody interrupted the run.
    pub(crate) interrupted: bool,
    /// Columns the longest id takes.
    pub(crate) widest_id: usize,
    by_id: HashMap<Arc<str>, usize>,
    by_trainer: HashMap<TrainerNo, usize>,
    logs: HashMap<TrainerNo, PathBuf>,
    starting: HashSet<TrainerNo>,
    /// Trainers there ever were.
    trainers: usize,
}

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
    /// Of a failed task: the end of its output, or of the traceback it sent.
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

/// How many tasks stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) waiting: usize,
    pub(crate) running: usize,
    pub(crate) succeeded: usize,
    /// Stopped or cancelled.
    pub(crate) stopped: usize,
    pub(crate) failed: usize,
}

impl Board {
    pub(crate) fn new(job_id: &str, attempts_max: u32, logs_dir: PathBuf, started_at: SystemTime) -> Self {
        Self {
            job_id: job_id.to_owned(),
            started_at,
            logs_dir,
            tasks: Vec::new(),
            attempts_max,
            interrupted: false,
            widest_id: 0,
            by_id: HashMap::new(),
            by_trainer: HashMap::new(),
            logs: HashMap::new(),
            starting: HashSet::new(),
            trainers: 0,
        }
    }

    /// Takes in an event. Of a task it does not know it takes nothing.
    pub(crate) fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Record(record) => self.record(record, event.task.as_deref(), event.attempt, event.at),
            What::Progress(report) => self.progress(report, event.task.as_deref(), event.at),
            _ => {}
        }
    }

    fn progress(&mut self, report: &Report, task_id: Option<&str>, at: SystemTime) {
        let task = task_id.and_then(|task| self.by_id.get(task)).copied();
        let Some(running) = task.and_then(|task| self.running(task)) else { return };
        if let Some(last) = report.values.rchunks_exact(report.names.len().max(1)).next() {
            running.latest = report.names.iter().cloned().zip(last.iter().copied()).collect();
        }
        for epoch in report.epochs.iter().flatten() {
            running.pace.epoch(*epoch, at);
        }
    }

    fn record(&mut self, record: &Record, task_id: Option<&str>, attempt: Option<u32>, at: SystemTime) {
        let of_task = task_id.and_then(|task| self.by_id.get(task)).copied();
        match record {
            Record::TaskSubmitted { task_id, max_epochs, .. } => self.submitted(task_id, *max_epochs),
            Record::TrainerSpawning { trainer, .. } => {
                self.trainers += 1;
                self.starting.insert(*trainer);
            }
            Record::TrainerSpawned { trainer, log, .. } => {
                self.logs.insert(*trainer, log.into());
            }
            Record::TrainerBound { trainer, attached, .. } => {
                self.trainers += usize::from(*attached);
                self.starting.remove(trainer);
            }
            Record::TrainerEnded { trainer, .. } => {
                self.starting.remove(trainer);
                self.by_trainer.remove(trainer);
            }
            Record::TrainerNoticed { trainer, condition } => {
                let trouble = match condition {
                    Condition::Responsive => None,
                    Condition::Unresponsive => Some(Trouble::Unresponsive(at)),
                    Condition::Detached => Some(Trouble::Detached(at)),
                };
                let task = self.by_trainer.get(trainer).copied();
                if let Some(running) = task.and_then(|task| self.running(task))
                    && !matches!(running.trouble, Some(Trouble::Stopping(_) | Trouble::Stuck))
                {
                    running.trouble = trouble;
                }
            }
            Record::Delivered { trainer, .. } => {
                self.starting.remove(trainer);
                if let Some(task) = of_task {
                    self.by_trainer.insert(*trainer, task);
                    self.tasks[task].log = self.logs.get(trainer).cloned();
                }
            }
            Record::Started { .. } => {
                if let Some(task) = of_task {
                    let attempt = attempt.unwrap_or(1);
                    let task = &mut self.tasks[task];
                    task.attempts = attempt;
                    task.started_at.get_or_insert(at);
                    task.state = State::Running(Running::new(attempt, at));
                }
            }
            Record::Stopping { rung, .. } => self.trouble(of_task, Trouble::Stopping(*rung)),
            Record::Stuck { .. } => self.trouble(of_task, Trouble::Stuck),
            Record::Ended { next, ending, .. } => {
                if let Some(task) = of_task {
                    self.tasks[task].state = State::after(next, Some(ending), at);
                }
            }
            Record::Closed { next, .. } => {
                if let Some(task) = of_task {
                    self.tasks[task].state = State::after(next, None, at);
                }
            }
            _ => {}
        }
    }

    fn submitted(&mut self, task_id: &str, max_epochs: i32) {
        let task_id: Arc<str> = task_id.into();
        self.widest_id = self.widest_id.max(fit::width(&words::escape(&task_id)));
        self.by_id.insert(task_id.clone(), self.tasks.len());
        let state = State::Waiting;
        self.tasks.push(Task { task_id, max_epochs, attempts: 0, started_at: None, log: None, state });
    }

    fn trouble(&mut self, task: Option<usize>, trouble: Trouble) {
        if let Some(running) = task.and_then(|task| self.running(task)) {
            running.trouble = Some(trouble);
        }
    }

    fn running(&mut self, task: usize) -> Option<&mut Running> {
        match &mut self.tasks[task].state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    /// The task of this id.
    pub(crate) fn task(&self, task_id: &str) -> Option<&Task> {
        self.by_id.get(task_id).map(|task| &self.tasks[*task])
    }

    /// Trainers that were started and have no task yet.
    pub(crate) fn trainers_starting(&self) -> usize {
        self.starting.len()
    }

    /// Why the job came to nothing before there was a trainer: its socket could not be made.
    pub(crate) fn start_failure(&self) -> Option<&str> {
        match &self.tasks.first()?.state {
            State::Ended(ended) if self.trainers == 0 && ended.end == End::Failed => Some(&ended.cause),
            _ => None,
        }
    }

    /// Counts.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for task in &self.tasks {
            *match &task.state {
                State::Waiting => &mut totals.waiting,
                State::Running(_) => &mut totals.running,
                State::Ended(ended) => match ended.end {
                    End::Succeeded => &mut totals.succeeded,
                    End::Stopped | End::Cancelled => &mut totals.stopped,
                    End::Failed => &mut totals.failed,
                },
            } += 1;
        }
        totals
    }
}

impl Running {
    fn new(attempt: u32, since: SystemTime) -> Self {
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
    fn after(next: &Next, ending: Option<&Ending>, at: SystemTime) -> Self {
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
            (Next::Dead { log_tail, .. }, _) if !log_tail.is_empty() => log_tail.clone(),
            (Next::Dead { .. }, Some(Ending::Failed { error, .. } | Ending::Retry { error, .. })) => {
                error.traceback.clone()
            }
            _ => String::new(),
        };
        Self::Ended(Ended { end, at, metrics, cause, last_words })
    }
}
