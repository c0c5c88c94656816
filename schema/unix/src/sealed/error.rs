//! Why a payload could not be made, or was refused.

use nix::errno::Errno;

use super::PAYLOAD_SIZE_BYTES_MAX;

/// Why a payload could not be made, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// Caller's or peer's fault: longer than [`PAYLOAD_SIZE_BYTES_MAX`].
    #[error("a payload of {len} bytes is too large: {PAYLOAD_SIZE_BYTES_MAX} bytes is the limit")]
    TooLarge {
        /// Bytes asked for or announced.
        len: u64,
    },
    /// Peer's fault: a descriptor that cannot be read, `O_PATH` or write-only.
    #[error("the payload's descriptor is not open for reading")]
    NotReadable,
    /// Peer's fault: a pipe, a socket, a file on a disk, hugetlb pages.
    #[error("the payload's descriptor is not a memfd")]
    NotMemory,
    /// Peer's fault: somebody could still change the bytes.
    #[error("the payload is not sealed against change: {missing} missing")]
    MissingSeals {
        /// Names of the missing seals, separated by `|`.
        missing: String,
    },
    /// Peer's fault: another size than the frame announced.
    #[error("the payload has {actual} bytes, announced were {announced}")]
    SizeDiffers {
        /// Bytes the frame announced.
        announced: u64,
        /// Bytes the descriptor has.
        actual: u64,
    },
    /// Caller's fault: the file or pipe a payload was to be read from.
    #[error("the payload cannot be read from its source: {source}")]
    Source {
        /// What the kernel answered.
        source: Errno,
    },
    /// Peer's fault: it left out pages, for the reader to pay.
    #[error("the payload has {len} bytes, but memory for {allocated} only: holes are not taken")]
    NotAllocated {
        /// Bytes announced.
        len: u64,
        /// Bytes the file has pages for.
        allocated: u64,
    },
    /// The operating system's: no memory, address space or mappings left.
    #[error("no memory for a payload of {len} bytes: {source}; free memory or raise the memory limit")]
    OutOfMemory {
        /// Bytes asked for.
        len: usize,
        /// What the kernel answered.
        source: Errno,
    },
    /// The operating system's: a call that does not fail on a supported kernel did.
    #[error("{call} failed on a payload: {source}")]
    System {
        /// The system call.
        call: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
}

impl SealedError {
    /// Stable name for logs and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "payload_too_large",
            Self::NotReadable => "payload_not_readable",
            Self::NotMemory => "payload_not_memory",
            Self::MissingSeals { .. } => "payload_not_sealed",
            Self::SizeDiffers { .. } => "payload_size_differs",
            Self::Source { .. } => "payload_source",
            Self::NotAllocated { .. } => "payload_not_allocated",
            Self::OutOfMemory { .. } => "payload_out_of_memory",
            Self::System { .. } => "payload_system",
        }
    }
}

pub(super) fn out_of_memory(len: usize, source: Errno) -> SealedError {
    SealedError::OutOfMemory { len, source }
}

pub(super) fn system(call: &'static str, source: Errno) -> SealedError {
    SealedError::System { call, source }
}
