//! Reported rows between Python's threads, which put them in, and the IO thread, which looks after
//! them.
//!
//! They have a lock of their own, held for as long as it takes to append a few numbers or to change
//! two columns' places. So `report()` waits neither for the socket nor for whoever is at the session:
//! it tries that lock, and where it fails, leaves the rows to the IO thread. Locks are taken in the
//! order session, rows.
//!
//! Nothing here knows Python or the kernel: `tests/models` runs this file through every interleaving
//! of its threads.

use std::sync::PoisonError;
use std::time::Duration;

use trainwire_protocol::session::{RowBuffer, RowLimits, Then};

use crate::sync::{Mutex, MutexGuard};

/// `S` is what the callers of `report()` keep beside the rows, under the same lock.
pub(crate) struct Rows<S>(Mutex<Inner<S>>);

struct Inner<S> {
    buffer: RowBuffer,
    beside: S,
}

/// Who sends rows.
pub(crate) trait Sender {
    /// Takes the rows out and sends them; `false` if somebody else is at the session.
    fn try_send(&self) -> bool;

    /// Wakes the IO thread, which then calls [`Rows::watch`].
    fn wake(&self);
}

impl<S: Default> Rows<S> {
    pub(crate) fn new(limits: RowLimits) -> Self {
        Self(Mutex::new(Inner { buffer: RowBuffer::new(limits), beside: S::default() }))
    }
}

impl<S> Rows<S> {
    /// Lets `put` append a row, `first` of its delivery or not, and sees to it that it leaves in
    /// time. What `put` gives as an error says that there is no row.
    pub(crate) fn report<E>(
        &self,
        time_us: u64,
        first: bool,
        sender: &impl Sender,
        put: impl FnOnce(&mut RowBuffer, &mut S) -> Result<(), E>,
    ) -> Result<(), E> {
        let then = {
            let mut inner = self.lock();
            let Inner { buffer, beside } = &mut *inner;
            put(buffer, beside)?;
            buffer.then(time_us, first)
        };
        match then {
            Then::Nothing => {}
            Then::Send => {
                if !sender.try_send() && self.lock().buffer.hurry() {
                    sender.wake();
                }
            }
            Then::Wake => sender.wake(),
        }
        Ok(())
    }

    /// For whoever is at the session: gives `take` all rows.
    pub(crate) fn take(&self, take: impl FnOnce(&mut RowBuffer)) {
        take(&mut self.lock().buffer);
    }

    /// For the IO thread, at the session: gives `take` all rows if it is time, and says when to look
    /// again; `None`: not before [`Sender::wake`].
    pub(crate) fn watch(&self, time_us: u64, take: impl FnOnce(&mut RowBuffer)) -> Option<Duration> {
        let mut inner = self.lock();
        let look = inner.buffer.watch(time_us);
        if look.take {
            take(&mut inner.buffer);
        }
        look.again
    }

    /// What is kept beside the rows.
    pub(crate) fn beside<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.lock().beside)
    }

    /// A panic under the lock leaves rows that can still be sent.
    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
