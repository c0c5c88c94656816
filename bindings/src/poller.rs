//! What wakes the IO thread: an eventfd, and the socket while nobody else reads it.
//!
//! Interest in the socket is one-shot and changed with `EPOLL_CTL_MOD`, which takes effect on an
//! `epoll_wait` that sleeps already.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::connection::State;

pub(crate) struct Poller {
    epoll: Epoll,
    wake: EventFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        Ok(Self { epoll, wake })
    }

    pub(crate) fn wake(&self) {
        // It fails only when the counter is full, and then the thread wakes as well.
        let _ = self.wake.write(1);
    }

    pub(crate) fn add(&self, socket: &Arc<OwnedFd>) -> io::Result<()> {
        Ok(self.epoll.add(&**socket, EpollEvent::new(EpollFlags::EPOLLONESHOT, SOCKET))?)
    }

    pub(crate) fn remove(&self, socket: &Arc<OwnedFd>) {
        let _ = self.epoll.delete(&**socket);
    }

    /// Brings the interest in the socket up to `state`.
    pub(crate) fn watch(&self, state: &State) {
        let Some(socket) = &state.socket else { return };
        // One-shot even without interest: a hang-up is always reported, and would be for ever.
        let mut interest = EpollFlags::EPOLLONESHOT;
        interest.set(EpollFlags::EPOLLIN, state.armed);
        interest.set(EpollFlags::EPOLLOUT, state.want_write);
        let _ = self.epoll.modify(&**socket, &mut EpollEvent::new(interest, SOCKET));
    }

    /// Sleeps until `timeout` or until there is something to do, and says whether it is the socket.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        // Rounded up, or the thread would spin through the last millisecond.
        let milliseconds = timeout.as_micros().div_ceil(1000).min(u16::MAX.into());
        let timeout = u16::try_from(milliseconds).map_or(EpollTimeout::from(u16::MAX), EpollTimeout::from);
        let mut events = [EpollEvent::empty(); 2];
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        let mut socket = false;
        for event in events.iter().take(count) {
            match event.data() {
                WAKE => {
                    let _ = self.wake.read();
                }
                _ => socket = true,
            }
        }
        socket
    }
}

const WAKE: u64 = 0;
const SOCKET: u64 = 1;
