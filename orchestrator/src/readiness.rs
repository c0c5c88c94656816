//! What the driver watches: every listener, connection and trainer process, in one epoll set of its
//! own. The runtime knows that set as one descriptor.
//!
//! ```text
//!   listeners ─┐
//!   sockets ───┼─► epoll set ─► one registration with tokio ─► the driver wakes and takes all
//!   pidfds ────┘                                                that are ready in one call
//! ```
//!
//! A registration of each descriptor with the runtime would cost memory, a task or a waker to hand it
//! over, and a wake-up per event. Here it costs the kernel's own entry, and 256 heartbeats
//! are taken with one call. The set is level-triggered: what was not read to the end is named again by
//! the look that comes before every sleep, whyever it was not, so nobody has to say so.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::record::{JobNo, TrainerNo};
use crate::scheduler::ConnectionNo;

/// See the module.
pub(crate) struct Readiness {
    set: AsyncFd<Set>,
    events: Vec<EpollEvent>,
    /// How many of them are new.
    count: usize,
}

/// Whose descriptor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Somebody connects.
    Listener(JobNo),
    /// Bytes, room for bytes, or the end.
    Connection(ConnectionNo),
    /// It died.
    Process(TrainerNo),
}

/// What is wanted of a descriptor; errors and hang-ups are told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) bytes: bool,
    pub(crate) room: bool,
}

impl Wanted {
    pub(crate) const BYTES: Self = Self { bytes: true, room: false };
    pub(crate) const NOTHING: Self = Self { bytes: false, room: false };

    fn flags(self) -> EpollFlags {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, self.bytes);
        flags.set(EpollFlags::EPOLLOUT, self.room);
        flags
    }
}

impl Readiness {
    /// # Errors
    /// No descriptor is left, or the runtime has no IO driver.
    pub(crate) fn new() -> io::Result<Self> {
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: `Set` owns the descriptor and never has another, so it stays open and the same until
        // the registration is dropped.
        let set = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) }?;
        Ok(Self { set, events: vec![EpollEvent::empty(); EVENTS_PER_TURN_MAX], count: 0 })
    }

    /// Watches a descriptor, which must be [removed](Self::remove) before it is closed: a process being
    /// started may share it for a moment, and would keep it in the set.
    ///
    /// # Errors
    /// The kernel's, for want of memory or of watches.
    pub(crate) fn add(&mut self, descriptor: impl AsFd, source: Source, wanted: Wanted) -> io::Result<()> {
        Ok(self.epoll().add(descriptor, EpollEvent::new(wanted.flags(), source.key()))?)
    }

    /// Changes what is wanted of a descriptor that is watched.
    pub(crate) fn change(&mut self, descriptor: impl AsFd, source: Source, wanted: Wanted) {
        // It fails only for a descriptor that is not watched.
        let _ = self.epoll().modify(descriptor, &mut EpollEvent::new(wanted.flags(), source.key()));
    }

    pub(crate) fn remove(&self, descriptor: impl AsFd) {
        let _ = self.epoll().delete(descriptor);
    }

    /// Waits until there is something to [take](Self::take). Dropping it half-way loses nothing.
    pub(crate) async fn ready(&mut self) {
        loop {
            // Others of this thread get their turns, too.
            tokio::task::consume_budget().await;
            // The runtime tells of what comes, not of what was there and still is.
            self.look();
            if self.count > 0 {
                return;
            }
            match self.set.readable().await {
                // Before the next look: what comes after it is told again.
                Ok(mut guard) => guard.clear_ready(),
                // The runtime is shutting down; so is the driver then.
                Err(_) => return,
            }
        }
    }

    /// Which are ready at this moment, as many as one turn is for.
    pub(crate) fn take(&mut self, sources: &mut Vec<Source>) {
        if self.count == 0 {
            self.look();
        }
        let new = self.events.iter().take(std::mem::take(&mut self.count));
        sources.extend(new.filter_map(|event| Source::of_key(event.data())));
    }

    fn look(&mut self) {
        self.count = self.set.get_ref().0.wait(&mut self.events, EpollTimeout::ZERO).unwrap_or(0);
    }

    fn epoll(&self) -> &Epoll {
        &self.set.get_ref().0
    }
}

struct Set(Epoll);

impl AsRawFd for Set {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Source {
    /// Numbers count from 1 and never come near 2⁶².
    fn key(self) -> u64 {
        match self {
            Self::Listener(JobNo(number)) => number << 2,
            Self::Connection(ConnectionNo(number)) => number << 2 | 1,
            Self::Process(TrainerNo(number)) => number << 2 | 2,
        }
    }

    fn of_key(key: u64) -> Option<Self> {
        let number = key >> 2;
        match key & 3 {
            0 => Some(Self::Listener(JobNo(number))),
            1 => Some(Self::Connection(ConnectionNo(number))),
            2 => Some(Self::Process(TrainerNo(number))),
            _ => None,
        }
    }
}

/// Taken together: bounds how long the first waits for the last.
const EVENTS_PER_TURN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn what_is_not_read_is_named_again_and_what_is_removed_never() {
        let mut readiness = Readiness::new().unwrap();
        let source = Source::Connection(ConnectionNo(7));
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        readiness.add(&ours, source, Wanted::BYTES).unwrap();
        let mut sources = Vec::new();
        readiness.take(&mut sources);
        assert!(sources.is_empty());

        theirs.write_all(b"ab").unwrap();
        for _ in 0..2 {
            readiness.ready().await;
            readiness.take(&mut sources);
            assert_eq!(std::mem::take(&mut sources), [source]);
            ours.read_exact(&mut [0]).unwrap();
        }
        readiness.take(&mut sources);
        assert!(sources.is_empty(), "it was read to its end");

        readiness.change(&ours, source, Wanted { bytes: false, room: true });
        readiness.ready().await;
        readiness.take(&mut sources);
        assert_eq!(std::mem::take(&mut sources), [source], "there is room");
        readiness.remove(&ours);
        readiness.take(&mut sources);
        assert!(sources.is_empty());
    }

    #[tokio::test]
    async fn an_end_behind_the_last_bytes_is_named_again() {
        let mut readiness = Readiness::new().unwrap();
        let source = Source::Connection(ConnectionNo(7));
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        readiness.add(&ours, source, Wanted::BYTES).unwrap();
        readiness.take(&mut Vec::new());
        theirs.write_all(b"a").unwrap();
        drop(theirs);
        for read in [1, 0] {
            let mut sources = Vec::new();
            readiness.ready().await;
            readiness.take(&mut sources);
            assert_eq!(sources, [source]);
            assert_eq!(ours.read(&mut [0; 8]).unwrap(), read);
        }
    }

    #[test]
    fn keys_are_told_apart() {
        for source in
            [Source::Listener(JobNo(9)), Source::Connection(ConnectionNo(9)), Source::Process(TrainerNo(9))]
        {
            assert_eq!(Source::of_key(source.key()), Some(source));
        }
    }
}
