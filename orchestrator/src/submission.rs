//! What a scheduler hands in: a job and its tasks, built field by field.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use trainwire_protocol::id::{JobId, JobIdError};

use crate::error::SubmitError;
use crate::job::{Durability, JobSpec};
use crate::training_task::{CheckedTask, TrainingTask};

/// A job to submit: a command, its limits and its tasks.
///
/// ```
/// # use trainwire::{Job, TrainingTask};
/// # #[derive(serde::Serialize)] struct Params { lr: f64 }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let job = Job::new("digits")?
///     .command(["python", "examples/digits.py"])
///     .trainers(2)
///     .task(TrainingTask::new("lr-0.1", "sgd").params(&Params { lr: 0.1 })?.max_epochs(20));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Job {
    /// Command and limits; every field can be set directly too.
    pub spec: JobSpec,
    /// In the order in which they are started.
    pub tasks: Vec<TrainingTask>,
}

impl Job {
    /// A job with the default limits and neither command nor tasks.
    ///
    /// # Errors
    /// The id does not match `[A-Za-z0-9]+([._-][A-Za-z0-9]+)*` or has more than 76 bytes.
    pub fn new(job_id: &str) -> Result<Self, JobIdError> {
        let job_id = JobId::new(job_id)?;
        Ok(Self::from_spec(JobSpec { job_id: job_id.as_str().to_owned(), ..JobSpec::default() }))
    }

    /// A job with these limits; its id is checked at the submission.
    pub fn from_spec(spec: JobSpec) -> Self {
        Self { spec, tasks: Vec::new() }
    }

    /// The program that trains, and its arguments.
    pub fn command(mut self, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.spec.command = command.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a variable of the trainers' environment, which is otherwise the orchestrator's own.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.environment.insert(name.into(), value.into());
        self
    }

    /// See [`JobSpec::working_dir`].
    pub fn working_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.spec.working_dir = Some(path.into());
        self
    }

    /// See [`JobSpec::trainers`].
    pub fn trainers(mut self, count: u32) -> Self {
        self.spec.trainers = count;
        self
    }

    /// See [`JobSpec::window`].
    pub fn window(mut self, deliveries: u32) -> Self {
        self.spec.window = deliveries;
        self
    }

    /// See [`JobSpec::poll_us`].
    pub fn poll_us(mut self, microseconds: u32) -> Self {
        self.spec.poll_us = microseconds;
        self
    }

    /// See [`JobSpec::script`].
    pub fn script(mut self, script: bool) -> Self {
        self.spec.script = script;
        self
    }

    /// See [`JobSpec::attach`].
    pub fn attach(mut self, attach: bool) -> Self {
        self.spec.attach = attach;
        self
    }

    /// See [`JobSpec::open`]. Such a job may begin without tasks.
    pub fn open(mut self) -> Self {
        self.spec.open = true;
        self
    }

    /// See [`JobSpec::slab`].
    pub fn slab(mut self, size_bytes: u64) -> Self {
        self.spec.slab = Some(size_bytes);
        self
    }

    /// See [`JobSpec::gpus`].
    pub fn gpus(mut self, count: u32) -> Self {
        self.spec.gpus = count;
        self
    }

    /// See [`JobSpec::slots`].
    pub fn slots(mut self, count: u32) -> Self {
        self.spec.slots = count;
        self
    }

    /// See [`JobSpec::max_failures`].
    pub fn max_failures(mut self, count: u32) -> Self {
        self.spec.max_failures = count;
        self
    }

    /// See [`JobSpec::max_losses`].
    pub fn max_losses(mut self, count: u32) -> Self {
        self.spec.max_losses = count;
        self
    }

    /// See [`JobSpec::recv_timeout`].
    pub fn recv_timeout(mut self, timeout: Duration) -> Self {
        self.spec.recv_timeout = timeout;
        self
    }

    /// See [`JobSpec::start_timeout`].
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.spec.start_timeout = timeout;
        self
    }

    /// See [`JobSpec::stall_timeout`].
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.spec.stall_timeout = Some(timeout);
        self
    }

    /// See [`JobSpec::lost_timeout`].
    pub fn lost_timeout(mut self, timeout: Duration) -> Self {
        self.spec.lost_timeout = timeout;
        self
    }

    /// See [`JobSpec::stop_grace`].
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.spec.stop_grace = grace;
        self
    }

    /// See [`JobSpec::durability`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.spec.durability = durability;
        self
    }

    /// Adds a task.
    pub fn task(mut self, task: TrainingTask) -> Self {
        self.tasks.push(task);
        self
    }

    /// Adds tasks.
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = TrainingTask>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// Checks everything that can be known without the other jobs.
    pub(crate) fn check(self) -> Result<(JobId, JobSpec, Vec<CheckedTask>), SubmitError> {
        let job_id = self.spec.validate()?;
        if self.tasks.is_empty() && !self.spec.open {
            return Err(SubmitError::NoTasks);
        }
        Ok((job_id, self.spec, check_all(self.tasks)?))
    }
}

/// Checks tasks that are submitted together.
pub(crate) fn check_all(
    tasks: impl IntoIterator<Item = TrainingTask>,
) -> Result<Vec<CheckedTask>, SubmitError> {
    let tasks = tasks.into_iter().map(TrainingTask::check).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::with_capacity(tasks.len());
    match tasks.iter().map(CheckedTask::task_id).find(|task_id| !seen.insert(*task_id)) {
        Some(task_id) => Err(SubmitError::DuplicateTask { task_id: task_id.to_owned() }),
        None => Ok(tasks),
    }
}
