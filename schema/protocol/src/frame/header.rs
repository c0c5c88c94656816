//! The first eight bytes of a frame.

use std::fmt;

use crate::error::ProtocolError;
use crate::limits::{FRAME_ALIGNMENT_BYTES, FRAME_HEADER_SIZE_BYTES, META_SIZE_BYTES_MAX};

/// Which message a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // described where the messages are: `FromTrainer`, `ToTrainer`
pub enum Kind {
    Hello = 1,
    Welcome = 2,
    Refused = 3,
    Slab = 4,
    Deliver = 5,
    Started = 6,
    Report = 7,
    Checkpoint = 8,
    Result = 9,
    Ack = 10,
    Stop = 11,
    Heartbeat = 12,
    Release = 13,
    Bye = 14,
}

impl Kind {
    /// Every kind, in the order of its byte.
    pub const ALL: [Self; 14] = [
        Self::Hello,
        Self::Welcome,
        Self::Refused,
        Self::Slab,
        Self::Deliver,
        Self::Started,
        Self::Report,
        Self::Checkpoint,
        Self::Result,
        Self::Ack,
        Self::Stop,
        Self::Heartbeat,
        Self::Release,
        Self::Bye,
    ];

    /// The kind a header's byte stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A header that passed every check that needs no more than the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) descriptor: bool,
    /// A multiple of 8, at most [`META_SIZE_BYTES_MAX`].
    pub(super) meta_size_bytes: usize,
    /// With the header. A multiple of 8, at least header and meta together, and exactly that in any
    /// frame but an inline Deliver.
    pub(super) frame_size_bytes: usize,
}

impl Header {
    /// Checks a header. The checks have one order, so that the same bytes give the same error however
    /// they are cut.
    pub(super) fn parse(
        bytes: [u8; FRAME_HEADER_SIZE_BYTES],
        inline_task_size_bytes_max: usize,
    ) -> Result<Self, ProtocolError> {
        let [l0, l1, l2, l3, kind_byte, flags, w0, w1] = bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let meta_size_bytes = usize::from(u16::from_le_bytes([w0, w1])) * FRAME_ALIGNMENT_BYTES;

        let kind = Kind::from_byte(kind_byte).ok_or(ProtocolError::UnknownKind { kind_byte })?;
        let descriptor = flags == DESCRIPTOR;
        let fits = match kind {
            Kind::Slab => descriptor,
            Kind::Deliver => true,
            _ => !descriptor,
        };
        if flags & !DESCRIPTOR != 0 || !fits {
            return Err(ProtocolError::BadFlags { flags, kind });
        }
        if meta_size_bytes > META_SIZE_BYTES_MAX {
            return Err(ProtocolError::MetaTooLarge {
                size_bytes: meta_size_bytes,
                limit_bytes: META_SIZE_BYTES_MAX,
            });
        }
        let length_min = AFTER_LENGTH_SIZE_BYTES + meta_size_bytes;
        let task_size_bytes_max =
            if kind == Kind::Deliver && !descriptor { padded(inline_task_size_bytes_max) } else { 0 };
        let length_max = length_min + task_size_bytes_max;
        let fits = (length_min..=length_max).contains(&(length as usize));
        if !fits || length as usize % FRAME_ALIGNMENT_BYTES != AFTER_LENGTH_SIZE_BYTES {
            let limit = u32::try_from(length_max).unwrap_or(u32::MAX);
            return Err(ProtocolError::BadLength { length, kind_byte, limit });
        }
        Ok(Self { kind, descriptor, meta_size_bytes, frame_size_bytes: LENGTH_SIZE_BYTES + length as usize })
    }

    /// The inverse of [`Header::parse`].
    pub(super) fn to_bytes(self) -> [u8; FRAME_HEADER_SIZE_BYTES] {
        let length = u32::try_from(self.frame_size_bytes - LENGTH_SIZE_BYTES)
            .expect("no frame is larger than FRAME_SIZE_BYTES_MAX");
        let meta_words = u16::try_from(self.meta_size_bytes / FRAME_ALIGNMENT_BYTES)
            .expect("no meta part is larger than META_SIZE_BYTES_MAX");
        let [l0, l1, l2, l3] = length.to_le_bytes();
        let [w0, w1] = meta_words.to_le_bytes();
        [l0, l1, l2, l3, self.kind as u8, if self.descriptor { DESCRIPTOR } else { 0 }, w0, w1]
    }
}

/// Rounded up to the alignment of frames.
pub(crate) fn padded(size_bytes: usize) -> usize {
    size_bytes.next_multiple_of(FRAME_ALIGNMENT_BYTES)
}

/// Flag: a descriptor comes with the frame.
const DESCRIPTOR: u8 = 1;

/// The length field, which does not count itself.
const LENGTH_SIZE_BYTES: usize = 4;

/// What the length field counts besides meta and task.
const AFTER_LENGTH_SIZE_BYTES: usize = FRAME_HEADER_SIZE_BYTES - LENGTH_SIZE_BYTES;
