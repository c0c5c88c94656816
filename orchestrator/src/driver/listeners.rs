//! The sockets of all jobs: accepting, doing without descriptors for a while, keeping the names.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use trainwire_protocol::session::Timeouts;

use super::{Driver, Followup};
use crate::by_number::ByNumber;
use crate::connection::{Connection, Terms};
use crate::listener::{self, Listener};
use crate::planted;
use crate::readiness::{Source, Wanted};
use crate::record::JobNo;
use crate::scheduler::{ConnectionNo, Input};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    bound: ByNumber<JobNo, Listener>,
    /// Their sockets may be there from before a restart.
    pub(super) bound_before: HashSet<JobNo>,
    /// Not watched, because there was no descriptor for who waits there.
    paused: VecDeque<JobNo>,
    /// When the first of `paused` is tried again; set exactly while there is one.
    again_at: Option<Instant>,
    /// When the names of a few are looked at; set while one is bound.
    names_at: Option<Instant>,
    /// The last one whose name was looked at.
    looked_at: Option<JobNo>,
}

impl Listeners {
    /// When to call [`Driver::tend_listeners`], if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.again_at, self.names_at].into_iter().flatten().min()
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Driver {
    pub(super) fn bind(&mut self, job: JobNo) {
        let Some(slot) = self.jobs.get(&job) else { return };
        let path = self.layout.socket(&slot.feed.job_id);
        let again = self.listeners.bound_before.remove(&job);
        let bound = Listener::bind(&path, again).map_err(|error| (error.code(), error.to_string()));
        let watched = bound.and_then(|listener| {
            let watched = self.readiness.add(&listener, Source::Listener(job), Wanted::BYTES);
            watched.map(|()| listener).map_err(|error| ("socket_system", error.to_string()))
        });
        let input = match watched {
            Ok(listener) => {
                self.listeners.bound.insert(job, listener);
                self.listeners.names_at.get_or_insert(self.now.monotonic + self.names_interval);
                Input::Bound { job }
            }
            Err((code, text)) => Input::BindFailed { job, code, text },
        };
        self.followups.push_back(Followup::Input(input));
    }

    pub(super) fn unbind(&mut self, job: JobNo) {
        if let Some(listener) = self.listeners.bound.remove(&job) {
            self.readiness.remove(&listener);
            if planted::is("socket-stays") {
                std::mem::forget(listener);
            }
        }
    }

    /// Somebody connects: one turn is one connection, so that no job's crowd holds up the others.
    pub(super) fn accept(&mut self, job: JobNo) {
        let Some(listener) = self.listeners.bound.get(&job) else { return };
        match listener.accept() {
            Ok(None) => {}
            Ok(Some(socket)) => {
                if !self.listeners.paused.is_empty() {
                    tracing::info!("there are descriptors again; connections are accepted");
                    self.resume_all();
                }
                self.admit(job, socket);
            }
            Err(error) => self.pause(job, &error),
        }
    }

    /// Everybody who connected while this process was paused.
    pub(super) fn accept_waiting(&mut self) {
        let jobs: Vec<JobNo> = self.listeners.bound.keys().collect();
        for job in jobs {
            let mut known = None;
            while known.replace(self.last_connection) != Some(self.last_connection) {
                self.accept(job);
            }
        }
    }

    /// What the time asks for.
    pub(super) fn tend_listeners(&mut self) {
        let now = self.now.monotonic;
        if self.listeners.again_at.is_some_and(|at| at <= now) {
            // One alone: if there is still no descriptor, that costs one call, however many wait.
            self.listeners.again_at = Some(now + ACCEPT_PAUSE);
            if let Some(job) = self.listeners.paused.front().copied() {
                self.resume(job);
            }
        }
        if self.listeners.names_at.is_some_and(|at| at <= now) {
            self.look_at_names();
        }
    }

    /// A listener that stays ready would wake us for ever, so it is not watched for a while. Whoever waits
    /// in the backlog goes on waiting.
    fn pause(&mut self, job: JobNo, error: &io::Error) {
        let Some(listener) = self.listeners.bound.get(&job) else { return };
        self.readiness.change(listener, Source::Listener(job), Wanted::NOTHING);
        if self.listeners.paused.is_empty() {
            tracing::warn!(
                code = "accept_failed",
                %error,
                connections = self.connections.len(),
                "no connection can be accepted; trainers wait until descriptors are free"
            );
        }
        if !self.listeners.paused.contains(&job) {
            self.listeners.paused.push_back(job);
        }
        self.listeners.again_at.get_or_insert(self.now.monotonic + ACCEPT_PAUSE);
    }

    fn resume(&mut self, job: JobNo) {
        match self.listeners.bound.get(&job) {
            Some(listener) => self.readiness.change(listener, Source::Listener(job), Wanted::BYTES),
            // Its job has ended meanwhile.
            None => self.listeners.paused.retain(|paused| *paused != job),
        }
        if self.listeners.paused.is_empty() {
            self.listeners.again_at = None;
        }
    }

    fn resume_all(&mut self) {
        for job in std::mem::take(&mut self.listeners.paused) {
            self.resume(job);
        }
        self.listeners.again_at = None;
    }

    /// A tenth of all, in turn: each name once in an interval, and no moment with ten thousand of them.
    fn look_at_names(&mut self) {
        let count = self.listeners.bound.len();
        let behind = self.listeners.bound.iter_after(self.listeners.looked_at.unwrap_or(JobNo(0)));
        let in_turn = behind.chain(self.listeners.bound.iter()).map(|(job, _)| job);
        let jobs: Vec<JobNo> = in_turn.take(count.div_ceil(NAME_SHARES)).collect();
        for job in jobs {
            self.listeners.looked_at = Some(job);
            let Some(listener) = self.listeners.bound.get_mut(&job) else { continue };
            let Some(nameless) = listener.renew_name() else { continue };
            self.readiness.remove(&nameless);
            if let Err(error) = self.readiness.add(&*listener, Source::Listener(job), Wanted::BYTES) {
                tracing::error!(%error, "a socket cannot be watched; no trainer can connect");
            }
            while let Ok(Some(socket)) = nameless.accept() {
                self.admit(job, socket);
            }
        }
        let shares = u32::try_from(count.clamp(1, NAME_SHARES)).unwrap_or(1);
        self.listeners.names_at = (count > 0).then(|| self.now.monotonic + self.names_interval / shares);
    }

    fn admit(&mut self, job: JobNo, socket: OwnedFd) {
        let Some(slot) = self.jobs.get(&job) else { return };
        let attach = slot.spec.attach || slot.spec.command.is_empty();
        let peer = match listener::admit(std::os::fd::AsFd::as_fd(&socket), attach) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(job = %slot.feed.job_id, code = "other_uid", %error, "a connection was refused");
                return;
            }
        };
        let terms = Terms {
            job,
            forward_heartbeats: slot.spec.stall_timeout.is_some(),
            timeouts: Timeouts {
                handshake: self.config.handshake_timeout,
                recv_timeout: slot.spec.recv_timeout,
                ..Timeouts::default()
            },
            poll: Duration::from_micros(slot.spec.poll_us.into()),
        };
        self.last_connection += 1;
        let number = ConnectionNo(self.last_connection);
        if let Err(error) = self.readiness.add(&socket, Source::Connection(number), Wanted::BYTES) {
            tracing::warn!(job = %slot.feed.job_id, pid = peer.pid, %error, "a connection cannot be watched");
            return;
        }
        let connection = Connection::new(number, terms, socket, peer, self.now.monotonic);
        self.connections.insert(number, Box::new(connection));
        self.set_alarm(number);
    }
}

/// How soon a name that a cleaner of /tmp removed is there again.
pub(super) const NAMES_INTERVAL: Duration = Duration::from_secs(10);

/// In how many parts the names are looked at.
const NAME_SHARES: usize = 10;

/// Between two tries while there are no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
