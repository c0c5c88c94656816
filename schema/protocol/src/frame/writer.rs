//! Messages in, bytes out.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::{Deref, Range};

use bytes::{Buf, Bytes};

use super::header::{Header, Kind, padded};
use crate::error::ProtocolError;
use crate::limits::{FRAME_HEADER_SIZE_BYTES, INLINE_TASK_SIZE_BYTES_MAX, META_SIZE_BYTES_MAX};
use crate::message::encode::Encoder;
use crate::message::{Deliver, FromTrainer, Place, Report, Slab, ToTrainer};
use crate::task::{COPIED_SIZE_BYTES_MAX, TaskBytes};

/// Lines up outgoing frames for a socket that takes as much as it likes.
///
/// ```text
///  copied  │ left │ header meta │ header meta task 000 │ header meta │        │ 000 │ header meta │
///                 ▲                                                  ▲              ▲
///               sent                                       a large task is          flagged: its
///                                                          let in here, uncopied    descriptor goes along
/// ```
///
/// Push messages; then, while the socket takes them, send [`io_slices`](Self::io_slices), with the
/// descriptor of [`descriptor_at_front`](Self::descriptor_at_front) if there is one, and
/// [`advance`](Self::advance) by what was taken.
#[derive(Debug, Default)]
pub struct FrameWriter {
    encoder: Encoder,
    /// Everything but the large pieces of tasks.
    copied: Vec<u8>,
    /// What has left of `copied`. `sent <= copied.len()`
    sent: usize,
    /// In order of their places, which all differ. `sent <= at <= copied.len()`
    large_tasks: VecDeque<LargeTask>,
    /// In order of their places, which all differ. `sent <= at < copied.len()`
    flagged: VecDeque<FlaggedFrame>,
    /// The sum of what is left of `large_tasks`.
    large_task_bytes: usize,
}

/// A task, or what is behind its head, that is not copied. It goes out before the byte at `at`, and before a
/// frame that starts there.
#[derive(Debug)]
struct LargeTask {
    at: usize,
    /// Never empty.
    left: Bytes,
}

/// A frame whose first byte at `at` takes a descriptor along.
#[derive(Debug)]
struct FlaggedFrame {
    at: usize,
    token: u64,
}

/// How the task of a Deliver travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliverPayload {
    /// In the frame.
    Inline(TaskBytes),
    /// As a descriptor, which the writer's owner knows by this number.
    Descriptor {
        /// Handed back by [`FrameWriter::descriptor_at_front`].
        token: u64,
    },
    /// Not at all: it is in a slab the trainer has.
    InSlab,
}

/// What one `writev` or `sendmsg` may take. Dereferences to the slices.
#[derive(Debug)]
pub struct IoSlices<'a> {
    slices: [IoSlice<'a>; IO_SLICES_MAX],
    /// `count <= IO_SLICES_MAX`
    count: usize,
}

impl FrameWriter {
    /// Appends a message of a trainer.
    ///
    /// # Errors
    ///
    /// The message breaks a limit (its texts for people are shortened instead). Nothing is appended.
    pub fn push_from_trainer(&mut self, message: &FromTrainer) -> Result<(), ProtocolError> {
        self.encoder.encode_from_trainer(message)?;
        self.push_encoded(message.kind(), false, 0)
    }

    /// Appends a Report of these rows.
    ///
    /// # Errors
    ///
    /// As [`push_from_trainer`](Self::push_from_trainer).
    pub(crate) fn push_rows(&mut self, report: &Report, rows: Range<usize>) -> Result<(), ProtocolError> {
        self.encoder.report(report, rows)?;
        self.push_encoded(Kind::Report, false, 0)
    }

    /// Appends a message of the orchestrator; those that carry more go through
    /// [`push_deliver`](Self::push_deliver) and [`push_slab`](Self::push_slab).
    ///
    /// # Errors
    ///
    /// The message breaks a limit (its texts for people are shortened instead), or is a Deliver or Slab.
    /// Nothing is appended.
    pub fn push_to_trainer(&mut self, message: &ToTrainer) -> Result<(), ProtocolError> {
        match message {
            ToTrainer::Deliver(deliver) => return Err(wrong_task(deliver, 0)),
            ToTrainer::Slab(_) => return Err(ProtocolError::DescriptorNotGiven),
            _ => {}
        }
        self.encoder.encode_to_trainer(message)?;
        self.push_encoded(message.kind(), false, 0)
    }

    /// Appends a Slab, whose descriptor the writer's owner knows by `token`, as of a Deliver.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn push_slab(&mut self, slab: &Slab, token: u64) -> Result<(), ProtocolError> {
        self.encoder.slab(slab)?;
        self.push_flagged(Kind::Slab, token)
    }

    /// Appends a Deliver and its task.
    ///
    /// # Errors
    ///
    /// The message breaks a limit, or its place or size is not that of the payload. Nothing is appended.
    pub fn push_deliver(&mut self, deliver: &Deliver, payload: DeliverPayload) -> Result<(), ProtocolError> {
        match (deliver.place, payload) {
            (Place::Inline, DeliverPayload::Inline(task)) => {
                if task.len() as u64 != deliver.task_size || task.len() > INLINE_TASK_SIZE_BYTES_MAX {
                    return Err(wrong_task(deliver, task.len()));
                }
                self.encoder.deliver(deliver)?;
                self.push_encoded(Kind::Deliver, false, task.len())?;
                self.push_task(&task);
            }
            (Place::Descriptor, DeliverPayload::Descriptor { token }) => {
                self.encoder.deliver(deliver)?;
                self.push_flagged(Kind::Deliver, token)?;
            }
            (Place::Slab { .. }, DeliverPayload::InSlab) => {
                self.encoder.deliver(deliver)?;
                self.push_encoded(Kind::Deliver, false, 0)?;
            }
            (_, DeliverPayload::Inline(task)) => return Err(wrong_task(deliver, task.len())),
            (_, DeliverPayload::Descriptor { .. } | DeliverPayload::InSlab) => {
                return Err(wrong_task(deliver, 0));
            }
        }
        self.assert_invariants();
        Ok(())
    }

    /// Whether everything has left.
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// What has not left yet, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.copied.len() - self.sent + self.large_task_bytes
    }

    /// The next bytes, in at most [`IO_SLICES_MAX`] pieces. They end before the next flagged frame,
    /// unless that one is the first, so that one call never needs two descriptors.
    pub fn io_slices(&self) -> IoSlices<'_> {
        let end = self.next_flagged_at();
        let mut slices = IoSlices { slices: [IoSlice::new(&[]); IO_SLICES_MAX], count: 0 };
        let mut from = self.sent;
        for task in self.large_tasks.iter().take_while(|task| task.at <= end) {
            slices.push(self.copied.get(from..task.at).unwrap_or_default());
            slices.push(&task.left);
            from = task.at;
        }
        slices.push(self.copied.get(from..end).unwrap_or_default());
        slices
    }

    /// The descriptor that has to go along with the next bytes. Once a byte of its frame has left, it
    /// is `None`: a descriptor is never sent twice.
    pub fn descriptor_at_front(&self) -> Option<u64> {
        let first = self.flagged.front()?;
        let behind_a_task = self.large_tasks.front().is_some_and(|task| task.at == self.sent);
        (first.at == self.sent && !behind_a_task).then_some(first.token)
    }

    /// How many bytes can leave before the next descriptor is needed; all of them if none is waiting
    /// or only the one at the front.
    pub fn bytes_until_descriptor(&self) -> usize {
        let end = self.next_flagged_at();
        let tasks = self.large_tasks.iter().take_while(|task| task.at <= end);
        end - self.sent + tasks.map(|task| task.left.len()).sum::<usize>()
    }

    /// `n` bytes have left, at most what [`io_slices`](Self::io_slices) gave.
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.len_bytes());
        let mut n = n;
        while n > 0 {
            let task = self.large_tasks.front_mut();
            if let Some(task) = task.filter(|task| task.at == self.sent) {
                let step = n.min(task.left.len());
                task.left.advance(step);
                self.large_task_bytes -= step;
                n -= step;
                if task.left.is_empty() {
                    self.large_tasks.pop_front();
                }
            } else {
                let end = self.large_tasks.front().map_or(self.copied.len(), |task| task.at);
                let step = n.min(end - self.sent);
                if step == 0 {
                    break;
                }
                self.sent += step;
                n -= step;
                while self.flagged.front().is_some_and(|frame| frame.at < self.sent) {
                    self.flagged.pop_front();
                }
            }
        }
        self.reclaim();
        self.assert_invariants();
    }

    /// Forgets everything that has not left: its connection is over.
    pub fn clear(&mut self) {
        self.copied.clear();
        self.sent = 0;
        self.large_tasks.clear();
        self.flagged.clear();
        self.large_task_bytes = 0;
    }

    /// Appends header and meta of the message that was encoded last; the task follows.
    fn push_encoded(
        &mut self,
        kind: Kind,
        descriptor: bool,
        task_size_bytes: usize,
    ) -> Result<(), ProtocolError> {
        let meta = self.encoder.meta();
        let meta_size_bytes = padded(meta.len());
        if meta_size_bytes > META_SIZE_BYTES_MAX {
            return Err(ProtocolError::MessageTooLarge {
                kind,
                size_bytes: meta_size_bytes,
                limit_bytes: META_SIZE_BYTES_MAX,
            });
        }
        let frame_size_bytes = FRAME_HEADER_SIZE_BYTES + meta_size_bytes + padded(task_size_bytes);
        let header = Header { kind, descriptor, meta_size_bytes, frame_size_bytes };
        self.copied.extend_from_slice(&header.to_bytes());
        self.copied.extend_from_slice(meta);
        self.pad(meta.len());
        Ok(())
    }

    /// As `push_encoded`, for a frame that takes a descriptor along.
    fn push_flagged(&mut self, kind: Kind, token: u64) -> Result<(), ProtocolError> {
        let at = self.copied.len();
        self.push_encoded(kind, true, 0)?;
        self.flagged.push_back(FlaggedFrame { at, token });
        self.assert_invariants();
        Ok(())
    }

    fn push_task(&mut self, task: &TaskBytes) {
        let size_bytes = task.len();
        let [mut last, behind] = task.pieces();
        if !behind.is_empty() {
            // A head is short, and no two large pieces have the same place.
            self.copied.extend_from_slice(last);
            last = behind;
        }
        if last.len() > COPIED_SIZE_BYTES_MAX {
            self.large_task_bytes += last.len();
            self.large_tasks.push_back(LargeTask { at: self.copied.len(), left: last.clone() });
        } else {
            self.copied.extend_from_slice(last);
        }
        self.pad(size_bytes);
    }

    fn pad(&mut self, after_bytes: usize) {
        self.copied.resize(self.copied.len() + padded(after_bytes) - after_bytes, 0);
    }

    /// The end of the bytes that can leave with at most one descriptor.
    fn next_flagged_at(&self) -> usize {
        let first_goes_along = usize::from(self.descriptor_at_front().is_some());
        self.flagged.get(first_goes_along).map_or(self.copied.len(), |frame| frame.at)
    }

    /// Gives the room of what has left to what comes, without moving more than was sent.
    fn reclaim(&mut self) {
        if self.sent < self.copied.len() - self.sent {
            return;
        }
        let sent = std::mem::take(&mut self.sent);
        self.copied.drain(..sent);
        self.large_tasks.iter_mut().for_each(|task| task.at -= sent);
        self.flagged.iter_mut().for_each(|frame| frame.at -= sent);
    }

    fn assert_invariants(&self) {
        let ends = self.sent..=self.copied.len();
        debug_assert!(self.sent <= self.copied.len());
        debug_assert!(self.large_tasks.iter().all(|task| ends.contains(&task.at) && !task.left.is_empty()));
        debug_assert!(self.large_tasks.iter().is_sorted_by(|a, b| a.at < b.at));
        debug_assert!(self.flagged.iter().all(|frame| ends.contains(&frame.at)));
        debug_assert!(self.flagged.iter().is_sorted_by(|a, b| a.at < b.at));
        debug_assert_eq!(self.large_task_bytes, self.large_tasks.iter().map(|task| task.left.len()).sum());
    }
}

impl<'a> IoSlices<'a> {
    fn push(&mut self, bytes: &'a [u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(slot) = self.slices.get_mut(self.count) {
            *slot = IoSlice::new(bytes);
            self.count += 1;
        }
    }
}

impl<'a> Deref for IoSlices<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &Self::Target {
        self.slices.get(..self.count).unwrap_or_default()
    }
}

fn wrong_task(deliver: &Deliver, size_bytes: usize) -> ProtocolError {
    let place = match deliver.place {
        Place::Inline => "inline",
        Place::Descriptor => "as a descriptor",
        Place::Slab { .. } => "in a slab",
    };
    ProtocolError::WrongTask { announced_bytes: deliver.task_size, size_bytes, place }
}

/// Slices one call to the kernel takes; more of them would save no time.
pub const IO_SLICES_MAX: usize = 64;
