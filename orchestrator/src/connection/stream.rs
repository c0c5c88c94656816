//! A trainer's socket as the runtime sees it: registered for reading, and for writing only while the
//! socket takes no more.
//!
//! A socket registered for both wakes us whenever the trainer has read something, for there is room
//! again: once a task, for nothing.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::net::UnixStream;
use trainwire_unix::Wait;
use trainwire_unix::descriptors::{receive_plain, send};

use crate::readiness::{self, Held, Watched};

/// See the module.
pub(super) struct Stream {
    socket: Arc<Watched<OwnedFd>>,
    /// While it takes no more. A second descriptor, as a descriptor has one registration.
    full: Option<Watched<OwnedFd>>,
}

impl Stream {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let socket = OwnedFd::from(stream.into_std()?);
        Ok(Self { socket: Arc::new(readiness::socket(socket, Interest::READABLE)?), full: None })
    }

    /// To wait for bytes with, while the stream itself is in use.
    pub(super) fn incoming(&self) -> Incoming {
        Incoming(Arc::clone(&self.socket))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().get().as_fd()
    }

    /// What there is, without waiting.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        receive_plain(self.fd(), buffer, Wait::DontWait)
    }

    /// As much as the socket takes at once; where it takes nothing, [`has_room`](Self::has_room)
    /// becomes worth waiting for.
    pub(super) fn send(
        &mut self,
        slices: &[IoSlice<'_>],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<usize> {
        let sent = send(self.fd(), slices, descriptor, Wait::DontWait);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) && self.full.is_none()
        {
            let second = self.fd().try_clone_to_owned()?;
            self.full = Some(readiness::socket(second, Interest::WRITABLE)?);
        }
        sent
    }

    /// Whether the socket took no more the last time.
    pub(super) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Waits until it takes more.
    pub(super) async fn has_room(&mut self) {
        if let Some(full) = &self.full {
            // An error shows at the next write.
            let _ = full.writable().await;
        }
        self.full = None;
    }
}

/// See [`Stream::incoming`].
pub(super) struct Incoming(Arc<Watched<OwnedFd>>);

impl Incoming {
    /// Bytes, or the end. The guard is cleared by whoever has read all of them.
    pub(super) async fn ready(&self) -> io::Result<AsyncFdReadyGuard<'_, Held<OwnedFd>>> {
        self.0.readable().await
    }
}
