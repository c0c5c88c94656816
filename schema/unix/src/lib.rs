//! What both ends of trainwire need of the Linux kernel, once.
//!
//! The orchestrator (tokio) and the trainer's extension (blocking) do the same things with
//! descriptors; here each of them is one function on a borrowed descriptor, without a runtime and
//! without knowledge of the protocol.
//!
//! | module | what for |
//! | --- | --- |
//! | [`sealed`] | payloads that travel as a descriptor and cannot change |
//! | [`slab`] | payloads in memory that is filled again and again |
//! | [`descriptors`] | bytes and descriptors over a connected socket |
//! | [`socket`] | bind without stealing, connect, options |
//! | [`peer`] | who is at the other end |
//! | [`pidfd`] | death, exit status, signals |
//! | [`identity`] | a process for the journal |
//! | [`names`] | folders and files whose names survive a power cut |
//!
//! # Kernels
//!
//! Linux 5.15 or later. What newer kernels add is used where it exists; [`Kernel`] forces the
//! fallbacks, so that each of them is tested on a new kernel too.
//!
//! | from | adds | before |
//! | --- | --- | --- |
//! | 6.3 | memfds that can never be executed | executable by file mode; sealed all the same |
//! | 6.5 | the peer's pidfd from the socket | looked up by pid, checked before and after |
//! | 6.9 | signals to a group through its leader's pidfd | `killpg`, before the leader is reaped |
//! | 6.15 | the exit status of processes that are not children | unknown |
//! | 6.16 | the kernel refuses descriptors for us | they are closed when read |
//!
//! # Errors
//!
//! Calls whose failures callers tell apart by meaning have an enum of their own with a stable
//! `code()`; the others return [`std::io::Error`] with the kernel's number.

#[cfg(not(target_os = "linux"))]
compile_error!("trainwire-unix needs Linux: pidfds, memfd seals and SO_PEERCRED do not exist elsewhere");

pub mod descriptors;
mod errno;
pub mod identity;
mod kernel;
pub mod names;
pub mod peer;
pub mod pidfd;
#[doc(hidden)]
pub mod planted;
pub mod sealed;
pub mod slab;
pub mod socket;

pub use descriptors::{Received, Wait};
pub use identity::{BootId, ProcessIdentity};
pub use kernel::Kernel;
pub use nix::errno::Errno;
pub use nix::sys::signal::Signal;
pub use peer::{PeerCredentials, PeerError, require_same_uid};
pub use pidfd::{ExitStatus, PidFd, stacks_signal};
pub use sealed::{PAYLOAD_SIZE_BYTES_MAX, PayloadBuffer, SealedError, SealedPayload};
pub use slab::{ReceivedSlab, Slab, SlabError, SlabRange};
pub use socket::{
    BindError, ConnectError, NameTaken, Occupant, Owner, SocketName, bind_private, connect, rebind_private,
};
