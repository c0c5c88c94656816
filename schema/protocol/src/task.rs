//! The task, read in place. This is the one file of the crate with unsafe code.
#![allow(unsafe_code)]

mod bytes;

use std::fmt;

use ::bytes::Bytes;
use flatbuffers::{InvalidFlatbuffer, root_unchecked, root_with_opts};

use crate::error::Fault;
use crate::generated::TrainingTask;
use crate::limits::{STRING_SIZE_BYTES_MAX, TASK_SIZE_BYTES_MAX};
use crate::message::decode::verifier_options;

pub(crate) use bytes::COPIED_SIZE_BYTES_MAX;
pub use bytes::TaskBytes;

/// A `TrainingTask` whose bytes were verified and can never change: holding one is the proof.
///
/// Cloning shares the bytes. Whoever makes [`Bytes`] of memory that others can write (a mapping, say)
/// has to rule that out before they are verified; trainwire maps sealed files only.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedTask {
    /// Verified as a `TrainingTask` by [`verified`], in one piece, or the front of it with empty
    /// hyperparameters at its end, to which those behind it were added.
    bytes: TaskBytes,
}

/// Why bytes are not a task, or a task cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// More than FlatBuffers can address.
    #[error(
        "the task has {size_bytes} bytes, at most {limit_bytes} (2 GiB - 1) are possible; put large data into files and their paths into the hyperparameters"
    )]
    TooLarge {
        /// What it has, or would have.
        size_bytes: usize,
        /// [`TASK_SIZE_BYTES_MAX`].
        limit_bytes: usize,
    },
    /// Not a FlatBuffer with the root table `TrainingTask`, or one made to burn time.
    #[error("the bytes are not a TrainingTask FlatBuffer: {0}")]
    NotATask(#[source] InvalidFlatbuffer),
    /// A name is empty.
    #[error("{field} is empty")]
    Empty {
        /// `task_id` or `model_name`.
        field: &'static str,
    },
    /// A name is over its limit.
    #[error("{field} has {size_bytes} bytes, at most {limit_bytes} are allowed")]
    TooLong {
        /// `task_id` or `model_name`.
        field: &'static str,
        /// What it has.
        size_bytes: usize,
        /// [`STRING_SIZE_BYTES_MAX`].
        limit_bytes: usize,
    },
    /// A name holds a NUL, which ends it for everything written in C.
    #[error("{field} holds a NUL at byte {at}")]
    Nul {
        /// `task_id` or `model_name`.
        field: &'static str,
        /// Where.
        at: usize,
    },
    /// Fewer than no epochs.
    #[error("max_epochs is {max_epochs}, it cannot be negative")]
    NegativeEpochs {
        /// What it is.
        max_epochs: i32,
    },
}

impl VerifiedTask {
    /// Verifies bytes, whoever made them, with or without a file identifier. Takes about as long for a
    /// gigabyte as for a hundred bytes, because hyperparameters are not looked into.
    ///
    /// # Errors
    ///
    /// See [`TaskError`].
    pub fn verify(bytes: Bytes) -> Result<Self, TaskError> {
        verified(&bytes)?;
        Ok(Self { bytes: bytes.into() })
    }

    /// Adds hyperparameters to a task that has none yet, without copying them. Its buffer has to end with the
    /// length of its empty ones.
    ///
    /// # Errors
    ///
    /// See [`TaskError`].
    ///
    /// # Panics
    ///
    /// If something else is at its end.
    pub(crate) fn joined(mut head: Vec<u8>, hyperparams: Bytes) -> Result<Self, TaskError> {
        let size_bytes = head.len().saturating_add(hyperparams.len());
        if size_bytes > TASK_SIZE_BYTES_MAX {
            return Err(TaskError::TooLarge { size_bytes, limit_bytes: TASK_SIZE_BYTES_MAX });
        }
        let none_yet = verified(&head)?.hyperparams().map(|none| none.bytes().as_ptr_range());
        let end = head.as_ptr_range().end;
        assert!(none_yet == Some(end..end), "the head does not end with the length of its hyperparameters");
        let (_, length) = head.split_last_chunk_mut::<4>().expect("a task is longer");
        // Below TASK_SIZE_BYTES_MAX, so the lower half is all of it.
        length.copy_from_slice(&hyperparams.len().to_le_bytes()[..4]);
        Ok(Self { bytes: TaskBytes::joined(head.into(), hyperparams) })
    }

    /// Unique in its job; 1 to 4,096 bytes without NUL.
    pub fn task_id(&self) -> &str {
        self.root().task_id()
    }

    /// What to train; 1 to 4,096 bytes without NUL.
    pub fn model_name(&self) -> &str {
        self.root().model_name()
    }

    /// By convention msgpack, a map with text keys. Empty if absent.
    pub fn hyperparams(&self) -> &[u8] {
        match self.bytes.behind() {
            Some(behind) => behind,
            None => self.root().hyperparams().map(|bytes| bytes.bytes()).unwrap_or_default(),
        }
    }

    /// [`hyperparams`](Self::hyperparams), sharing the task's memory and keeping it alive.
    pub fn hyperparams_bytes(&self) -> Bytes {
        match self.bytes.behind() {
            Some(behind) => behind.clone(),
            None => self.bytes.front().slice_ref(self.hyperparams()),
        }
    }

    /// How long to train at most; 10 if absent.
    pub fn max_epochs(&self) -> i32 {
        self.root().max_epochs()
    }

    /// The whole buffer, as it was submitted.
    pub fn as_bytes(&self) -> &TaskBytes {
        &self.bytes
    }

    /// Its hyperparameters are not to be read if they lie behind the front.
    fn root(&self) -> TrainingTask<'_> {
        // SAFETY: `verified` ran the verifier for this very table over these very bytes, no other place
        // makes a VerifiedTask, and `Bytes` never change. `joined` has changed the length of hyperparameters
        // since, which are not read here then.
        unsafe { root_unchecked::<TrainingTask<'_>>(self.bytes.front()) }
    }
}

impl fmt::Debug for VerifiedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTask")
            .field("task_id", &self.task_id())
            .field("model_name", &self.model_name())
            .field("hyperparams_size_bytes", &self.hyperparams().len())
            .field("max_epochs", &self.max_epochs())
            .finish()
    }
}

impl TaskError {
    /// Stable, for programs. Codes are never renamed; new ones are only added.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "task_too_large",
            Self::NotATask(_) => "bad_task",
            Self::Empty { .. } => "task_field_empty",
            Self::TooLong { .. } => "task_field_too_long",
            Self::Nul { .. } => "task_field_nul",
            Self::NegativeEpochs { .. } => "bad_max_epochs",
        }
    }

    /// Always the caller's: of whoever built or submitted the task.
    pub fn fault(&self) -> Fault {
        Fault::Caller
    }
}

/// The only way to a [`VerifiedTask`].
fn verified(bytes: &[u8]) -> Result<TrainingTask<'_>, TaskError> {
    if bytes.len() > TASK_SIZE_BYTES_MAX {
        return Err(TaskError::TooLarge { size_bytes: bytes.len(), limit_bytes: TASK_SIZE_BYTES_MAX });
    }
    let task = root_with_opts::<TrainingTask<'_>>(&verifier_options(bytes.len()), bytes)
        .map_err(TaskError::NotATask)?;
    check_fields(task.task_id(), task.model_name(), task.max_epochs())?;
    Ok(task)
}

/// What a task's fields have to be, whether it is read or built.
pub(crate) fn check_fields(task_id: &str, model_name: &str, max_epochs: i32) -> Result<(), TaskError> {
    check_name("task_id", task_id)?;
    check_name("model_name", model_name)?;
    if max_epochs < 0 {
        return Err(TaskError::NegativeEpochs { max_epochs });
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str) -> Result<(), TaskError> {
    if name.is_empty() {
        return Err(TaskError::Empty { field });
    }
    if name.len() > STRING_SIZE_BYTES_MAX {
        return Err(TaskError::TooLong { field, size_bytes: name.len(), limit_bytes: STRING_SIZE_BYTES_MAX });
    }
    match name.bytes().position(|byte| byte == 0) {
        Some(at) => Err(TaskError::Nul { field, at }),
        None => Ok(()),
    }
}
