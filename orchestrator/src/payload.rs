//! The bytes of a task from its submission to its end, as they will travel.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use trainwire_protocol::message::Place;
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{SealedError, SealedPayload};

use crate::budget::Charge;

/// A task's bytes. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    task: VerifiedTask,
    /// The same bytes in sealed memory, for tasks too large for a frame.
    memory: Option<Arc<SealedPayload>>,
}

impl Payload {
    /// Moves a task above the inline limit into sealed memory, once; every delivery sends that.
    pub(crate) fn new(task: VerifiedTask, inline_size_max: usize) -> Result<Self, SealedError> {
        if task.as_bytes().len() <= inline_size_max {
            return Ok(Self { task, memory: None });
        }
        let memory = SealedPayload::from_bytes(task.as_bytes())?;
        // The heap's copy goes; what is read from now on is what the trainer will read.
        let task = match VerifiedTask::verify(memory.map()?) {
            Ok(task) => task,
            Err(_) => unreachable!("the same bytes verified a moment ago"),
        };
        Ok(Self { task, memory: Some(Arc::new(memory)) })
    }

    pub(crate) fn task(&self) -> &VerifiedTask {
        &self.task
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.task.as_bytes().len() as u64
    }

    /// What it takes of the budget until its task has ended.
    pub(crate) fn charge(&self) -> Charge {
        Charge { tasks: 1, bytes: self.size_bytes(), descriptors: u64::from(self.memory.is_some()) }
    }

    pub(crate) fn place(&self) -> Place {
        if self.memory.is_some() { Place::Descriptor } else { Place::Inline }
    }

    /// What travels instead of the bytes.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.memory.as_ref().map(|memory| memory.as_fd())
    }
}
