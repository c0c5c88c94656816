//! A task to submit, built field by field, by somebody else, or in place.

use bytes::Bytes;
use serde::Serialize;
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::error::BuildError;
use crate::payload::Payload;

/// A task to submit. Its bytes are fixed at the submission and reach the trainer unchanged.
///
/// Hyperparameters that are large are best produced in a [`TaskBuffer`](crate::TaskBuffer), which costs
/// no copy at all; those given here are copied twice, into the task and into the memory it travels in.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrainingTask(Form);

#[derive(Clone, Debug)]
enum Form {
    Fields {
        task_id: String,
        model_name: String,
        hyperparams: Vec<u8>,
        max_epochs: i32,
    },
    /// Kept byte for byte.
    Built(Payload),
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
    /// byte unless a setter of this type is called, which rebuilds it on the heap.
    ///
    /// # Errors
    /// The buffer does not verify.
    pub fn from_buffer(buffer: impl Into<Bytes>) -> Result<Self, BuildError> {
        Ok(Self(Form::Built(Payload::Inline(VerifiedTask::verify(buffer.into())?))))
    }

    /// Of a [`TaskBuffer`](crate::TaskBuffer).
    pub(crate) fn produced(payload: Payload) -> Self {
        Self(Form::Built(payload))
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
            Form::Built(payload) => {
                let task = payload.task();
                let names = (task.task_id().to_owned(), task.model_name().to_owned());
                (names.0, names.1, task.hyperparams().to_vec(), task.max_epochs())
            }
        };
        change(&mut task_id, &mut model_name, &mut hyperparams, &mut max_epochs);
        Self(Form::Fields { task_id, model_name, hyperparams, max_epochs })
    }

    /// Its bytes, where they are.
    pub(crate) fn build(self) -> Result<Payload, BuildError> {
        match self.0 {
            Form::Built(payload) => Ok(payload),
            Form::Fields { task_id, model_name, hyperparams, max_epochs } => {
                let task = TaskBuilder::new(task_id, model_name).hyperparams(hyperparams);
                Ok(Payload::Inline(task.max_epochs(max_epochs).build()?))
            }
        }
    }
}

/// Of `training_task.fbs`.
pub(crate) const MAX_EPOCHS_DEFAULT: i32 = 10;
