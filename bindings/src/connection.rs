//! The process's one connection to its orchestrator: a shell around `TrainerSession`.
//!
//! ```text
//!   Python threads                                      IO thread (never touches Python)
//!     report()  ─► state ─► one non-blocking send         timers: heartbeats, rows that wait
//!     next()    ─► reader ─► recv ─► state                leftovers of a full socket
//!     finish()  ─► state ─► send, then as next()          reads while no Python thread does
//!                                                         reconnects
//! ```
//!
//! Two locks, always taken in this order: `reader` is held by whoever reads the socket, also while
//! it sleeps in `recv`; `state` for as long as it takes to feed the session or to send what it has,
//! never across anything that sleeps (but the spool's fsync, when nobody is left to talk to). Nobody
//! who holds one of them takes the GIL.
//!
//! A Python thread that waits reads the socket itself, so a short task costs one `recv` and one
//! `send`. The IO thread takes over when a task lasts: at once if the one before it did (one
//! `epoll_ctl`), else when its timers next wake it, which they do within 100 ms of a start.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::session::{RowLimits, TrainerSession};

use crate::call_sites::CallSites;
use crate::delivered::Queued;
use crate::end::End;
use crate::environment::Environment;
use crate::poller::Poller;
use crate::reader::Reader;
use crate::rows::Rows;
use crate::slab::Slabs;
use crate::stop::Run;

pub(crate) struct Connection {
    pub(crate) environment: Environment,
    pub(crate) poller: Poller,
    pub(crate) reader: Mutex<Reader>,
    state: Mutex<State>,
    /// Reported, not given to the session yet.
    pub(crate) rows: Rows<CallSites>,
    /// Something in `state` that a thread without the reader may wait for has changed.
    pub(crate) changed: Condvar,
}

pub(crate) struct State {
    pub(crate) session: TrainerSession,
    pub(crate) writer: FrameWriter,
    /// `None` between connections.
    pub(crate) socket: Option<Arc<OwnedFd>>,
    /// There has been a Welcome, on this connection or an earlier one.
    pub(crate) welcomed: bool,
    /// How long a waiting thread polls before it sleeps, from the Welcome.
    pub(crate) poll: Duration,
    /// The peer has closed its end; what it sent before can still be read.
    pub(crate) send_broken: bool,
    /// What is lent to Python out of the orchestrator's own memory.
    pub(crate) slabs: Slabs,
    /// Delivered, not given to Python yet.
    pub(crate) queued: VecDeque<Queued>,
    /// Given to Python, not ended yet; one, but for threads that each work on a task.
    pub(crate) runs: Vec<Arc<Run>>,
    pub(crate) end: End,
    /// Folder for results nobody acknowledges, from the Welcome.
    pub(crate) spool: Option<PathBuf>,
    /// Our files in it.
    pub(crate) spooled: Vec<PathBuf>,
    /// Messages that lie there because the connection is gone.
    spooled_messages: usize,
    /// Since when it is.
    alone_since: Option<Instant>,
    /// The orchestrator owes an answer and is silent.
    pub(crate) quiet: bool,
    /// Python threads that wait and therefore read.
    pub(crate) waiting: usize,
    /// Those among them that wait on `changed`, because another one reads.
    pub(crate) sleeping: usize,
    /// The IO thread is woken by what arrives.
    pub(crate) armed: bool,
    /// The IO thread is woken when the socket takes more.
    pub(crate) want_write: bool,
    /// When the IO thread looks at the clock next.
    pub(crate) io_wakes_at: Option<Instant>,
    /// The IO thread shall end.
    pub(crate) closed: bool,
    pub(crate) started_at: Option<Instant>,
    /// The IO thread need not be armed for the next one.
    pub(crate) last_task_short: bool,
    /// Results that wait for company.
    held: Option<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    until: Instant,
    results: u32,
}

impl Connection {
    /// Not connected yet.
    pub(crate) fn new(environment: Environment, session: TrainerSession, poller: Poller) -> Self {
        let state = State {
            session,
            writer: FrameWriter::default(),
            socket: None,
            welcomed: false,
            poll: Duration::ZERO,
            send_broken: false,
            slabs: Slabs::default(),
            queued: VecDeque::new(),
            runs: Vec::new(),
            end: End::NotYet,
            spool: None,
            spooled: Vec::new(),
            spooled_messages: 0,
            alone_since: None,
            quiet: false,
            waiting: 0,
            sleeping: 0,
            armed: false,
            want_write: false,
            io_wakes_at: None,
            closed: false,
            started_at: None,
            last_task_short: false,
            held: None,
        };
        Self {
            environment,
            poller,
            reader: Mutex::new(Reader::new()),
            state: Mutex::new(state),
            rows: Rows::new(RowLimits::default()),
            changed: Condvar::new(),
        }
    }

    /// Another process of its group is the trainer; this one gets what that gets.
    pub(crate) fn is_replica(&self) -> bool {
        !self.environment.ranks.is_primary()
    }

    /// Ends the IO thread and the connection.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.clear_spool();
        self.disconnect(&mut state, Instant::now());
        self.poller.wake();
    }

    /// After every command: hears what the session has to say, sends what should leave, and sees to
    /// it that the IO thread wakes in time for the rest.
    pub(crate) fn after_command(&self, state: &mut State, now: Instant, flush: Flush) {
        self.drain_events(state, None);
        if flush == Flush::WithCompany {
            let held = state.held.get_or_insert(Held { until: now + COMPANY_TIME, results: 0 });
            held.results += 1;
        }
        let stays = |held: Held| now < held.until && held.results < COMPANY_MAX;
        match state.held.filter(|held| flush != Flush::Now && stays(*held)) {
            Some(held) => self.wake_io_thread_for(state, Some(held.until)),
            None => {
                // The session gives what is due and keeps what is not.
                self.transmit(state, now);
                self.wake_io_thread_for_timers(state);
            }
        }
    }

    /// Sends what is due, as far as the socket takes it at once.
    pub(crate) fn transmit(&self, state: &mut State, now: Instant) {
        state.held = None;
        state.slabs.collect(&mut state.session);
        crate::transmit::transmit(self, state, now);
    }

    pub(crate) fn wake_io_thread_for_timers(&self, state: &mut State) {
        self.wake_io_thread_for(state, state.session.poll_timeout());
    }

    fn wake_io_thread_for(&self, state: &mut State, due: Option<Instant>) {
        let (Some(due), Some(wakes_at)) = (due, state.io_wakes_at) else { return };
        if due < wakes_at {
            state.io_wakes_at = Some(due);
            self.poller.wake();
        }
    }

    /// From now on the IO thread reads, unless somebody waits.
    pub(crate) fn arm(&self, state: &mut State) {
        if state.waiting == 0 && !state.armed && state.socket.is_some() {
            state.armed = true;
            self.poller.watch(state);
        }
    }

    /// Writes all that is unacknowledged into the spool, if there is anything.
    pub(crate) fn spool(&self, state: &mut State) -> std::io::Result<()> {
        // The primary's files have the same names, and nothing rests on a replica's word.
        if self.is_replica() || state.session.unacknowledged().next().is_none() {
            return Ok(());
        }
        let Some(folder) = &state.spool else {
            return Err(std::io::Error::other("the orchestrator named no spool folder"));
        };
        for name in crate::spool::write(folder, state.session.unacknowledged())? {
            if !state.spooled.contains(&name) {
                state.spooled.push(name);
            }
        }
        Ok(())
    }

    /// While there is no orchestrator, what it should have acknowledged goes to the spool after a moment:
    /// nobody may come before this process is killed. Says when to look again.
    pub(crate) fn spool_while_alone(&self, state: &mut State, now: Instant) -> Option<Instant> {
        if state.socket.is_some() || !state.welcomed {
            (state.alone_since, state.spooled_messages) = (None, 0);
            state.clear_spool();
            return None;
        }
        let since = *state.alone_since.get_or_insert(now);
        let messages = state.session.unacknowledged().count();
        if messages == state.spooled_messages || state.spool.is_none() {
            return None;
        }
        if now < since + ALONE_TIME {
            return Some(since + ALONE_TIME);
        }
        // A full disk may have room later; the end of this process tries again in any case.
        match self.spool(state) {
            Ok(()) => state.spooled_messages = messages,
            Err(_) => return Some(now + ALONE_TIME),
        }
        None
    }

    /// `None` if somebody else has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A panic under the lock leaves the state as usable as it was: every step of it is complete
    /// in itself.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes what was spooled, if all of it was acknowledged after all.
    fn clear_spool(&mut self) {
        if !self.spooled.is_empty() && self.session.unacknowledged().next().is_none() {
            for file in self.spooled.drain(..) {
                let _ = std::fs::remove_file(file);
            }
        }
    }

    /// From when on the IO thread reads what nobody waits for. Python comes back from a short task sooner, and
    /// two threads that read in turn cost each task a hand-over.
    pub(crate) fn reads_from(&self) -> Option<Instant> {
        Some(self.started_at? + SHORT_TASK)
    }

    /// Whether an Ack can no longer be hoped for, and why.
    pub(crate) fn no_ack_comes(&self) -> Option<End> {
        let over = match &self.end {
            End::NotYet | End::Leaving => false,
            End::Bye(_) => self.socket.is_none(),
            End::Refused(_) | End::Failed { .. } | End::Orphaned => true,
        };
        over.then(|| self.end.clone())
    }
}

/// How soon a command's message should leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Somebody waits for it.
    Now,
    /// When the session says so.
    Later,
    /// Another task is at hand, and its result can go along: a system call less for most of them.
    WithCompany,
}

/// Tasks shorter than this come so fast that the IO thread need not be armed for each.
pub(crate) const SHORT_TASK: Duration = Duration::from_millis(100);

/// A restart of the orchestrator is mostly over by then, and costs no fsync.
const ALONE_TIME: Duration = Duration::from_secs(1);

/// How long a result may wait for the next one's, and how many may wait: few enough for the
/// orchestrator to answer while the trainer still has tasks at hand.
const COMPANY_TIME: Duration = Duration::from_millis(5);
const COMPANY_MAX: u32 = 16;
