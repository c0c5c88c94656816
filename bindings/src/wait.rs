//! Python threads that wait: for a task, for an Ack.
//!
//! The waiting thread reads the socket itself, in slices of [`SLICE`] after which Python looks for
//! signals; a signal in this thread ends a slice at once. A second waiting thread sleeps until the
//! first has heard something.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use trainwire_unix::Wait;

use crate::connection::{Connection, State};
use crate::reader::{Reader, Received};

impl Connection {
    /// Waits until `done` gives something. The GIL is released meanwhile.
    ///
    /// # Errors
    /// What Python's signal handlers raise, `KeyboardInterrupt` above all.
    pub(crate) fn wait<T: Send>(
        &self,
        py: Python<'_>,
        mut done: impl FnMut(&mut State) -> Option<T> + Send,
    ) -> PyResult<T> {
        if let Some(done) = done(&mut self.lock()) {
            return Ok(done);
        }
        let _waiting = Waiting::begin(self);
        loop {
            if let Some(done) = py.detach(|| self.wait_slice(&mut done)) {
                return Ok(done);
            }
            py.check_signals()?;
        }
    }

    fn wait_slice<T>(&self, done: &mut impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut reader = match self.reader.try_lock() {
            Ok(reader) => reader,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.sleep_slice(done),
        };
        loop {
            let (socket, poll) = {
                let mut state = self.lock();
                if let Some(done) = done(&mut state) {
                    // Whoever sleeps may go on reading.
                    drop(reader);
                    self.notify(&state);
                    return Some(done);
                }
                (state.socket.as_ref().map(Arc::clone), state.poll)
            };
            let Some(socket) = socket else {
                drop(reader);
                return self.sleep_slice(done);
            };
            match receive(&mut reader, &socket, poll) {
                Received::Bytes => self.feed(&mut reader),
                Received::Nothing => return None,
                Received::End => self.disconnect(&mut self.lock(), Instant::now()),
            }
        }
    }

    fn sleep_slice<T>(&self, done: &mut impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        if let Some(done) = done(&mut state) {
            return Some(done);
        }
        // Whoever had the reader may have put it back meanwhile, and will notify nobody again.
        if state.socket.is_some() && self.reader.try_lock().is_ok() {
            return None;
        }
        state.sleeping += 1;
        let (mut state, _) = self.changed.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner);
        state.sleeping -= 1;
        done(&mut state)
    }

    /// Gives the session what the reader has, and sends what the session has to say to it.
    pub(crate) fn feed(&self, reader: &mut Reader) {
        let mut state = self.lock();
        let now = Instant::now();
        self.feed_locked(&mut state, reader, now);
        self.transmit(&mut state, now);
        self.wake_io_thread_for_timers(&mut state);
        self.notify(&state);
    }

    pub(crate) fn notify(&self, state: &State) {
        if state.sleeping > 0 {
            self.changed.notify_all();
        }
    }
}

/// Polls for a while where the job asks for it, then sleeps. Without the GIL, as all waiting.
fn receive(reader: &mut Reader, socket: &OwnedFd, poll: Duration) -> Received {
    if !poll.is_zero() {
        let until = Instant::now() + poll;
        while Instant::now() < until {
            match reader.receive(socket, Wait::DontWait) {
                Received::Nothing => std::hint::spin_loop(),
                something => return something,
            }
        }
    }
    reader.receive(socket, Wait::Block)
}

/// As long as it lives, the IO thread leaves reading to Python's threads.
struct Waiting<'a>(&'a Connection);

impl<'a> Waiting<'a> {
    fn begin(connection: &'a Connection) -> Self {
        let mut state = connection.lock();
        state.waiting += 1;
        if state.armed {
            state.armed = false;
            connection.poller.watch(&state);
        }
        Self(connection)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// How long Ctrl-C may take when another thread gets the signal. Also the socket's receive timeout.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
