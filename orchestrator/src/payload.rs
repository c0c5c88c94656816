//! The bytes of a task from its submission to its end, as they will travel.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use trainwire_protocol::message::Place;
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{SealedError, SealedPayload};

use crate::budget::Charge;
use crate::slab::JobSlab;

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
    /// In memory that the tasks of its job share.
    Slab {
        /// Read from `slab`, whose range is taken as long as there is a view of it.
        task: VerifiedTask,
        slab: Arc<JobSlab>,
        /// Of the first byte.
        offset: u64,
    },
}

impl Payload {
    /// Moves a task above the inline limit into its job's slab, where that has room, or else into sealed
    /// memory, unless it was produced in either, once: every delivery sends that. One below is not worth a
    /// descriptor.
    pub(crate) fn placed(
        self,
        inline_size_max: usize,
        slab: Option<&Arc<JobSlab>>,
    ) -> Result<Self, SealedError> {
        if self.size_bytes() <= inline_size_max as u64 {
            return Ok(Self::Inline(self.into_task()));
        }
        if !self.is_copied(inline_size_max, slab) {
            return Ok(self);
        }
        Self::joined(&self.pieces(), slab)
    }

    /// Copies the parts of a task's bytes, once, into its job's slab or memory of their own.
    pub(crate) fn joined(parts: &[&[u8]], slab: Option<&Arc<JobSlab>>) -> Result<Self, SealedError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let Some(mut buffer) = slab.and_then(|slab| slab.buffer(len)) else {
            return Self::sealed(parts);
        };
        let mut rest = buffer.as_mut_slice();
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        match buffer.finish() {
            Ok(payload) => Ok(payload),
            Err(_) => unreachable!("{VERIFIES}"),
        }
    }

    /// Whether [`placed`](Self::placed) copies it.
    pub(crate) fn is_copied(&self, inline_size_max: usize, job_slab: Option<&Arc<JobSlab>>) -> bool {
        self.size_bytes() > inline_size_max as u64
            && match self {
                Self::Inline(_) => true,
                Self::Sealed { .. } => false,
                // Another job's trainers do not have it.
                Self::Slab { slab, .. } => job_slab.is_none_or(|of_job| !Arc::ptr_eq(slab, of_job)),
            }
    }

    /// A copy for a trainer that is not to read a slab.
    pub(crate) fn sealed_copy(&self) -> Result<Self, SealedError> {
        Self::sealed(&self.pieces())
    }

    fn sealed(parts: &[&[u8]]) -> Result<Self, SealedError> {
        let memory = SealedPayload::from_parts(parts)?;
        // What is read from now on is what the trainer will read.
        let task = match VerifiedTask::verify(memory.map()?) {
            Ok(task) => task,
            Err(_) => unreachable!("{VERIFIES}"),
        };
        Ok(Self::Sealed { task, memory: Arc::new(memory) })
    }

    pub(crate) fn task(&self) -> &VerifiedTask {
        match self {
            Self::Inline(task) | Self::Sealed { task, .. } | Self::Slab { task, .. } => task,
        }
    }

    fn pieces(&self) -> [&[u8]; 2] {
        self.task().as_bytes().pieces().map(|piece| &**piece)
    }

    fn into_task(self) -> VerifiedTask {
        match self {
            Self::Inline(task) | Self::Sealed { task, .. } | Self::Slab { task, .. } => task,
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.task().as_bytes().len() as u64
    }

    /// What it takes of the budget until its task has ended. A slab is charged to its job.
    pub(crate) fn charge(&self) -> Charge {
        let (bytes, descriptors) = match self {
            Self::Inline(_) => (self.size_bytes(), 0),
            Self::Sealed { .. } => (self.size_bytes(), 1),
            Self::Slab { .. } => (0, 0),
        };
        Charge { tasks: 1, bytes, descriptors }
    }

    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Inline(_) => Place::Inline,
            Self::Sealed { .. } => Place::Descriptor,
            Self::Slab { slab, offset, .. } => Place::Slab { slab: slab.id(), offset: *offset },
        }
    }

    /// What travels instead of the bytes; of a slab once a connection.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Inline(_) => None,
            Self::Sealed { memory, .. } => Some(memory.as_fd()),
            Self::Slab { slab, .. } => Some(slab.as_fd()),
        }
    }
}

/// Of bytes that are joined.
const VERIFIES: &str = "they were verified before, or come from a builder";
