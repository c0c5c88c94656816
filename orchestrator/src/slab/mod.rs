//! A job's slab: memory its large tasks share and use again, so that none of them costs fresh pages.
//!
//! ```text
//!   buffer(len) ──► SlabBuffer ──finish──► Bytes ──► the task, its deliveries' pins, …
//!   first gap       written here           views        └─ the last one is dropped: free again
//! ```
//!
//! Trainers map it read-only, once a connection. What keeps the bytes under their views from being
//! written is that [`Pins`] has a view of its own for each delivery; see there. Where a slab has no
//! room, or a trainer's end could not be told for certain because it was started by hand, tasks travel
//! in sealed memory of their own.

mod pins;
mod ranges;

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use trainwire_protocol::id::SlabId;
use trainwire_protocol::message;
use trainwire_protocol::task::{TaskError, VerifiedTask};
use trainwire_unix::{Slab, SlabError, SlabRange};

use crate::payload::Payload;
pub(crate) use pins::Pins;
use ranges::Ranges;

/// See the module.
#[derive(Debug)]
pub(crate) struct JobSlab {
    id: SlabId,
    memory: Slab,
    /// `None` once the job is over: nothing more is written, whoever looks at what.
    ranges: Mutex<Option<Ranges>>,
    fallbacks: AtomicU64,
}

/// How much of a job's slab is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlabUsage {
    /// All of it.
    pub size_bytes: u64,
    /// What tasks lie in, and what trainers may still look at.
    pub used_bytes: u64,
    /// Tasks that found no room and got memory of their own.
    pub fallbacks: u64,
}

/// A part of a slab that is being written. Freed when it is dropped.
#[derive(Debug)]
pub(crate) struct SlabBuffer {
    /// Dropped before `room`: what is free is not claimed.
    claim: SlabRange,
    room: Room,
}

/// Gives its range back.
#[derive(Debug)]
struct Room {
    slab: Arc<JobSlab>,
    range: Range<usize>,
}

impl JobSlab {
    /// Allocates all of it: running out of memory is an error here and nowhere else.
    pub(crate) fn allocate(size_bytes: u64) -> Result<Arc<Self>, SlabError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let size_bytes = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        let memory = Slab::allocate(size_bytes)?;
        Ok(Arc::new(Self {
            id: SlabId(NEXT.fetch_add(1, Ordering::Relaxed)),
            ranges: Mutex::new(Some(Ranges::new(memory.len()))),
            memory,
            fallbacks: AtomicU64::new(0),
        }))
    }

    /// Room for `len` bytes, which hold whatever was there before; `None` where there is none, which is
    /// counted.
    pub(crate) fn buffer(self: &Arc<Self>, len: usize) -> Option<SlabBuffer> {
        let buffer = self.take(len);
        if buffer.is_none() {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(slab = self.id.0, len, "a slab has no room for a task; it gets its own memory");
        }
        buffer
    }

    fn take(self: &Arc<Self>, len: usize) -> Option<SlabBuffer> {
        let range = self.ranges().as_mut()?.take(len)?;
        let offset = range.start;
        let room = Room { slab: Arc::clone(self), range };
        Some(SlabBuffer { claim: self.memory.claim(offset, len)?, room })
    }

    pub(crate) fn usage(&self) -> SlabUsage {
        let size_bytes = self.memory.len() as u64;
        let free_bytes = self.ranges().as_ref().map_or(size_bytes, |ranges| ranges.free_bytes() as u64);
        let fallbacks = self.fallbacks.load(Ordering::Relaxed);
        SlabUsage { size_bytes, used_bytes: size_bytes - free_bytes, fallbacks }
    }

    /// Nothing is written to it from now on, so that whoever looks at it may do so for ever.
    pub(crate) fn close(&self) {
        *self.ranges() = None;
    }

    pub(crate) fn id(&self) -> SlabId {
        self.id
    }

    /// As trainers are told of it.
    pub(crate) fn message(&self) -> message::Slab {
        message::Slab { slab: self.id, size: self.memory.len() as u64 }
    }

    fn ranges(&self) -> MutexGuard<'_, Option<Ranges>> {
        // Each change leaves it whole, but for an assertion about its callers.
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for JobSlab {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl SlabBuffer {
    /// The bytes, to be written in place.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.claim.as_mut_slice()
    }

    pub(crate) fn len(&self) -> usize {
        self.claim.len()
    }

    /// Ends writing. Free again when the last view is gone.
    ///
    /// # Errors
    /// What was written is no task.
    pub(crate) fn finish(self) -> Result<Payload, TaskError> {
        let (slab, offset) = (Arc::clone(&self.room.slab), self.claim.offset() as u64);
        let task = VerifiedTask::verify(Bytes::from_owner(self))?;
        Ok(Payload::Slab { task, slab, offset })
    }
}

impl AsRef<[u8]> for SlabBuffer {
    fn as_ref(&self) -> &[u8] {
        self.claim.as_ref()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(ranges) = self.slab.ranges().as_mut() {
            ranges.give_back(self.range.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_free_again_when_its_last_view_is_gone() {
        let slab = JobSlab::allocate(1 << 20).unwrap();
        let mut buffer = slab.buffer(600_000).unwrap();
        buffer.as_mut_slice().fill(7);
        assert!(slab.buffer(600_000).is_none());
        let used = SlabUsage { size_bytes: 1 << 20, used_bytes: 602_112, fallbacks: 1 };
        assert_eq!(slab.usage(), used);
        let bytes = Bytes::from_owner(buffer);
        let view = bytes.slice(599_999..);
        drop(bytes);
        assert_eq!(slab.usage(), used);
        assert_eq!(&view[..], [7]);
        drop(view);
        assert_eq!(slab.usage().used_bytes, 0);
        let again = slab.buffer(1 << 20).unwrap();
        assert_eq!((again.claim.offset(), again.as_ref()[0]), (0, 7), "used again as it is");
    }

    #[test]
    fn after_its_job_nothing_is_written() {
        let slab = JobSlab::allocate(1 << 20).unwrap();
        let held = slab.buffer(1).unwrap();
        slab.close();
        drop(held);
        assert!(slab.buffer(1).is_none());
        assert_eq!(slab.usage().used_bytes, 0);
    }
}
