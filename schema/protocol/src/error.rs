//! What can go wrong on a connection, by whose fault it is, and the stable code of each.

use std::time::Duration;

use flatbuffers::InvalidFlatbuffer;

use crate::frame::Kind;
use crate::id::SlabId;

/// Whose fault an error is, and so who has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The other end of the connection broke the protocol, or fell silent.
    Peer,
    /// This end's caller asked for something that cannot be.
    Caller,
    /// The operating system refused, or ran out of something.
    System,
    /// The code that trains.
    Trainer,
}

/// Why a connection ends, or why a message cannot be sent.
///
/// An error whose [`fault`](Self::fault) is the peer's ends the connection: the stream is not
/// searched for the next frame. Whoever can still write tells the peer its [`code`](Self::code) in
/// a Refused or a Bye.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The header's length fits no frame of this protocol.
    #[error(
        "the frame's length field says {length}, which no {kind_byte} frame of this protocol can have (4 + 8·meta_words, and the task of an inline Deliver, at most {limit})"
    )]
    BadLength {
        /// As in the header: the bytes after the length field.
        length: u32,
        /// As in the header.
        kind_byte: u8,
        /// The largest this reader takes.
        limit: u32,
    },
    /// The header announces more meta words than any message needs.
    #[error("the frame's meta part would have {size_bytes} bytes, at most {limit_bytes} are allowed")]
    MetaTooLarge {
        /// What the header announces.
        size_bytes: usize,
        /// [`META_SIZE_BYTES_MAX`](crate::limits::META_SIZE_BYTES_MAX).
        limit_bytes: usize,
    },
    /// A flag this version does not know, or the descriptor flag where there is no task.
    #[error("the flags {flags:#010b} are not allowed in a {kind} frame")]
    BadFlags {
        /// As in the header.
        flags: u8,
        /// As in the header.
        kind: Kind,
    },
    /// A kind this version does not know.
    #[error("the frame's kind {kind_byte} is unknown to protocol version 1")]
    UnknownKind {
        /// As in the header.
        kind_byte: u8,
    },
    /// A message only this end may send.
    #[error("a {kind} frame came from the end that may only receive it")]
    WrongDirection {
        /// The message.
        kind: Kind,
    },
    /// The bytes after a Deliver's meta part are not its task and padding.
    #[error(
        "a Deliver announces a task of {task_size} bytes, but {after_meta_bytes} bytes follow its meta part, which is not what its place asks for, or its padding is not zero"
    )]
    BadPadding {
        /// As in the Deliver.
        task_size: u64,
        /// As in the frame.
        after_meta_bytes: usize,
    },
    /// The meta part is not a FlatBuffer of its kind, or one made to burn time.
    #[error("the meta part of a {kind} frame does not verify: {cause}")]
    BadMeta {
        /// The message.
        kind: Kind,
        /// What the verifier found.
        #[source]
        cause: InvalidFlatbuffer,
    },
    /// A string of a message is over its limit.
    #[error("{field} has {size_bytes} bytes, at most {limit_bytes} are allowed")]
    StringTooLong {
        /// `Message.field`.
        field: &'static str,
        /// What it has.
        size_bytes: usize,
        /// Its limit.
        limit_bytes: usize,
    },
    /// A vector of a message is over its limit.
    #[error("{field} has {count} entries, at most {limit} are allowed")]
    TooMany {
        /// `Message.field`.
        field: &'static str,
        /// What it has.
        count: usize,
        /// Its limit.
        limit: usize,
    },
    /// A field has a value that means nothing.
    #[error("{field} {problem}")]
    BadValue {
        /// `Message.field`.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The columns of a report do not belong together.
    #[error(
        "the columns of a Report do not fit each other: {names} names, {times} times, {steps} steps, {epochs} epochs, {values} values"
    )]
    BadReport {
        /// Columns of values.
        names: usize,
        /// Rows.
        times: usize,
        /// As many as rows, or 0.
        steps: usize,
        /// As many as rows, or 0.
        epochs: usize,
        /// Rows × names.
        values: usize,
    },
    /// The first frame of a connection must be a Hello, or its answer.
    #[error("the first frame of a connection was a {kind}; a Hello and its answer come first")]
    HelloExpected {
        /// What came instead.
        kind: Kind,
    },
    /// A second Hello or Welcome.
    #[error("a second {kind} came on one connection")]
    HelloTwice {
        /// Hello, Welcome or Refused.
        kind: Kind,
    },
    /// The two ends speak no common version.
    #[error("the other end speaks protocol versions {} to {}, this end {} to {}; bring both to one release", theirs.0, theirs.1, ours.0, ours.1)]
    Version {
        /// Lowest and highest this end speaks.
        ours: (u16, u16),
        /// Lowest and highest the other end speaks.
        theirs: (u16, u16),
    },
    /// The connection was made, its opening never completed.
    #[error("no complete Hello, or no answer to it, within {after:?}")]
    HandshakeTimeout {
        /// How long this end waited.
        after: Duration,
    },
    /// A frame began and its end did not come.
    #[error("a frame was not complete {after:?} after its first byte")]
    FrameTimeout {
        /// How long this end waited.
        after: Duration,
    },
    /// A descriptor came that belongs to no frame.
    #[error("a descriptor came that belongs to no Deliver")]
    DescriptorSurplus,
    /// The message is larger than a frame's meta part may be.
    #[error(
        "a {kind} of {size_bytes} bytes cannot be sent, at most {limit_bytes} are possible; shorten its texts or send fewer entries"
    )]
    MessageTooLarge {
        /// The message.
        kind: Kind,
        /// What it would have.
        size_bytes: usize,
        /// [`META_SIZE_BYTES_MAX`](crate::limits::META_SIZE_BYTES_MAX).
        limit_bytes: usize,
    },
    /// A message of this end breaks a limit the other end would refuse it for.
    #[error("{0}; the message was not sent")]
    Unsendable(#[source] Box<ProtocolError>),
    /// The task does not match the Deliver that announces it.
    #[error("a Deliver announces {announced_bytes} bytes {place}, the task has {size_bytes}")]
    WrongTask {
        /// `Deliver.task_size`.
        announced_bytes: u64,
        /// The bytes given, 0 for a descriptor.
        size_bytes: usize,
        /// `inline`, `as a descriptor` or `in a slab`.
        place: &'static str,
    },
    /// A Slab goes through `FrameWriter::push_slab`, with its descriptor.
    #[error("a Slab was to be sent without its descriptor")]
    DescriptorNotGiven,
    /// The task is not where the trainer could find it.
    #[error(
        "a Deliver points to {size} bytes at {offset} of slab {slab}; they must start at a multiple of 8 within the slab this connection was given last"
    )]
    BadRange {
        /// `Deliver.slab`
        slab: SlabId,
        /// `Deliver.offset`
        offset: u64,
        /// `Deliver.task_size`
        size: u64,
    },
}

impl ProtocolError {
    /// Stable, for programs. Codes are never renamed; new ones are only added.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadLength { .. } => "bad_length",
            Self::MetaTooLarge { .. } => "meta_too_large",
            Self::BadFlags { .. } => "bad_flags",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::WrongDirection { .. } => "wrong_direction",
            Self::BadPadding { .. } => "bad_padding",
            Self::BadMeta { .. } => "bad_meta",
            Self::StringTooLong { .. } => "string_too_long",
            Self::TooMany { .. } => "too_many_entries",
            Self::BadValue { .. } => "bad_value",
            Self::BadReport { .. } => "bad_report",
            Self::HelloExpected { .. } => "hello_expected",
            Self::HelloTwice { .. } => "hello_twice",
            Self::Version { .. } => "protocol_version",
            Self::HandshakeTimeout { .. } => "handshake_timeout",
            Self::FrameTimeout { .. } => "frame_timeout",
            Self::DescriptorSurplus => "descriptor_surplus",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::Unsendable(_) => "unsendable",
            Self::WrongTask { .. } => "wrong_task",
            Self::DescriptorNotGiven => "descriptor_not_given",
            Self::BadRange { .. } => "bad_range",
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::MessageTooLarge { .. }
            | Self::Unsendable(_)
            | Self::WrongTask { .. }
            | Self::DescriptorNotGiven
            | Self::BadRange { .. } => Fault::Caller,
            _ => Fault::Peer,
        }
    }
}
