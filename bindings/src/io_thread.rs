//! The thread that keeps the connection alive while Python is busy: in a C call that holds the GIL
//! for ten seconds, or in an epoch of an hour.
//!
//! It never attaches to Python and blocks all signals, so it can neither be held up by the
//! interpreter nor steal a Ctrl-C.

use std::io;
use std::sync::{Arc, TryLockError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow};
use trainwire_unix::Wait;

use crate::commands::now_us;
use crate::connection::{Connection, State};
use crate::reader::Received;

/// # Errors
/// The operating system has no thread to give.
pub(crate) fn spawn(connection: Arc<Connection>) -> io::Result<()> {
    // A new thread inherits the mask of the one that makes it.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = std::thread::Builder::new().name("trainwire-io".to_owned()).spawn(move || run(&connection));
    mask.thread_set_mask()?;
    spawned.map(|_| ())
}

fn run(connection: &Connection) {
    let mut reconnect = Reconnect::new();
    let mut timeout = Duration::ZERO;
    loop {
        if connection.poller.wait(timeout) {
            // One-shot: what woke us is disarmed.
            let mut state = connection.lock();
            state.armed = false;
            state.want_write = false;
        }
        reconnect.try_if_due(connection);
        // What is in the socket arrived in time, however late this thread is.
        read_what_is_there(connection);

        let mut state = connection.lock();
        if state.closed {
            return;
        }
        let now = Instant::now();
        if let Err(error) = state.session.handle_timeout(now) {
            connection.break_off(&mut state, &error, now);
        }
        let rows_due = connection.rows.watch(now_us(), |rows| state.session.report(now, rows));
        connection.drain_events(&mut state, None);
        connection.transmit(&mut state, now);
        let reads_from = state.reads_from().filter(|at| *at > now);
        if reads_from.is_none() {
            connection.arm(&mut state);
        }
        connection.notify(&state);
        let spool_due = connection.spool_while_alone(&mut state, now);
        // A wake-up asked for earlier is kept even if what it was for is done: of a stream of short
        // tasks each would ask again, at a system call and two context switches.
        let promised = state.io_wakes_at.filter(|at| *at > now);
        let rows_due = rows_due.map(|left| now + left);
        let due =
            [state.session.poll_timeout(), reconnect.due(&state), rows_due, promised, spool_due, reads_from];
        let due = due.into_iter().flatten().min();
        let due = due.unwrap_or(now + IDLE_TIME).min(now + IDLE_TIME);
        state.io_wakes_at = Some(due);
        timeout = due.saturating_duration_since(now);
    }
}

/// Leaves the socket to Python threads that wait for it.
fn read_what_is_there(connection: &Connection) {
    let socket = {
        let state = connection.lock();
        if state.waiting > 0 {
            return;
        }
        state.socket.as_ref().map(Arc::clone)
    };
    let mut reader = match connection.reader.try_lock() {
        Ok(reader) => reader,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    let Some(socket) = socket else {
        // Nobody but this thread connects again.
        return reader.clear();
    };
    loop {
        match reader.receive(&socket, Wait::DontWait) {
            Received::Bytes => connection.feed(&mut reader),
            Received::Nothing => break,
            Received::End => {
                connection.disconnect(&mut connection.lock(), Instant::now());
                break;
            }
        }
    }
    drop(reader);
    // A thread that began to wait meanwhile found the reader taken and sleeps.
    connection.notify(&connection.lock());
}

/// Tries again and again while there is no connection and one is of use.
struct Reconnect {
    next: Option<Instant>,
    pause: Duration,
}

impl Reconnect {
    fn new() -> Self {
        Self { next: None, pause: PAUSE_MIN }
    }

    fn try_if_due(&mut self, connection: &Connection) {
        {
            let state = connection.lock();
            if !wants_connection(&state) {
                if state.session.is_open() {
                    *self = Self::new();
                }
                return;
            }
        }
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + self.pause);
        self.pause = (2 * self.pause).min(PAUSE_MAX);
        // Why it failed does not matter: it may still succeed until the trainer counts as orphaned.
        let _ = connection.connect();
    }

    fn due(&self, state: &State) -> Option<Instant> {
        if wants_connection(state) { Some(self.next.unwrap_or_else(Instant::now)) } else { None }
    }
}

fn wants_connection(state: &State) -> bool {
    state.socket.is_none() && !state.closed && state.end.allows_reconnect()
}

/// Between two tries to connect: short at first, for a socket that is being bound again.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Nothing to do is looked at again after this.
const IDLE_TIME: Duration = Duration::from_secs(1);
