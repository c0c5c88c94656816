//! Receive buffers that are used again.
//!
//! Touching fresh pages costs more than copying into them, and malloc gives large blocks back to the
//! kernel at once. So a buffer that leaves as [`Bytes`] comes home when the last view of it is
//! dropped, on whatever thread that happens.
//!
//! Nothing here ever waits: when another thread holds the list, or held it at the moment this
//! process was forked, a buffer is allocated or freed instead of recycled.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use bytes::Bytes;

/// Buffers of one size. Cheap to clone; clones share the buffers.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    buffer_size_bytes: usize,
    idle_max: usize,
    /// `idle.len() <= idle_max`, each of `buffer_size_bytes`.
    idle: Mutex<Vec<Block>>,
    allocated: AtomicU64,
    recycled: AtomicU64,
}

impl BufferPool {
    /// Makes an empty pool that keeps at most `idle_max` unused buffers of `buffer_size_bytes`
    /// each. Buffers in use are not counted: bounding those is their users' business.
    pub fn new(buffer_size_bytes: usize, idle_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                buffer_size_bytes,
                idle_max,
                idle: Mutex::new(Vec::with_capacity(idle_max)),
                allocated: AtomicU64::new(0),
                recycled: AtomicU64::new(0),
            }),
        }
    }

    /// Gives a buffer: a used one, with its old bytes still in it, or a new one.
    pub fn take(&self) -> PooledBuffer {
        let recycled = self.shared.idle().and_then(|mut idle| idle.pop());
        let counter = if recycled.is_some() { &self.shared.recycled } else { &self.shared.allocated };
        counter.fetch_add(1, Ordering::Relaxed);
        let block = recycled.unwrap_or_else(|| Block::new(self.shared.buffer_size_bytes));
        PooledBuffer { block, shared: Arc::clone(&self.shared) }
    }

    /// Bytes each buffer holds.
    pub fn buffer_size_bytes(&self) -> usize {
        self.shared.buffer_size_bytes
    }

    /// How often [`take`](Self::take) allocated, and how often it did not have to.
    pub fn counts(&self) -> PoolCounts {
        PoolCounts {
            allocated: self.shared.allocated.load(Ordering::Relaxed),
            recycled: self.shared.recycled.load(Ordering::Relaxed),
        }
    }
}

/// See [`BufferPool::counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolCounts {
    /// Buffers allocated.
    pub allocated: u64,
    /// Buffers used again.
    pub recycled: u64,
}

/// A buffer whose first byte is 8-aligned, as FlatBuffers want it. It goes back to its pool when it,
/// or the last view of the [`Bytes`] made of it, is dropped.
pub struct PooledBuffer {
    block: Block,
    shared: Arc<Shared>,
}

impl PooledBuffer {
    /// All bytes, to be received into.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.block.as_mut_slice()
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.block.as_slice()
    }

    /// Makes the buffer immutable and shareable, without copying. Slice the result to what was
    /// received.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsMut<[u8]> for PooledBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PooledBuffer").field("len", &self.as_slice().len()).finish_non_exhaustive()
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        if let Some(mut idle) = self.shared.idle()
            && idle.len() < self.shared.idle_max
        {
            idle.push(block);
        }
    }
}

impl Shared {
    fn idle(&self) -> Option<MutexGuard<'_, Vec<Block>>> {
        match self.idle.try_lock() {
            Ok(idle) => Some(idle),
            // A push or a pop leaves the list whole even if it panics.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// 8-aligned bytes inside an allocation that is up to 7 bytes longer.
#[derive(Debug, Default)]
struct Block {
    memory: Box<[u8]>,
    /// `memory.as_ptr() + start` is 8-aligned; a box's memory never moves.
    start: usize,
    len: usize,
}

impl Block {
    fn new(len: usize) -> Self {
        let memory = vec![0; len + (ALIGNMENT_BYTES - 1)].into_boxed_slice();
        let start = memory.as_ptr().addr().wrapping_neg() % ALIGNMENT_BYTES;
        Self { memory, start, len }
    }

    fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// The widest scalar in a FlatBuffer.
const ALIGNMENT_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_home_when_its_last_view_dies() {
        let pool = BufferPool::new(64, 4);
        let mut buffer = pool.take();
        buffer.as_mut_slice()[..5].copy_from_slice(b"hello");
        let whole = buffer.freeze();
        let view = whole.slice(1..4);
        drop(whole);
        drop(pool.take());
        assert_eq!(pool.counts(), PoolCounts { allocated: 2, recycled: 0 });
        assert_eq!(&view[..], b"ell");
        drop(view);
        let (first, second) = (pool.take(), pool.take());
        assert_eq!(pool.counts(), PoolCounts { allocated: 2, recycled: 2 });
        drop((first, second));
    }

    #[test]
    fn one_buffer_serves_many_messages() {
        let pool = BufferPool::new(4096, 1);
        for round in 0..1_000_u32 {
            let mut buffer = pool.take();
            buffer.as_mut_slice()[..4].copy_from_slice(&round.to_le_bytes());
            assert_eq!(&buffer.freeze()[..4], round.to_le_bytes());
        }
        assert_eq!(pool.counts(), PoolCounts { allocated: 1, recycled: 999 });
    }

    #[test]
    fn no_more_than_the_bound_stays_idle() {
        let pool = BufferPool::new(16, 2);
        let taken: Vec<_> = (0..5).map(|_| pool.take()).collect();
        drop(taken);
        let taken: Vec<_> = (0..5).map(|_| pool.take()).collect();
        assert_eq!(pool.counts(), PoolCounts { allocated: 8, recycled: 2 });
        drop(taken);
    }

    #[test]
    fn every_size_is_aligned_and_exact() {
        for size in [0, 1, 7, 8, 9, 63, 65, 4096, 65_537] {
            let mut buffer = BufferPool::new(size, 1).take();
            assert_eq!(buffer.as_slice().len(), size);
            assert_eq!(buffer.as_mut_slice().as_ptr().addr() % ALIGNMENT_BYTES, 0);
        }
    }

    #[test]
    fn views_outlive_the_pool_and_die_on_other_threads() {
        let pool = BufferPool::new(32, 1);
        let view = pool.take().freeze();
        std::thread::spawn({
            let view = view.clone();
            move || drop(view)
        })
        .join()
        .unwrap();
        drop(pool);
        assert_eq!(&view[..], [0; 32]);
    }

    #[test]
    fn a_list_held_elsewhere_is_never_waited_for() {
        let pool = BufferPool::new(32, 4);
        let buffer = pool.take();
        let held = pool.shared.idle.lock().unwrap();
        drop(buffer);
        let another = pool.take();
        drop(held);
        assert_eq!(pool.counts(), PoolCounts { allocated: 2, recycled: 0 });
        drop(another);
    }
}
