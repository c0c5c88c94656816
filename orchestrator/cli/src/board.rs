//! How the tasks of a run stand: events folded into what people want to see. Knows no terminal.

mod task;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use trainwire::Report;
use trainwire::job::JobSpec;
use trainwire::record::{Condition, Record, TrainerNo};
use trainwire::{Event, What};

pub(crate) use self::task::{End, Ended, Running, State, Task, Trouble};
use crate::ranking::Ranking;
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
    /// What is compared, if anything is.
    pub(crate) ranking: Option<Ranking>,
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
            ranking: None,
            interrupted: false,
            widest_id: 0,
            by_id: HashMap::new(),
            by_trainer: HashMap::new(),
            logs: HashMap::new(),
            starting: HashSet::new(),
            trainers: 0,
        }
    }

    /// Of a job whose state is kept there.
    pub(crate) fn of_job(spec: &JobSpec, state_dir: &Path, started_at: SystemTime) -> Self {
        let logs_dir = state_dir.join("jobs").join(&spec.job_id).join("logs");
        let attempts_max = spec.max_failures.saturating_add(spec.max_losses) - 1;
        Self::new(&spec.job_id, attempts_max, logs_dir, started_at)
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
        let last = report.values.rchunks_exact(report.names.len().max(1)).next();
        if let (Some(ranking), Some(task), Some(last)) = (&self.ranking, task, last)
            && let Some(at) = report.names.iter().position(|name| *name == ranking.metric)
        {
            self.tasks[task].score = Some(last[at]);
        }
        let Some(running) = task.and_then(|task| self.running(task)) else { return };
        if let Some(last) = last {
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
                    let task = &mut self.tasks[task];
                    task.state = State::after(next, Some(ending), at);
                    if let (Some(ranking), State::Ended(ended)) = (&self.ranking, &task.state) {
                        task.score = ranking.result(&ended.metrics).or(task.score);
                    }
                }
            }
            Record::Closed { next, .. } => {
                if let Some(task) = of_task {
                    self.tasks[task].state = State::after(next, None, at);
                }
            }
            Record::Requeued { .. } => {
                if let Some(task) = of_task {
                    self.tasks[task].state = State::Waiting;
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
        self.tasks.push(Task {
            task_id,
            max_epochs,
            attempts: 0,
            started_at: None,
            log: None,
            score: None,
            state,
        });
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

    /// Those that have said something of the metric the run is about, the best first.
    pub(crate) fn leaders(&self) -> Vec<&Task> {
        let Some(ranking) = &self.ranking else { return Vec::new() };
        let mut tasks: Vec<_> = self.tasks.iter().filter(|task| task.score.is_some()).collect();
        tasks.sort_by(|one, other| ranking.compare(one.score, other.score));
        tasks
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

#[cfg(test)]
mod tests;
