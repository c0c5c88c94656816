//! Tasks from their fields.

mod head;

use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;

use crate::generated::{TrainingTask, TrainingTaskArgs};
use crate::limits::TASK_SIZE_BYTES_MAX;
use crate::task::{TaskError, VerifiedTask, check_fields};

pub use head::{TASK_HEAD_ALIGNMENT_BYTES, task_head};

/// Builds a [`VerifiedTask`].
///
/// ```
/// use trainwire_protocol::task_builder::TaskBuilder;
///
/// let task = TaskBuilder::new("lr-0.1", "sgd").hyperparams(b"\x81\xa2lr\xca\x3d\xcc\xcc\xcd").max_epochs(20).build()?;
/// assert_eq!(task.model_name(), "sgd");
/// # Ok::<(), trainwire_protocol::task::TaskError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TaskBuilder {
    task_id: String,
    model_name: String,
    hyperparams: Vec<u8>,
    max_epochs: i32,
}

impl TaskBuilder {
    /// A task without hyperparameters, of 10 epochs at most.
    pub fn new(task_id: impl Into<String>, model_name: impl Into<String>) -> Self {
        Self {
            task_id: task_id.into(),
            model_name: model_name.into(),
            hyperparams: Vec::new(),
            max_epochs: MAX_EPOCHS_DEFAULT,
        }
    }

    /// By convention msgpack, a map with text keys. Not looked into.
    pub fn hyperparams(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.hyperparams = bytes.into();
        self
    }

    /// How long to train at most. Default 10.
    pub fn max_epochs(mut self, max_epochs: i32) -> Self {
        self.max_epochs = max_epochs;
        self
    }

    /// Lays the fields out as a FlatBuffer.
    ///
    /// # Errors
    ///
    /// A name that is empty, too long or holds a NUL, a negative `max_epochs`, a task beyond
    /// [`TASK_SIZE_BYTES_MAX`]. Checked first: the generated code would panic.
    pub fn build(self) -> Result<VerifiedTask, TaskError> {
        check_fields(&self.task_id, &self.model_name, self.max_epochs)?;
        let parts = [self.task_id.len(), self.model_name.len(), self.hyperparams.len(), OVERHEAD_SIZE_BYTES];
        let size_bytes = parts.into_iter().fold(0, usize::saturating_add);
        if size_bytes > TASK_SIZE_BYTES_MAX {
            return Err(TaskError::TooLarge { size_bytes, limit_bytes: TASK_SIZE_BYTES_MAX });
        }
        // All of it at once: a builder that grows doubles, and copies what it has.
        let mut builder = FlatBufferBuilder::with_capacity(size_bytes);
        let args = TrainingTaskArgs {
            hyperparams: Some(builder.create_vector(&self.hyperparams)),
            model_name: Some(builder.create_string(&self.model_name)),
            task_id: Some(builder.create_string(&self.task_id)),
            max_epochs: self.max_epochs,
        };
        let root = TrainingTask::create(&mut builder, &args);
        builder.finish_minimal(root);
        let (buffer, start) = builder.collapse();
        VerifiedTask::verify(Bytes::from(buffer).slice(start..))
    }
}

/// As in `training_task.fbs`.
const MAX_EPOCHS_DEFAULT: i32 = 10;

/// Table, vtable, lengths, NULs and padding of a task come to less.
const OVERHEAD_SIZE_BYTES: usize = 96;
