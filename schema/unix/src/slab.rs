//! A slab: memory that is filled again and again, for jobs whose payloads are so large that fresh pages
//! are what they cost.
//!
//! One memfd, mapped writable here before it is sealed, mapped read-only by everyone else after:
//!
//! ```text
//!  Slab ──claim──► SlabRange ──into_bytes──► Bytes            the owner's side
//!    │             writable                  read-only, claimed until the last view is gone
//!    └─ SHRINK|GROW|FUTURE_WRITE|SEAL ──SCM_RIGHTS──► ReceivedSlab ──Leases::lend──► Bytes
//!                                                                       ▲    over?     │
//!                                                                       └── a flag ◄───┘ drop
//! ```
//!
//! # Trust
//!
//! The seals keep readers from writing and everyone from cutting the file short (SIGBUS). They do not
//! keep the owner from writing into a range that a reader still looks at: that it does not is a rule
//! both ends follow, by leases. A reader has to trust the owner for it, as it would trust a debugger:
//! a process of the same user can write into its memory anyway. Where that is not enough,
//! [`sealed`](crate::sealed) payloads need no trust.

mod owned;
mod received;

use nix::errno::Errno;

pub use owned::{Slab, SlabRange};
pub use received::{Leases, ReceivedSlab, forking};

use crate::sealed::SealedError;

/// Why there is no slab.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlabError {
    /// The operating system's: it has no pages for it.
    #[error("no memory for a slab of {len} bytes: {source}; ask for a smaller one or raise the memory limit")]
    OutOfMemory {
        /// Bytes asked for.
        len: usize,
        /// What the kernel answered.
        source: Errno,
    },
    /// The operating system's: it cannot seal memory that one process goes on writing to.
    #[error(
        "this kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1), so there are no slabs; payloads travel in sealed memory instead"
    )]
    Unsupported,
    /// The operating system's: a call that does not fail on a supported kernel did.
    #[error("{call} failed on a slab: {source}")]
    System {
        /// The system call.
        call: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
}

impl SlabError {
    /// Stable name for logs and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfMemory { .. } => "slab_out_of_memory",
            Self::Unsupported => "slab_unsupported",
            Self::System { .. } => "slab_system",
        }
    }
}

/// Making memory fails in the same ways for payloads.
impl From<SealedError> for SlabError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::OutOfMemory { len, source } => Self::OutOfMemory { len, source },
            SealedError::System { call, source } => Self::System { call, source },
            SealedError::TooLarge { .. } => Self::System { call: "fallocate", source: Errno::EFBIG },
            _ => Self::System { call: "memfd_create", source: Errno::EINVAL },
        }
    }
}
