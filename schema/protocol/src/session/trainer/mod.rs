//! The trainer's end. It outlives its connections: what is in hand and what is not acknowledged
//! belongs to the process.
//!
//! ```text
//!                connected          Hello sent            Welcome
//!   Detached ──────────────► Greeting ─────► AwaitWelcome ─────────► Open
//!      ▲  ▲                     │                 │                   │
//!      │  └──── disconnected ───┴─────────────────┴───────────────────┤
//!      └─────── disconnected ─── Over ◄── an error, Refused ──────────┘
//! ```

mod commands;
mod held;
mod in_hand;
mod receive;
mod transmit;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::link::{HeardAgain, Link, Timeouts, WentQuiet, earliest};
use super::outbox::{Outbox, OutboxLimits};
use crate::error::ProtocolError;
use crate::frame::{Frame, FrameWriter};
use crate::id::{Delivery, Instance, JobId, Token};
use crate::message::{AckEntry, Bye, Deliver, Refused, Role, Slab, Stop, Welcome};
use held::Held;
use in_hand::Deliveries;

/// The trainer's end of its connections.
#[derive(Debug)]
pub struct TrainerSession {
    identity: Identity,
    /// How many connections there were.
    connections: u32,
    state: State,
    /// When the trainer has been without an orchestrator for too long; `None` before the first
    /// Welcome, while open, and once that has been said.
    orphaned_at: Option<Instant>,
    in_hand: Deliveries,
    /// The latest that was ever delivered; 0 before the first. They ascend.
    newest: Delivery,
    held: Held,
    outbox: Outbox,
    /// How long the trainer's code had the delivery before this one; before the first, unknown.
    last_task: Option<Duration>,
    /// The trainer has said Bye: what is delivered from then on goes back.
    leaving: Option<Bye>,
    events: VecDeque<TrainerEvent>,
}

/// Who a trainer says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The job the socket belongs to.
    pub job_id: JobId,
    /// From the environment; `None` for trainers attached by hand.
    pub token: Option<Token>,
    /// Chosen at random, once for the process.
    pub instance: Instance,
    /// Its part in a distributed job.
    pub role: Role,
    /// Its place in its group; 0 elsewhere.
    pub rank: u32,
    /// How many processes its group has; 0 or 1 where it is alone.
    pub world_size: u32,
    /// How often the launcher of its group has started it anew.
    pub restart: u32,
    /// Name and version of the software, for people.
    pub version: String,
    /// Whether a Stop may ask for the stacks of all threads.
    pub can_dump_stacks: bool,
}

/// What a trainer's shell has to know or do.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainerEvent {
    /// The connection is open. What it dropped follows as [`TrainerEvent::Dropped`].
    Welcomed(Welcome),
    /// The connection is over. Without `retry_later` there must be no other.
    Refused(Refused),
    /// Memory that tasks will be in; its descriptor came with the frame. It takes the place of an earlier
    /// one, which its views keep.
    Slab(Slab),
    /// A task to queue until [`TrainerSession::start`].
    Delivered(Delivered),
    /// For the running delivery: tell the trainer's code.
    Stop(Stop),
    /// A result or checkpoint is no longer kept here. Said once for each.
    Acknowledged(AckEntry),
    /// The delivery was dropped by a Welcome, or went back before it was started: its task can go,
    /// and nobody waits for its result.
    Dropped(Delivery),
    /// There is no more work.
    Bye(Bye),
    /// The orchestrator owes an answer and has been silent for `recv_timeout`.
    Quiet,
    /// It is no longer silent.
    Heard,
    /// `orphan_timeout` has passed without an orchestrator. A connection is still welcome.
    Orphaned,
}

/// A task that has arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// What was said about it.
    pub deliver: Deliver,
    /// Its bytes, exactly `task_size` of them; `None` if they come as a descriptor or are in a slab.
    /// Whoever looks at them in a slab owes a [`TrainerSession::release`], started or not.
    pub inline: Option<Bytes>,
}

#[derive(Debug)]
enum State {
    Detached,
    /// Connected, Hello not given to the writer yet.
    Greeting {
        link: Link,
    },
    AwaitWelcome {
        link: Link,
    },
    Open {
        link: Link,
        terms: Terms,
        heartbeat_at: Instant,
        /// The one sent last on this connection.
        slab: Option<Slab>,
    },
    /// The connection is of no more use.
    Over {
        /// What it ended by, unless the orchestrator refused it.
        error: Option<ProtocolError>,
        /// The same until the orchestrator has been told.
        parting: Option<ProtocolError>,
    },
}

/// From the Welcome.
#[derive(Clone, Copy, Debug)]
struct Terms {
    heartbeat: Duration,
    orphan_timeout: Duration,
}

impl TrainerSession {
    /// A trainer without a connection and with nothing in hand.
    pub fn new(identity: Identity, limits: OutboxLimits) -> Self {
        Self {
            identity,
            connections: 0,
            state: State::Detached,
            orphaned_at: None,
            in_hand: Deliveries::default(),
            newest: Delivery(0),
            held: Held::default(),
            outbox: Outbox::new(limits),
            last_task: None,
            leaving: None,
            events: VecDeque::new(),
        }
    }

    /// Call when a socket is connected, with a new `FrameReader` and a cleared `FrameWriter`. While
    /// connected it is a reconnect.
    pub fn connected(&mut self, now: Instant) {
        self.disconnected(now);
        self.connections = self.connections.saturating_add(1);
        self.state = State::Greeting { link: Link::new(now, Timeouts::default()) };
    }

    /// Call when the socket is closed, by whichever end and for whatever reason. The orphan timeout
    /// counts from here. Without a connection nothing happens.
    pub fn disconnected(&mut self, now: Instant) {
        self.count_orphan_timeout(now);
        self.state = State::Detached;
    }

    /// Call with every frame, in order.
    ///
    /// # Errors
    ///
    /// The orchestrator broke the protocol. The connection is over, and from now on every call gives
    /// the same error until [`disconnected`](Self::disconnected).
    pub fn handle_frame(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), ProtocolError> {
        if let State::Over { error, .. } = &self.state {
            return error.clone().map_or(Ok(()), Err);
        }
        self.heard(now, Link::frame);
        let decoded = frame.decode_to_trainer();
        let handled = decoded.and_then(|(message, task)| self.receive(now, frame.kind, message, task));
        self.or_over(now, handled)
    }

    /// Call when bytes came and the last frame among them is incomplete. The frame's deadline is
    /// set by the first such call.
    pub fn handle_partial(&mut self, now: Instant) {
        self.heard(now, Link::partial);
    }

    /// Call with an error that `FrameReader` or the descriptors gave. The connection is over.
    pub fn handle_error(&mut self, now: Instant, error: ProtocolError) {
        if self.link_mut().is_some() {
            self.over(now, Some(error.clone()), Some(error));
        }
    }

    /// Call when [`poll_timeout`](Self::poll_timeout) has passed.
    ///
    /// # Errors
    ///
    /// The Welcome, or the rest of a frame, did not come in time. The connection is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if self.orphaned_at.is_some_and(|at| at <= now) {
            self.orphaned_at = None;
            self.events.push_back(TrainerEvent::Orphaned);
        }
        let concluded = self.link_mut().map_or(Ok(None), |link| link.handle_timeout(now));
        if let Ok(Some(WentQuiet)) = concluded {
            self.events.push_back(TrainerEvent::Quiet);
        }
        self.or_over(now, concluded.map(|_| ()))
    }

    /// The next thing the shell has to know. Call until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<TrainerEvent> {
        self.events.pop_front()
    }

    /// Appends what is to be sent: the Hello, then nothing until Welcome, then what was not
    /// acknowledged, what is due, and heartbeats. Call after every `handle_*` and every command, and
    /// after each write.
    ///
    /// # Errors
    ///
    /// A message of the caller cannot be sent. The connection is over.
    pub fn poll_transmit(&mut self, now: Instant, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        let transmitted = self.transmit(now, writer);
        self.or_over(now, transmitted)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and then
    /// [`poll_transmit`](Self::poll_transmit), if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Detached | State::Over { .. } => self.orphaned_at,
            State::Greeting { link } | State::AwaitWelcome { link } => {
                earliest([link.poll_timeout(), self.orphaned_at])
            }
            State::Open { link, heartbeat_at, .. } => {
                earliest([link.poll_timeout(), Some(*heartbeat_at), self.outbox.poll_timeout()])
            }
        }
    }

    /// Whether there has been a Welcome on this connection, and nothing since that ended it.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.state {
            State::Greeting { link } | State::AwaitWelcome { link } | State::Open { link, .. } => Some(link),
            State::Detached | State::Over { .. } => None,
        }
    }

    fn heard(&mut self, now: Instant, note: impl FnOnce(&mut Link, Instant) -> Option<HeardAgain>) {
        if self.link_mut().and_then(|link| note(link, now)).is_some() {
            self.events.push_back(TrainerEvent::Heard);
        }
    }

    /// An error ends the connection.
    fn or_over(&mut self, now: Instant, result: Result<(), ProtocolError>) -> Result<(), ProtocolError> {
        result.inspect_err(|error| self.handle_error(now, error.clone()))
    }

    fn over(&mut self, now: Instant, parting: Option<ProtocolError>, error: Option<ProtocolError>) {
        self.count_orphan_timeout(now);
        self.state = State::Over { error, parting };
    }

    /// The end of an open connection starts the orphan timeout; what follows until the next Welcome
    /// does not start it again.
    fn count_orphan_timeout(&mut self, now: Instant) {
        if let State::Open { terms, .. } = &self.state {
            self.orphaned_at = now.checked_add(terms.orphan_timeout);
        }
    }
}

#[cfg(test)]
mod tests;
