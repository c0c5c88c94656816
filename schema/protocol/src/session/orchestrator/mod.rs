//! The orchestrator's end of one connection. A trainer that reconnects gets a new one.
//!
//! ```text
//!               Hello            welcome
//!   AwaitHello ──────► Deciding ─────────► Open
//!        │                 │ refuse          │ refuse
//!        └──── an error ───┴────────► Over ◄─┘
//! ```
//!
//! It checks what can be known from the connection alone. Which deliveries are whose, and what comes
//! too late, is the Scheduler's business.

mod outgoing;

use std::collections::VecDeque;
use std::time::Instant;

use super::link::{HeardAgain, Link, Timeouts, WentQuiet};
use crate::error::{Fault, ProtocolError};
use crate::frame::{DeliverPayload, Frame, FrameWriter, Kind};
use crate::id::Delivery;
use crate::limits::PROTOCOL_VERSION;
use crate::message::{
    AckEntry, Bye, Checkpoint, Deliver, FromTrainer, Heartbeat, Hello, Refused, Report, Slab, Stop,
    TaskResult, ToTrainer, Welcome,
};
use outgoing::Outgoing;

/// The orchestrator's end of one connection.
#[derive(Debug)]
pub struct OrchestratorSession {
    link: Link,
    state: State,
    events: VecDeque<OrchestratorEvent>,
}

/// What a trainer said, and whether it says anything.
#[derive(Clone, Debug, PartialEq)]
pub enum OrchestratorEvent {
    /// Answer with [`welcome`](OrchestratorSession::welcome) or
    /// [`refuse`](OrchestratorSession::refuse). Its versions include ours.
    Hello(Hello),
    /// The trainer's code has the task. Not sent for a task that ends soon.
    Started(Delivery),
    /// Rows of metrics.
    Report(Report),
    /// To be acknowledged.
    Checkpoint(Checkpoint),
    /// To be acknowledged.
    Result(TaskResult),
    /// The process lives.
    Heartbeat(Heartbeat),
    /// Nobody looks at the bytes of these deliveries in a slab any more. They may be unknown.
    Released(Vec<Delivery>),
    /// The trainer takes no more work; what it still has follows.
    Bye(Bye),
    /// Nothing has come for `recv_timeout`, though heartbeats should. Ends nothing.
    Quiet,
    /// Something has come again.
    Heard,
}

#[derive(Debug)]
enum State {
    AwaitHello,
    /// The Hello is with the Scheduler; the trainer waits for the answer.
    Deciding,
    Open(Outgoing),
    /// Nothing is taken and nothing given any more.
    Over {
        /// What it ended by, unless we refused it.
        error: Option<Box<ProtocolError>>,
        /// What the trainer is still to be told.
        parting: Option<Box<Refused>>,
    },
}

impl OrchestratorSession {
    /// A connection that was just accepted.
    pub fn new(now: Instant, timeouts: Timeouts) -> Self {
        Self { link: Link::new(now, timeouts), state: State::AwaitHello, events: VecDeque::new() }
    }

    /// Call with every frame, in order.
    ///
    /// # Errors
    ///
    /// The trainer broke the protocol, or speaks no version we speak. The connection is over, and
    /// every further call gives the same error.
    pub fn handle_frame(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), ProtocolError> {
        if let State::Over { error, .. } = &self.state {
            return error.as_deref().cloned().map_or(Ok(()), Err);
        }
        let heard = self.link.frame(now);
        self.heard(heard);
        let decoded = frame.decode_from_trainer();
        let handled = decoded.and_then(|message| self.receive(frame.kind, message));
        self.or_over(handled)
    }

    /// Call when bytes came and the last frame among them is incomplete. The frame's deadline is
    /// set by the first such call.
    pub fn handle_partial(&mut self, now: Instant) {
        if !self.is_over() {
            let heard = self.link.partial(now);
            self.heard(heard);
        }
    }

    /// Call with an error that `FrameReader` gave. The connection is over.
    pub fn handle_error(&mut self, error: ProtocolError) {
        if !self.is_over() {
            let parting = (error.fault() == Fault::Peer).then(|| Box::new(refusal(&error)));
            self.state = State::Over { error: Some(Box::new(error)), parting };
        }
    }

    /// Call when [`poll_timeout`](Self::poll_timeout) has passed.
    ///
    /// # Errors
    ///
    /// The Hello, or the rest of a frame, did not come in time. The connection is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if self.is_over() {
            return Ok(());
        }
        let concluded = self.link.handle_timeout(now);
        if let Ok(Some(WentQuiet)) = concluded {
            self.events.push_back(OrchestratorEvent::Quiet);
        }
        self.or_over(concluded.map(|_| ()))
    }

    /// The next thing to know. Call until `None` after every `handle_*`.
    pub fn poll_event(&mut self) -> Option<OrchestratorEvent> {
        let event = self.events.pop_front();
        if event.is_none() {
            // A trainer is silent most of its life: no memory is kept for what it might say.
            self.events = VecDeque::new();
        }
        event
    }

    /// Appends what is to be sent: the Welcome, then Acks and Stops, then Delivers while the writer
    /// holds less than 256 KiB. Call after every `handle_*` and every command, and after each write.
    ///
    /// # Errors
    ///
    /// A message of the caller cannot be sent. The connection is over.
    pub fn poll_transmit(&mut self, _now: Instant, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        let transmitted = match &mut self.state {
            State::AwaitHello | State::Deciding => Ok(()),
            State::Open(outgoing) => outgoing.transmit(writer),
            State::Over { parting, .. } => {
                parting.take().map_or(Ok(()), |refused| writer.push_to_trainer(&ToTrainer::Refused(*refused)))
            }
        };
        self.or_over(transmitted)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_over() { None } else { self.link.poll_timeout() }
    }

    /// Whether the connection is to be closed as soon as the writer is empty, or the socket takes no
    /// more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    /// Lets the trainer in. Does nothing unless a Hello waits for its answer.
    pub fn welcome(&mut self, now: Instant, welcome: Welcome) {
        if let State::Deciding = self.state {
            self.state = State::Open(Outgoing::new(welcome));
            self.link.watch_silence(now);
        }
    }

    /// Turns the trainer away, or ends the connection, e.g. because it was replaced. What was not
    /// given to the writer yet is forgotten.
    pub fn refuse(&mut self, refused: Refused) {
        if !self.is_over() {
            self.state = State::Over { error: None, parting: Some(Box::new(refused)) };
        }
    }

    /// Shares a slab, ahead of every task handed over from here on; its descriptor is known to the
    /// caller by `token`. Those that point into it come after. Does nothing unless the connection is
    /// open.
    pub fn share(&mut self, slab: Slab, token: u64) {
        if let State::Open(outgoing) = &mut self.state {
            outgoing.share(slab, token);
        }
    }

    /// Hands a task over. One that is in a slab must be in the one shared last on this connection, and
    /// a trainer may hold at most [`HELD_MAX`](crate::limits::HELD_MAX) of them. Does nothing unless the connection is open: the trainer's next Hello will
    /// not list the delivery.
    pub fn deliver(&mut self, deliver: Deliver, payload: DeliverPayload) {
        if let State::Open(outgoing) = &mut self.state {
            outgoing.deliver(deliver, payload);
        }
    }

    /// Asks for the end of a delivery. Overtakes every Deliver but its own. Does nothing unless the
    /// connection is open.
    pub fn stop(&mut self, stop: Stop) {
        if let State::Open(outgoing) = &mut self.state {
            outgoing.stop(stop);
        }
    }

    /// Acknowledges a result or checkpoint; those of one round share a frame. Does nothing unless
    /// the connection is open: the trainer will send it again.
    pub fn ack(&mut self, entry: AckEntry) {
        if let State::Open(outgoing) = &mut self.state {
            outgoing.ack(entry);
        }
    }

    /// There is no more work: leaves after everything else. Results are taken and acknowledged as
    /// before. Does nothing unless the connection is open.
    pub fn bye(&mut self, bye: Bye) {
        if let State::Open(outgoing) = &mut self.state {
            outgoing.bye(bye);
        }
    }

    fn receive(&mut self, kind: Kind, message: FromTrainer) -> Result<(), ProtocolError> {
        match (&self.state, message) {
            (State::AwaitHello, FromTrainer::Hello(hello)) => {
                self.link.handshake_done();
                let theirs = (hello.protocol_min, hello.protocol_max);
                if !(theirs.0..=theirs.1).contains(&PROTOCOL_VERSION) {
                    return Err(ProtocolError::Version {
                        ours: (PROTOCOL_VERSION, PROTOCOL_VERSION),
                        theirs,
                    });
                }
                self.state = State::Deciding;
                self.events.push_back(OrchestratorEvent::Hello(hello));
            }
            (State::AwaitHello, _) => return Err(ProtocolError::HelloExpected { kind }),
            (_, FromTrainer::Hello(_)) => return Err(ProtocolError::HelloTwice { kind }),
            // Nobody has looked at its token yet, so nothing it says may count.
            (State::Deciding, _) => return Err(ProtocolError::HelloExpected { kind }),
            (State::Open(_), message) => self.events.push_back(event(message)),
            (State::Over { .. }, _) => {}
        }
        Ok(())
    }

    fn heard(&mut self, heard: Option<HeardAgain>) {
        if let Some(HeardAgain) = heard {
            self.events.push_back(OrchestratorEvent::Heard);
        }
    }

    /// An error ends the connection.
    fn or_over(&mut self, result: Result<(), ProtocolError>) -> Result<(), ProtocolError> {
        result.inspect_err(|error| self.handle_error(error.clone()))
    }
}

fn event(message: FromTrainer) -> OrchestratorEvent {
    match message {
        FromTrainer::Hello(hello) => OrchestratorEvent::Hello(hello),
        FromTrainer::Started(delivery) => OrchestratorEvent::Started(delivery),
        FromTrainer::Report(report) => OrchestratorEvent::Report(report),
        FromTrainer::Checkpoint(checkpoint) => OrchestratorEvent::Checkpoint(checkpoint),
        FromTrainer::Result(result) => OrchestratorEvent::Result(result),
        FromTrainer::Heartbeat(heartbeat) => OrchestratorEvent::Heartbeat(heartbeat),
        FromTrainer::Release(deliveries) => OrchestratorEvent::Released(deliveries),
        FromTrainer::Bye(bye) => OrchestratorEvent::Bye(bye),
    }
}

/// The parting word for a trainer that made a mistake. Another connection can go better, unless it
/// is the version that does not fit.
fn refusal(error: &ProtocolError) -> Refused {
    Refused {
        code: error.code().to_owned(),
        text: error.to_string(),
        retry_later: !matches!(error, ProtocolError::Version { .. }),
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
    }
}

#[cfg(test)]
mod tests;
