//! The bytes of a task from its submission to its end, as they will travel.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use trainwire_protocol::message::Place;
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{SealedError, SealedPayload};

use crate::budget::Charge;

/// A task's bytes. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// In this process's memory; they travel through the socket.
    Inline(VerifiedTask),
    /// Where every trainer reads them too.
    Sealed {
        /// Read from `memory`.
        task: VerifiedTask,
        memory: Arc<SealedPayload>,
    },
}

impl Payload {
    /// Of a task on the heap.
    #[cfg(test)]
    pub(crate) fn new(task: VerifiedTask, inline_size_max: usize) -> Result<Self, SealedError> {
        Self::Inline(task).placed(inline_size_max)
    }

    /// Moves a task above the inline limit into sealed memory unless it was produced there, once: every
    /// delivery sends that. One below is not worth a descriptor.
    pub(crate) fn placed(self, inline_size_max: usize) -> Result<Self, SealedError> {
        match self {
            Self::Inline(task) if task.as_bytes().len() > inline_size_max => {
                let memory = SealedPayload::from_bytes(task.as_bytes())?;
                // The heap's copy goes; what is read from now on is what the trainer will read.
                let task = match VerifiedTask::verify(memory.map()?) {
                    Ok(task) => task,
                    Err(_) => unreachable!("the same bytes verified a moment ago"),
                };
                Ok(Self::Sealed { task, memory: Arc::new(memory) })
            }
            Self::Sealed { task, .. } if task.as_bytes().len() <= inline_size_max => Ok(Self::Inline(task)),
            placed => Ok(placed),
        }
    }

    /// Whether [`placed`](Self::placed) copies it.
    pub(crate) fn is_copied(&self, inline_size_max: usize) -> bool {
        matches!(self, Self::Inline(task) if task.as_bytes().len() > inline_size_max)
    }

    pub(crate) fn task(&self) -> &VerifiedTask {
        match self {
            Self::Inline(task) | Self::Sealed { task, .. } => task,
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.task().as_bytes().len() as u64
    }

    /// What it takes of the budget until its task has ended.
    pub(crate) fn charge(&self) -> Charge {
        let descriptors = u64::from(matches!(self, Self::Sealed { .. }));
        Charge { tasks: 1, bytes: self.size_bytes(), descriptors }
    }

    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Inline(_) => Place::Inline,
            Self::Sealed { .. } => Place::Descriptor,
        }
    }

    /// What travels instead of the bytes.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Inline(_) => None,
            Self::Sealed { memory, .. } => Some(memory.as_fd()),
        }
    }
}
