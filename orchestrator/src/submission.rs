//! What a scheduler hands in: a job and its tasks, built field by field.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use trainwire_protocol::id::{JobId, JobIdError};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::error::{BuildError, SubmitError};
use crate::job::JobSpec;

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

    /// Builds the tasks, and checks everything that can be known without the other jobs.
    pub(crate) fn check(self) -> Result<(JobId, JobSpec, Vec<VerifiedTask>), SubmitError> {
        let job_id = self.spec.validate()?;
        if self.tasks.is_empty() && !self.spec.open {
            return Err(SubmitError::NoTasks);
        }
        let mut seen = HashSet::with_capacity(self.tasks.len());
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            let task = task.build()?;
            if !seen.insert(task.task_id().to_owned()) {
                return Err(SubmitError::DuplicateTask { task_id: task.task_id().to_owned() });
            }
            tasks.push(task);
        }
        Ok((job_id, self.spec, tasks))
    }
}

/// A task to submit. Its bytes are fixed at the submission and reach the trainer unchanged.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrainingTask(Form);

#[derive(Clone, Debug)]
enum Form {
    Fields { task_id: String, model_name: String, hyperparams: Vec<u8>, max_epochs: i32 },
    Buffer(VerifiedTask),
}

impl TrainingTask {
    /// A task without hyperparameters, for 10 epochs.
    pub fn new(task_id: impl Into<String>, model_name: impl Into<String>) -> Self {
        Self(Form::Fields {
            task_id: task_id.into(),
            model_name: model_name.into(),
            hyperparams: Vec::new(),
            max_epochs: MAX_EPOCHS_DEFAULT,
        })
    }

    /// A `TrainingTask` FlatBuffer from any builder, in any language. It reaches the trainer byte for
    /// byte unless a setter of this type is called, which rebuilds it.
    ///
    /// # Errors
    /// The buffer does not verify.
    pub fn from_buffer(buffer: impl Into<Bytes>) -> Result<Self, BuildError> {
        Ok(Self(Form::Buffer(VerifiedTask::verify(buffer.into())?)))
    }

    /// The hyperparameters: a struct or map, encoded as msgpack with field names.
    ///
    /// # Errors
    /// The value cannot be serialized.
    pub fn params(self, params: &impl Serialize) -> Result<Self, BuildError> {
        Ok(self.hyperparams(rmp_serde::to_vec_named(params)?))
    }

    /// The hyperparameters as bytes, msgpack by convention.
    pub fn hyperparams(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.with(|_, _, hyperparams, _| *hyperparams = bytes.into())
    }

    /// The epochs the trainer's loop runs. Default 10.
    pub fn max_epochs(self, epochs: i32) -> Self {
        self.with(|_, _, _, max_epochs| *max_epochs = epochs)
    }

    fn with(self, change: impl FnOnce(&mut String, &mut String, &mut Vec<u8>, &mut i32)) -> Self {
        let (mut task_id, mut model_name, mut hyperparams, mut max_epochs) = match self.0 {
            Form::Fields { task_id, model_name, hyperparams, max_epochs } => {
                (task_id, model_name, hyperparams, max_epochs)
            }
            Form::Buffer(task) => (
                task.task_id().to_owned(),
                task.model_name().to_owned(),
                task.hyperparams().to_vec(),
                task.max_epochs(),
            ),
        };
        change(&mut task_id, &mut model_name, &mut hyperparams, &mut max_epochs);
        Self(Form::Fields { task_id, model_name, hyperparams, max_epochs })
    }

    fn build(self) -> Result<VerifiedTask, BuildError> {
        match self.0 {
            Form::Buffer(task) => Ok(task),
            Form::Fields { task_id, model_name, hyperparams, max_epochs } => {
                Ok(TaskBuilder::new(task_id, model_name)
                    .hyperparams(hyperparams)
                    .max_epochs(max_epochs)
                    .build()?)
            }
        }
    }
}

/// Of `training_task.fbs`.
const MAX_EPOCHS_DEFAULT: i32 = 10;
