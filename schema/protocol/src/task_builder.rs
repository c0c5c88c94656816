//! Tasks from their fields.

mod head;

use bytes::Bytes;

use crate::limits::FRAME_ALIGNMENT_BYTES;
use crate::task::{COPIED_SIZE_BYTES_MAX, TaskError, VerifiedTask};

use head::Names;
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

    /// Unique in its job.
    pub fn task_id(&self) -> &str {
        &self.task_id
    }

    /// Of the task that [`build`](Self::build) makes.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn size_bytes(&self) -> Result<usize, TaskError> {
        self.names().check(self.max_epochs, self.head_size_bytes(), self.hyperparams.len())
    }

    /// The two parts of the task that [`build`](Self::build) makes, for whoever joins them elsewhere: what
    /// comes before the hyperparameters, and these. Hyperparameters of a gigabyte are copied once then.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn parts(&self) -> Result<(Vec<u8>, &[u8]), TaskError> {
        self.size_bytes()?;
        Ok((self.head(self.head_size_bytes(), self.hyperparams.len()), &self.hyperparams))
    }

    /// Lays the fields out as a FlatBuffer, the hyperparameters last and at a multiple of 8 bytes. Above 4 KiB
    /// these stay where they are.
    ///
    /// # Errors
    ///
    /// A name that is empty, too long or holds a NUL, a negative `max_epochs`, a task beyond
    /// [`TASK_SIZE_BYTES_MAX`](crate::limits::TASK_SIZE_BYTES_MAX).
    pub fn build(self) -> Result<VerifiedTask, TaskError> {
        let size_bytes = self.size_bytes()?;
        if self.hyperparams.len() > COPIED_SIZE_BYTES_MAX {
            let head = self.head(self.head_size_bytes(), 0);
            let mut hyperparams = self.hyperparams;
            // What waits takes what it is counted as.
            hyperparams.shrink_to_fit();
            return VerifiedTask::joined(head, hyperparams.into());
        }
        let mut task = self.head(size_bytes, self.hyperparams.len());
        task.extend_from_slice(&self.hyperparams);
        VerifiedTask::verify(Bytes::from(task))
    }

    /// With room for as many bytes.
    fn head(&self, capacity: usize, hyperparams_size_bytes: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(capacity);
        let names = self.names();
        names.put_head(&mut head, self.head_size_bytes(), self.max_epochs, hyperparams_size_bytes);
        head
    }

    fn head_size_bytes(&self) -> usize {
        self.names().head_size_bytes(FRAME_ALIGNMENT_BYTES)
    }

    fn names(&self) -> Names<'_> {
        Names { task_id: &self.task_id, model_name: &self.model_name }
    }
}

/// As in `training_task.fbs`.
pub const MAX_EPOCHS_DEFAULT: i32 = 10;
