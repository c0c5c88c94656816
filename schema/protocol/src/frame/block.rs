//! The memory a reader fills. A block that tasks still look into is left to them; one that nobody
//! looks into any more is filled again.

use std::sync::Arc;

use bytes::Bytes;

/// Blocks of one reader.
#[derive(Debug, Default)]
pub(super) struct BlockPool {
    /// At most [`POOLED_BLOCKS_MAX`], each either idle or kept by tasks.
    blocks: Vec<Arc<Block>>,
    allocated: u64,
}

/// Bytes of a socket; initialised from the start, so that reading into them needs no unsafe code.
pub(super) type Block = [u8];

/// A new one.
pub(super) fn zeroed(size_bytes: usize) -> Arc<Block> {
    std::iter::repeat_n(0, size_bytes).collect()
}

impl BlockPool {
    /// A block of at least this size that nobody looks into.
    pub(super) fn take(&mut self, size_bytes: usize) -> Arc<Block> {
        let idle = self
            .blocks
            .iter_mut()
            .position(|block| block.len() >= size_bytes && Arc::get_mut(block).is_some());
        match idle {
            Some(at) => self.blocks.swap_remove(at),
            None => {
                self.allocated += 1;
                zeroed(size_bytes)
            }
        }
    }

    /// Keeps a block until its tasks are gone, at the cost of the block kept longest. That one is
    /// freed by its last task.
    pub(super) fn put(&mut self, block: Arc<Block>) {
        if self.blocks.len() == POOLED_BLOCKS_MAX {
            self.blocks.remove(0);
        }
        self.blocks.push(block);
    }

    /// Forgets blocks smaller than this: the reader needs larger ones now.
    pub(super) fn outgrow(&mut self, size_bytes: usize) {
        self.blocks.retain(|block| block.len() >= size_bytes);
    }

    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }
}

/// A part of a block as [`Bytes`]: shared, unless that would keep a block alive many times its size.
pub(super) fn part_of(block: &Arc<Block>, start: usize, end: usize) -> Option<Bytes> {
    let part = block.get(start..end)?;
    if part.len() < block.len() / SHARED_FRACTION {
        return Some(Bytes::copy_from_slice(part));
    }
    Some(Bytes::from_owner(Part { block: Arc::clone(block), start, end }))
}

/// `start <= end <= block.len()`
struct Part {
    block: Arc<Block>,
    start: usize,
    end: usize,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }
}

/// Enough for a trainer that works on one task, has one queued and looks back at a few.
const POOLED_BLOCKS_MAX: usize = 8;

/// A task keeps at most this many times its own size alive. Smaller parts are copied, which at these
/// sizes costs no more than the bookkeeping of sharing.
const SHARED_FRACTION: usize = 8;
