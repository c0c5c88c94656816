//! Descriptors of ours, watched by the runtime.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trainwire_unix::PidFd;

/// Readiness of a descriptor.
pub(crate) type Watched<T> = AsyncFd<Held<T>>;

/// What keeps a descriptor open while it is watched, and never has another.
pub(crate) struct Held<T>(T);

impl<T> Held<T> {
    /// The holder itself.
    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

/// Watches a socket for one kind of readiness.
pub(crate) fn socket(socket: OwnedFd, interest: Interest) -> io::Result<Watched<OwnedFd>> {
    // SAFETY: `Held` owns the descriptor and gives out no more than a shared reference, so it stays
    // open and the same until the registration is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(Held(socket), interest) }?)
}

/// Watches a process: readable means dead. The pidfd stays usable for signals.
pub(crate) fn process(pidfd: Arc<PidFd>) -> io::Result<Watched<Arc<PidFd>>> {
    // SAFETY: `Held` owns a share of the pidfd, whose descriptor never changes and stays open for as
    // long as anybody has a share.
    Ok(unsafe { AsyncFd::register_with_interest(Held(pidfd), Interest::READABLE) }?)
}

impl<T: AsRawFd> AsRawFd for Held<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
