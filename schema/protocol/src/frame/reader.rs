//! Bytes in, frames out.

use std::sync::Arc;

use bytes::Bytes;

use super::block::{self, Block, BlockPool};
use super::header::{Header, Kind, padded};
use crate::error::ProtocolError;
use crate::limits::{
    FRAME_HEADER_SIZE_BYTES, FRAME_SIZE_BYTES_MAX, INLINE_TASK_SIZE_BYTES_DEFAULT,
    INLINE_TASK_SIZE_BYTES_MAX, META_SIZE_BYTES_MAX,
};
use crate::message::{FromTrainer, Place, ToTrainer, decode};

/// Cuts the bytes of one connection into frames, in memory it keeps and fills again.
///
/// ```text
///              parsed              filled
///  ┌───────────┬───────────────────┬────────────┐
///  │ given out │ received          │ spare      │  the block that is being filled
///  └───────────┴───────────────────┴────────────┘
/// ```
///
/// Read into [`spare`](Self::spare), say how much came with [`advance`](Self::advance), take frames
/// with [`next`](Self::next) until it gives `None`.
#[derive(Debug)]
pub struct FrameReader {
    inline_task_size_bytes_max: usize,
    block: Arc<Block>,
    /// Start of the first frame not given out. `parsed <= filled`, a multiple of 8.
    parsed: usize,
    /// End of what was received. `filled <= block.len()`
    filled: usize,
    /// The size of the next block. `BLOCK_SIZE_BYTES_MIN <= block_size_bytes`
    block_size_bytes: usize,
    /// Made when it first needs a block of its own: one that always borrows needs none.
    pool: Option<Box<BlockPool>>,
    /// The first error, given again and again: a stream is never searched for the next frame.
    error: Option<Box<ProtocolError>>,
}

/// What a reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// The largest task inside a frame, in bytes; 0 at the end that receives none. Values above
    /// [`INLINE_TASK_SIZE_BYTES_MAX`] count as that. Default [`INLINE_TASK_SIZE_BYTES_DEFAULT`].
    pub inline_task_size_bytes_max: usize,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self { inline_task_size_bytes_max: INLINE_TASK_SIZE_BYTES_DEFAULT }
    }
}

/// Memory that the readers of many connections fill in turn, so that a connection with nothing under
/// way holds none: see [`FrameReader::borrow_block`].
#[derive(Debug)]
pub struct SharedBlock(Arc<Block>);

impl Default for SharedBlock {
    fn default() -> Self {
        Self(block::zeroed(SHARED_BLOCK_SIZE_BYTES))
    }
}

/// One whole frame, still in the reader's memory. Its header is checked, its meta part is not.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Which message.
    pub kind: Kind,
    /// Whether a descriptor belongs to it.
    pub descriptor: bool,
    /// A FlatBuffer and its padding, if the sender is honest.
    pub meta: &'a [u8],
    block: &'a Arc<Block>,
    /// What follows the meta part. `task_start <= end <= block.len()`; equal but in an inline Deliver.
    task_start: usize,
    end: usize,
}

impl FrameReader {
    /// A reader that has seen nothing and holds no memory yet.
    pub fn new(limits: ReaderLimits) -> Self {
        Self {
            inline_task_size_bytes_max: limits.inline_task_size_bytes_max.min(INLINE_TASK_SIZE_BYTES_MAX),
            block: Arc::default(),
            parsed: 0,
            filled: 0,
            block_size_bytes: BLOCK_SIZE_BYTES_MIN,
            pool: None,
            error: None,
        }
    }

    /// Call before reading: a reader with nothing under way fills the shared block instead of one of its
    /// own. [Return](Self::return_block) it before another reader's turn. Without effect on a reader that
    /// has received part of a frame, and on one that has the block already.
    pub fn borrow_block(&mut self, shared: &mut SharedBlock) {
        if !self.mid_frame() && !shared.0.is_empty() {
            self.block = std::mem::take(&mut shared.0);
            (self.parsed, self.filled) = (0, 0);
        }
    }

    /// Gives the shared block back. Of a frame that has begun, what was received moves into memory just
    /// large enough for it. Without effect on a reader that has not borrowed one.
    pub fn return_block(&mut self, shared: &mut SharedBlock) {
        if self.mid_frame() {
            if !shared.0.is_empty() {
                return;
            }
            let mut own = block::zeroed(self.room_needed());
            let received = self.received();
            if let Some(target) = Arc::get_mut(&mut own).and_then(|own| own.get_mut(..received.len())) {
                target.copy_from_slice(received);
            }
            (self.parsed, self.filled) = (0, self.filled - self.parsed);
            shared.0 = std::mem::replace(&mut self.block, own);
        } else {
            (self.parsed, self.filled) = (0, 0);
            let block = std::mem::take(&mut self.block);
            if shared.0.is_empty() {
                shared.0 = block;
            }
        }
        self.assert_invariants();
    }

    /// Where the next bytes go; never empty. Call it when [`next`](Self::next) has given `None`: a
    /// reader asked for room over and over without its frames being taken has to grow.
    pub fn spare(&mut self) -> &mut [u8] {
        self.make_room();
        self.assert_invariants();
        let filled = self.filled;
        let block = Arc::get_mut(&mut self.block).expect("make_room leaves a block nobody else looks into");
        block.get_mut(filled..).unwrap_or_default()
    }

    /// `n` bytes are in the spare part now.
    ///
    /// # Panics
    ///
    /// If `n` is larger than the spare part.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.block.len() - self.filled, "advanced beyond the spare part");
        self.filled += n;
        if self.filled == self.block.len() {
            // A read that filled the block left bytes behind: the next one may take more at once.
            let doubled = (2 * self.block_size_bytes).min(BLOCK_SIZE_BYTES_MAX);
            self.block_size_bytes = self.block_size_bytes.max(doubled);
        }
        if self.error.is_some() {
            (self.parsed, self.filled) = (0, 0);
        }
        self.assert_invariants();
    }

    /// The next whole frame; `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// For bytes that can never become a frame; from then on the same error for ever, and whatever
    /// else is received is thrown away.
    #[allow(clippy::should_implement_trait)] // the frame borrows from the reader, so it is no Iterator
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, ProtocolError> {
        if let Some(error) = &self.error {
            return Err((**error).clone());
        }
        let header = match self.header() {
            Ok(Some(header)) if self.filled - self.parsed >= header.frame_size_bytes => header,
            Ok(_) => return Ok(None),
            Err(error) => {
                (self.parsed, self.filled) = (0, 0);
                self.error = Some(Box::new(error.clone()));
                return Err(error);
            }
        };
        let meta_start = self.parsed + FRAME_HEADER_SIZE_BYTES;
        let task_start = meta_start + header.meta_size_bytes;
        self.parsed += header.frame_size_bytes;
        self.assert_invariants();
        Ok(Some(Frame {
            kind: header.kind,
            descriptor: header.descriptor,
            meta: self.block.get(meta_start..task_start).unwrap_or_default(),
            block: &self.block,
            task_start,
            end: self.parsed,
        }))
    }

    /// Whether a frame has begun and not ended. Meant to be asked when [`next`](Self::next) has given
    /// `None`; frames not taken yet count as well.
    pub fn mid_frame(&self) -> bool {
        self.filled > self.parsed
    }

    /// How many blocks were allocated so far, for tests: it stands still while tasks are dropped as
    /// fast as they come.
    pub fn blocks_allocated(&self) -> u64 {
        self.pool.as_ref().map_or(0, |pool| pool.allocated())
    }

    /// The header of the first frame not given out, if its eight bytes are here.
    fn header(&self) -> Result<Option<Header>, ProtocolError> {
        match self.received().first_chunk() {
            Some(bytes) => Header::parse(*bytes, self.inline_task_size_bytes_max).map(Some),
            None => Ok(None),
        }
    }

    fn received(&self) -> &[u8] {
        self.block.get(self.parsed..self.filled).unwrap_or_default()
    }

    /// The size of the frame under way as far as it is known, and room for a byte at least.
    fn room_needed(&self) -> usize {
        // The header's length is believed only after it met its limits.
        let frame_size_bytes = match self.header() {
            Ok(Some(header)) => header.frame_size_bytes,
            Ok(None) | Err(_) => FRAME_HEADER_SIZE_BYTES,
        };
        frame_size_bytes.max(self.filled - self.parsed + 1)
    }

    /// Makes the block one that nobody looks into, with room for the rest of the frame under way.
    fn make_room(&mut self) {
        let received_bytes = self.filled - self.parsed;
        let needed = self.room_needed();
        let (parsed, filled, block_size_bytes) = (self.parsed, self.filled, self.block_size_bytes);
        if let Some(block) = Arc::get_mut(&mut self.block) {
            let outgrown = received_bytes == 0 && block.len() < block_size_bytes;
            if received_bytes > 0 && parsed + needed <= block.len() {
                return;
            }
            if needed <= block.len() && !outgrown {
                block.copy_within(parsed..filled, 0);
                (self.parsed, self.filled) = (0, received_bytes);
                return;
            }
        }
        if needed > self.block_size_bytes {
            self.block_size_bytes = needed.next_multiple_of(BLOCK_SIZE_BYTES_MIN);
            if let Some(pool) = &mut self.pool {
                pool.outgrow(self.block_size_bytes);
            }
        }
        let pool = self.pool.get_or_insert_default();
        let mut block = pool.take(self.block_size_bytes);
        let received = self.block.get(parsed..filled).unwrap_or_default();
        if let Some(target) = Arc::get_mut(&mut block).and_then(|block| block.get_mut(..received_bytes)) {
            target.copy_from_slice(received);
        }
        let previous = std::mem::replace(&mut self.block, block);
        if previous.len() >= self.block_size_bytes {
            pool.put(previous);
        }
        (self.parsed, self.filled) = (0, received_bytes);
    }

    fn assert_invariants(&self) {
        debug_assert!(self.parsed <= self.filled);
        debug_assert!(self.filled <= self.block.len());
        debug_assert!(self.parsed.is_multiple_of(crate::limits::FRAME_ALIGNMENT_BYTES));
        debug_assert!(self.block_size_bytes >= BLOCK_SIZE_BYTES_MIN);
        debug_assert!(self.error.is_none() || self.filled == 0);
    }
}

impl Frame<'_> {
    /// Reads the message, if it is one a trainer may send.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::WrongDirection`], and whatever is wrong with the meta part.
    pub fn decode_from_trainer(&self) -> Result<FromTrainer, ProtocolError> {
        decode::from_trainer(self.kind, self.meta)
    }

    /// Reads the message, if it is one the orchestrator may send, and the task that is in its frame.
    ///
    /// The task has exactly the announced size and is not verified yet. It shares the reader's
    /// memory, unless it is so small that copying it is cheaper than keeping that alive.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::WrongDirection`], and whatever is wrong with the meta part or the padding.
    pub fn decode_to_trainer(&self) -> Result<(ToTrainer, Option<Bytes>), ProtocolError> {
        let message = decode::to_trainer(self.kind, self.descriptor, self.meta)?;
        let task = match &message {
            ToTrainer::Deliver(deliver) => match deliver.place {
                Place::Inline => Some(self.inline_task(deliver.task_size)?),
                Place::Descriptor => None,
                Place::Slab { .. } => self.nothing_follows(deliver.task_size)?,
            },
            _ => None,
        };
        Ok((message, task))
    }

    /// A Deliver that points into a slab carries no task.
    fn nothing_follows(&self, task_size: u64) -> Result<Option<Bytes>, ProtocolError> {
        match self.end - self.task_start {
            0 => Ok(None),
            after_meta_bytes => Err(ProtocolError::BadPadding { task_size, after_meta_bytes }),
        }
    }

    fn inline_task(&self, task_size: u64) -> Result<Bytes, ProtocolError> {
        let after_meta_bytes = self.end - self.task_start;
        let error = ProtocolError::BadPadding { task_size, after_meta_bytes };
        let size_bytes = match usize::try_from(task_size) {
            Ok(size) if size <= INLINE_TASK_SIZE_BYTES_MAX && padded(size) == after_meta_bytes => size,
            _ => return Err(error),
        };
        let task_end = self.task_start + size_bytes;
        match self.block.get(task_end..self.end) {
            Some(padding) if padding.iter().all(|byte| *byte == 0) => {}
            _ => return Err(error),
        }
        block::part_of(self.block, self.task_start, task_end).ok_or(error)
    }
}

/// The first block: a page, which is all that a connection with nothing but heartbeats ever needs.
const BLOCK_SIZE_BYTES_MIN: usize = 4 << 10;

/// Blocks grow up to this by full reads; frames that need more get more.
const BLOCK_SIZE_BYTES_MAX: usize = 64 << 10;

/// The largest frame without a task fits.
const SHARED_BLOCK_SIZE_BYTES: usize = META_SIZE_BYTES_MAX + BLOCK_SIZE_BYTES_MIN;

const _: () = assert!(FRAME_SIZE_BYTES_MAX < usize::MAX / 2, "positions in a block cannot overflow");
