//! One connection of a trainer: a socket around an [`OrchestratorSession`], without a task, a buffer
//! or a timer of its own. The driver calls it when there is something to do.
//!
//! ```text
//!            ┌── read until it would block ──► FrameReader ──► Session ──► arrivals, to the driver
//!  socket ◄──┤
//!            └── gathered writes ◄── FrameWriter ◄── Session ◄── what the driver was told to do
//! ```
//!
//! A trainer that does not read is no danger: while more than [`UNSENT_BYTES_MAX`] wait for it,
//! nothing is read from it either, so that it can cause no further answers; it is called quiet and
//! in the end lost. A trainer that writes without end gets its share and no more
//! (`READS_PER_TURN_MAX`).

mod io;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits, SharedBlock};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckEntry, Bye, Deliver, Refused, Report, Stop, Welcome};
use trainwire_protocol::session::{OrchestratorEvent, OrchestratorSession, Timeouts};
use trainwire_unix::PidFd;

use crate::payload::Payload;
use crate::readiness::Wanted;
use crate::record::JobNo;
use crate::scheduler::{ConnectionNo, Input};

pub(crate) use self::io::Depth;

/// See the module.
pub(crate) struct Connection {
    number: ConnectionNo,
    job: JobNo,
    peer: Peer,
    forward_heartbeats: bool,
    socket: OwnedFd,
    session: OrchestratorSession,
    reader: FrameReader,
    /// What the socket did not take; never empty.
    unsent: Option<Box<FrameWriter>>,
    /// Of tasks that wait in the session or the writer, by delivery.
    descriptors: Vec<(u64, Payload)>,
    /// The trainer was told of its job's slab.
    slab_shared: bool,
    /// `false` once a write has failed. What the trainer wrote before is read all the same.
    writable: bool,
    /// What the socket is watched for.
    watched: Wanted,
    /// When the driver looks at the session's deadlines next. Moved only forwards: a deadline that went
    /// away is noticed then.
    pub(crate) alarm: Option<Instant>,
    /// Something is to be sent.
    pub(crate) has_news: bool,
    /// How long the driver polls for an answer to a task.
    poll: Duration,
    /// There was a task in what is to be sent.
    task_leaves: bool,
}

/// What connections of one job have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) job: JobNo,
    /// The Scheduler waits for progress, so it wants to hear of heartbeats.
    pub(crate) forward_heartbeats: bool,
    pub(crate) timeouts: Timeouts,
    /// [`JobSpec::poll_us`](crate::job::JobSpec::poll_us).
    pub(crate) poll: Duration,
}

/// The process that connected.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    /// Of processes that may have been started by hand, until the driver watches it.
    pub(crate) pidfd: Option<PidFd>,
}

/// What one connection after the other uses.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    block: SharedBlock,
    /// Empty between connections.
    writer: FrameWriter,
}

/// What a trainer said.
#[derive(Debug)]
pub(crate) enum Arrival {
    Input(Input),
    /// Goes to the metrics and the listeners; the Scheduler learns only that there was progress.
    Report(Report),
    /// Nobody there looks at these any more, which lie in a slab. The Scheduler need not know.
    Released(Vec<Delivery>),
    /// Somebody there looks at these, and at none but these. Follows a Hello.
    Held(Vec<Delivery>),
}

/// The connection is over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Over {
    /// The end of what the trainer sent, or of what it is to be told.
    Ended,
    /// The socket broke.
    Broken,
    /// The trainer broke the protocol.
    Protocol(ProtocolError),
}

impl Connection {
    pub(crate) fn new(number: ConnectionNo, terms: Terms, socket: OwnedFd, peer: Peer, now: Instant) -> Self {
        Self {
            number,
            job: terms.job,
            peer,
            forward_heartbeats: terms.forward_heartbeats,
            socket,
            session: OrchestratorSession::new(now, terms.timeouts),
            // Tasks only ever flow to the trainer.
            reader: FrameReader::new(ReaderLimits { inline_task_size_bytes_max: 0 }),
            unsent: None,
            descriptors: Vec::new(),
            slab_shared: false,
            writable: true,
            watched: Wanted::BYTES,
            alarm: None,
            has_news: false,
            poll: terms.poll,
            task_leaves: false,
        }
    }

    pub(crate) fn job(&self) -> JobNo {
        self.job
    }

    pub(crate) fn pid(&self) -> i32 {
        self.peer.pid
    }

    /// Once, if the trainer may have been started by hand.
    pub(crate) fn take_pidfd(&mut self) -> Option<PidFd> {
        self.peer.pidfd.take()
    }

    pub(crate) fn welcome(&mut self, now: Instant, welcome: Welcome) {
        self.session.welcome(now, welcome);
    }

    pub(crate) fn refuse(&mut self, refused: Refused) {
        self.session.refuse(refused);
    }

    pub(crate) fn deliver(&mut self, deliver: Deliver, payload: Payload) {
        self.task_leaves = true;
        let travels = match &payload {
            Payload::Inline(task) => DeliverPayload::Inline(task.as_bytes().clone()),
            Payload::Sealed { .. } => {
                let token = deliver.delivery.0;
                self.descriptors.push((token, payload));
                DeliverPayload::Descriptor { token }
            }
            Payload::Slab { slab, .. } => {
                // Once a connection, ahead of the first task in it.
                if !std::mem::replace(&mut self.slab_shared, true) {
                    self.session.share(slab.message(), SLAB_TOKEN);
                    self.descriptors.push((SLAB_TOKEN, payload));
                }
                DeliverPayload::InSlab
            }
        };
        self.session.deliver(deliver, travels);
    }

    pub(crate) fn ack(&mut self, entry: AckEntry) {
        self.session.ack(entry);
    }

    pub(crate) fn stop(&mut self, stop: Stop) {
        self.session.stop(stop);
    }

    pub(crate) fn bye(&mut self, bye: Bye) {
        self.session.bye(bye);
    }

    /// Whether a deadline has passed.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.session.poll_timeout().is_some_and(|deadline| deadline <= now)
    }

    /// Draws the conclusions that are due. What is in the socket came in time, so read it first.
    pub(crate) fn time_out(&mut self, now: Instant, arrivals: &mut Vec<Arrival>) -> Result<(), Over> {
        let handled = self.session.handle_timeout(now);
        self.collect_events(arrivals);
        handled.map_err(Over::Protocol)
    }

    /// After a write: until when an answer is worth polling for.
    pub(crate) fn answer_due(&mut self, now: Instant) -> Option<Instant> {
        let sent = std::mem::take(&mut self.task_leaves) && !self.poll.is_zero();
        sent.then(|| now + self.poll)
    }

    /// Part of what was said is not sent.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// The time to look at its deadlines, if that is earlier than was planned.
    pub(crate) fn earlier_alarm(&mut self) -> Option<Instant> {
        let deadline = self.session.poll_timeout()?;
        let earlier = self.alarm.is_none_or(|alarm| deadline < alarm);
        earlier.then(|| *self.alarm.insert(deadline))
    }

    /// What the socket should be watched for from now on, if that has changed.
    pub(crate) fn watch_anew(&mut self) -> Option<Wanted> {
        let wanted = Wanted { bytes: self.may_read(), room: self.unsent.is_some() };
        let changed = wanted != self.watched;
        self.watched = wanted;
        changed.then_some(wanted)
    }

    fn may_read(&self) -> bool {
        self.unsent.as_ref().is_none_or(|unsent| unsent.len_bytes() < UNSENT_BYTES_MAX)
    }

    fn collect_events(&mut self, arrivals: &mut Vec<Arrival>) {
        let connection = self.number;
        while let Some(event) = self.session.poll_event() {
            let input = match event {
                OrchestratorEvent::Report(report) => {
                    arrivals.push(Arrival::Report(report));
                    continue;
                }
                OrchestratorEvent::Heartbeat(_) if !self.forward_heartbeats => continue,
                OrchestratorEvent::Released(deliveries) => {
                    arrivals.push(Arrival::Released(deliveries));
                    continue;
                }
                OrchestratorEvent::Heartbeat(heartbeat) => Input::Heartbeat { connection, heartbeat },
                OrchestratorEvent::Hello(mut hello) => {
                    let held = std::mem::take(&mut hello.held);
                    let hello = Box::new(hello);
                    let hello = Input::Hello { connection, job: self.job, hello, pid: self.peer.pid };
                    arrivals.extend([Arrival::Input(hello), Arrival::Held(held)]);
                    continue;
                }
                OrchestratorEvent::Started(delivery) => Input::Started { connection, delivery: delivery.0 },
                OrchestratorEvent::Checkpoint(checkpoint) => Input::Checkpoint { connection, checkpoint },
                OrchestratorEvent::Result(result) => Input::Result { connection, result },
                OrchestratorEvent::Bye(bye) => Input::Bye { connection, bye },
                OrchestratorEvent::Quiet => Input::Quiet { connection },
                OrchestratorEvent::Heard => Input::Heard { connection },
            };
            arrivals.push(Arrival::Input(input));
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Over {
    /// Of the error that ended it.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Ended => None,
            Self::Broken => Some(IO_ERROR),
            Self::Protocol(error) => Some(error.code()),
        }
    }
}

/// Above this nothing is read: room for one large round of acknowledgements.
const UNSENT_BYTES_MAX: usize = 512 << 10;

/// The slab's descriptor, among those of deliveries, which are counted from 1.
const SLAB_TOKEN: u64 = 0;

/// The connection broke rather than ended.
const IO_ERROR: &str = "io_error";

#[cfg(test)]
mod tests;
