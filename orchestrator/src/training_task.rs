//! A task to submit, given field by field, built by somebody else, or produced in place.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::discard::discard_after_delivery;
use crate::error::{BuildError, SubmitError};
use crate::payload::Payload;
use crate::slab::JobSlab;

/// A task to submit. Its bytes are fixed at the submission and reach the trainer unchanged.
///
/// Hyperparameters that are large are best produced in a [`TaskBuffer`](crate::TaskBuffer), which costs
/// no copy at all; those given here are copied once, into the memory the task travels in.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrainingTask(Form);

#[derive(Clone, Debug)]
enum Form {
    /// Not laid out yet: where, depends on the job.
    Fields(TaskBuilder),
    /// Kept byte for byte.
    Built(Payload),
}

impl TrainingTask {
    /// A task without hyperparameters, for 10 epochs.
    pub fn new(task_id: impl Into<String>, model_name: impl Into<String>) -> Self {
        Self(Form::Fields(TaskBuilder::new(task_id, model_name)))
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
        Self(Form::Fields(self.into_fields().hyperparams(bytes)))
    }

    /// The epochs the trainer's loop runs. Default 10.
    pub fn max_epochs(self, epochs: i32) -> Self {
        Self(Form::Fields(self.into_fields().max_epochs(epochs)))
    }

    fn into_fields(self) -> TaskBuilder {
        match self.0 {
            Form::Fields(fields) => fields,
            Form::Built(payload) => {
                let task = payload.task();
                TaskBuilder::new(task.task_id(), task.model_name())
                    .hyperparams(task.hyperparams())
                    .max_epochs(task.max_epochs())
            }
        }
    }

    /// Checks what a task has to be, once.
    ///
    /// # Errors
    /// There can be no such task.
    pub(crate) fn check(self) -> Result<CheckedTask, BuildError> {
        let size_bytes = match &self.0 {
            Form::Fields(fields) => fields.size_bytes()? as u64,
            Form::Built(payload) => payload.size_bytes(),
        };
        Ok(CheckedTask { form: self.0, size_bytes })
    }
}

/// A task that can be, on its way in.
#[derive(Debug)]
pub(crate) struct CheckedTask {
    form: Form,
    /// Of its buffer.
    size_bytes: u64,
}

impl CheckedTask {
    pub(crate) fn task_id(&self) -> &str {
        match &self.form {
            Form::Fields(fields) => fields.task_id(),
            Form::Built(payload) => payload.task().task_id(),
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether it lies in a slab, which is charged to its job.
    pub(crate) fn is_in_slab(&self) -> bool {
        matches!(&self.form, Form::Built(Payload::Slab { .. }))
    }

    /// Whether [`place`](Self::place) copies more than a socket takes.
    pub(crate) fn is_copied(&self, inline_size_max: usize, slab: Option<&Arc<JobSlab>>) -> bool {
        match &self.form {
            Form::Fields(_) => self.size_bytes > inline_size_max as u64,
            Form::Built(payload) => payload.is_copied(inline_size_max, slab),
        }
    }

    /// Its bytes, where they will travel from.
    pub(crate) fn place(
        self,
        inline_size_max: usize,
        slab: Option<&Arc<JobSlab>>,
    ) -> Result<Payload, SubmitError> {
        let fields = match self.form {
            Form::Fields(fields) => fields,
            Form::Built(payload) => return Ok(payload.placed(inline_size_max, slab)?),
        };
        if self.size_bytes <= inline_size_max as u64 {
            return Ok(Payload::Inline(fields.build().map_err(BuildError::from)?));
        }
        let (head, hyperparams) = fields.parts().map_err(BuildError::from)?;
        let payload = Payload::joined(&[&head, hyperparams], slab)?;
        if hyperparams.len() >= DISCARDED_SIZE_BYTES_MIN {
            // The trainer need not wait until the kernel has its pages back.
            discard_after_delivery(fields);
        }
        Ok(payload)
    }
}

/// Below this, freeing is quicker than another thread.
const DISCARDED_SIZE_BYTES_MIN: usize = 1 << 20;
