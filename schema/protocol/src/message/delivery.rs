//! What a trainer is given, and told of it.

use std::time::Duration;

use crate::id::{Delivery, SlabId};
use crate::limits::SLAB_ALIGNMENT_BYTES;

/// See [`ToTrainer::Slab`](super::ToTrainer::Slab).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slab {
    /// Which.
    pub slab: SlabId,
    /// All of it, in bytes.
    pub size: u64,
}

impl Slab {
    /// Whether a task of `size` bytes may be at `offset` of the slab `slab`.
    pub fn holds(&self, slab: SlabId, offset: u64, size: u64) -> bool {
        slab == self.slab
            && offset.is_multiple_of(SLAB_ALIGNMENT_BYTES)
            && offset.checked_add(size).is_some_and(|end| end <= self.size)
    }
}

/// See [`ToTrainer::Deliver`](super::ToTrainer::Deliver).
#[derive(Clone, Debug, PartialEq)]
pub struct Deliver {
    /// Fences everything that comes back.
    pub delivery: Delivery,
    /// 1, 2, …: what people see.
    pub attempt: u32,
    /// The task's size in bytes, wherever it is.
    pub task_size: u64,
    /// Where the task is.
    pub place: Place,
    /// The task's folder, kept across attempts.
    pub work: Option<String>,
    /// The newest stored checkpoint of earlier attempts.
    pub last_checkpoint: Option<CheckpointRef>,
    /// W3C trace context of the submitter.
    pub traceparent: Option<String>,
    /// Time this attempt has; `None` for no limit.
    pub time_left: Option<Duration>,
}

impl Deliver {
    /// A first attempt, of which nothing else is to be said.
    pub fn new(delivery: Delivery, task_size: u64, place: Place) -> Self {
        Self {
            delivery,
            attempt: 1,
            task_size,
            place,
            work: None,
            last_checkpoint: None,
            traceparent: None,
            time_left: None,
        }
    }
}

/// Where the bytes of a delivered task are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the frame, after the meta part.
    Inline,
    /// In a sealed memory file, whose descriptor comes with the frame.
    Descriptor,
    /// In a slab the trainer has, until the trainer releases the delivery.
    Slab {
        /// The one sent last on this connection.
        slab: SlabId,
        /// The task's first byte in it, a multiple of 8.
        offset: u64,
    },
}

/// A checkpoint, as a later attempt is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRef {
    /// File or folder.
    pub path: String,
    /// The optimizer step it was taken at.
    pub step: Option<i64>,
    /// The epoch it was taken at.
    pub epoch: Option<f64>,
}

/// See [`ToTrainer::Stop`](super::ToTrainer::Stop).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// This delivery and no other.
    pub delivery: Delivery,
    /// E.g. `cancelled`, `stalled`, `interrupted`, [`MOVED`].
    pub reason: String,
    /// Until the process is signalled.
    pub time_left: Duration,
    /// Whether a checkpoint is worth the time.
    pub want_checkpoint: bool,
    /// Whether to write the stacks of all threads to the log first.
    pub dump_stacks: bool,
}

/// The reason of a Stop that is for a delivery which waits, and nothing to one that runs; and the code it is then
/// returned with.
pub const MOVED: &str = "moved";
