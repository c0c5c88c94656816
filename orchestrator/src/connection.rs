//! One connection of a trainer: a loop without decisions around an [`OrchestratorSession`].
//!
//! ```text
//!            ┌── read until it would block ──► FrameReader ──► Session ──► one message to the driver
//!  socket ◄──┤
//!            └── gathered writes ◄── FrameWriter ◄── Session ◄── commands of the driver
//! ```
//!
//! A trainer that does not read is no danger: while more than [`UNSENT_BYTES_MAX`] wait for it,
//! nothing is read from it either, so that it can cause no further answers; it is called quiet and
//! in the end lost. A trainer that writes without end gets its share and no more
//! (`READS_PER_TURN_MAX`).

mod io;
mod stream;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::JobId;
use trainwire_protocol::message::{AckEntry, Bye, Deliver, Refused, Report, Stop, Welcome};
use trainwire_protocol::session::{OrchestratorEvent, OrchestratorSession, Timeouts};
use trainwire_unix::PidFd;

use self::io::Depth;
use self::stream::Stream;
use crate::clock;
use crate::driver::Message;
use crate::payload::Payload;
use crate::record::JobNo;
use crate::scheduler::{ConnectionNo, Input};

/// What connections of one job have in common.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) job: JobNo,
    pub(crate) job_id: JobId,
    /// Trainers may be started by hand.
    pub(crate) attach: bool,
    /// The Scheduler waits for progress, so it wants to hear of heartbeats.
    pub(crate) forward_heartbeats: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: ReaderLimits,
    pub(crate) driver: mpsc::Sender<Message>,
    /// Of the whole orchestrator.
    pub(crate) numbers: Arc<AtomicU64>,
}

/// The process that connected.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    /// Of processes that may have been started by hand.
    pub(crate) pidfd: Option<PidFd>,
}

/// What the driver wants of a connection.
#[derive(Debug)]
pub(crate) enum Command {
    Welcome(Welcome),
    Refuse(Refused),
    Deliver {
        deliver: Deliver,
        payload: Payload,
    },
    Ack(AckEntry),
    Stop(Stop),
    Bye(Bye),
    /// Read until the socket would block, hand everything over, then say [`Input::Drained`].
    Drain,
    /// As `Drain`, without a word at the end: dropping the guard is the answer.
    CatchUp(#[allow(dead_code, reason = "its drop is what counts")] mpsc::Sender<()>),
    Close,
}

/// What a trainer said.
#[derive(Debug)]
pub(crate) enum Arrival {
    Input(Input),
    /// Goes to the metrics and the listeners; the Scheduler learns only that there was progress.
    Report(Report),
}

impl Connector {
    /// Serves a connection until it ends.
    pub(crate) fn connect(&self, stream: UnixStream, peer: Peer) {
        let stream = match Stream::new(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(job = %self.job_id, pid = peer.pid, %error, "a connection cannot be watched");
                return;
            }
        };
        let number = ConnectionNo(self.numbers.fetch_add(1, Ordering::Relaxed));
        let (sender, commands) = mpsc::unbounded_channel();
        let connection = Connection {
            number,
            pid: peer.pid,
            shared: self.clone(),
            stream,
            session: OrchestratorSession::new(clock::monotonic(), self.timeouts),
            reader: FrameReader::new(self.limits),
            writer: FrameWriter::default(),
            commands,
            descriptors: Vec::new(),
            arrivals: Vec::new(),
            writable: true,
        };
        let driver = self.driver.clone();
        tokio::spawn(async move {
            let connected = Message::Connected { connection: number, peer, commands: sender };
            if driver.send(connected).await.is_ok() {
                connection.run().await;
            }
        });
    }
}

struct Connection {
    number: ConnectionNo,
    pid: i32,
    shared: Connector,
    stream: Stream,
    session: OrchestratorSession,
    reader: FrameReader,
    writer: FrameWriter,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Of tasks that wait in the session or the writer, by delivery.
    descriptors: Vec<(u64, Payload)>,
    /// Not handed to the driver yet.
    arrivals: Vec<Arrival>,
    /// `false` once a write has failed. What the trainer wrote before is read all the same.
    writable: bool,
}

/// The connection is over.
enum Over {
    /// By the trainer's end of file, or an error with this code.
    Ended(Option<&'static str>),
    /// The driver wants no more of it, or is gone.
    Closed,
}

impl Connection {
    async fn run(mut self) {
        let Err(over) = self.serve().await;
        // The parting word, as far as the socket takes it.
        let _ = self.write();
        if let Over::Ended(code) = over {
            self.arrivals.push(Arrival::Input(Input::Disconnected { connection: self.number, code }));
            let _ = self.hand_over().await;
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Over> {
        let incoming = self.stream.incoming();
        let mut commands = Vec::with_capacity(COMMANDS_PER_TURN_MAX);
        // Moved only forwards: a deadline that went away is noticed when the timer fires.
        let mut alarm = self.session.poll_timeout();
        let mut timer = pin!(sleep_until(alarm.unwrap_or_else(clock::monotonic).into()));
        loop {
            self.write()?;
            if self.session.is_over() {
                return Err(Over::Ended(None));
            }
            let deadline = self.session.poll_timeout();
            if deadline.is_some_and(|deadline| alarm.is_none_or(|alarm| deadline < alarm)) {
                alarm = deadline;
                timer.as_mut().reset(deadline.unwrap_or_else(clock::monotonic).into());
            }
            let may_read = self.writer.len_bytes() < UNSENT_BYTES_MAX;
            tokio::select! {
                biased;
                received = self.commands.recv_many(&mut commands, COMMANDS_PER_TURN_MAX) => {
                    if received == 0 {
                        return Err(Over::Closed);
                    }
                    for command in commands.drain(..) {
                        self.perform(command).await?;
                    }
                }
                ready = incoming.ready(), if may_read => {
                    let mut ready = ready.map_err(|_| Over::Ended(Some(IO_ERROR)))?;
                    if self.read_turn(Depth::Turn).await? {
                        ready.clear_ready();
                    }
                }
                () = self.stream.has_room(), if self.stream.is_full() => {}
                () = &mut timer, if alarm.is_some() => {
                    alarm = None;
                    self.time_out().await?;
                }
            }
        }
    }

    async fn perform(&mut self, command: Command) -> Result<(), Over> {
        match command {
            Command::Welcome(welcome) => self.session.welcome(clock::monotonic(), welcome),
            Command::Refuse(refused) => self.session.refuse(refused),
            Command::Deliver { deliver, payload } => {
                let travels = if payload.descriptor().is_some() {
                    let token = deliver.delivery.0;
                    self.descriptors.push((token, payload));
                    DeliverPayload::Descriptor { token }
                } else {
                    DeliverPayload::Inline(payload.task().as_bytes().clone())
                };
                self.session.deliver(deliver, travels);
            }
            Command::Ack(entry) => self.session.ack(entry),
            Command::Stop(stop) => self.session.stop(stop),
            Command::Bye(bye) => self.session.bye(bye),
            Command::Drain => {
                let ended = self.read_turn(Depth::Drain).await;
                self.arrivals.push(Arrival::Input(Input::Drained { connection: self.number }));
                self.hand_over().await?;
                ended?;
            }
            Command::CatchUp(_guard) => drop(self.read_turn(Depth::Drain).await?),
            Command::Close => return Err(Over::Closed),
        }
        Ok(())
    }

    /// What is in the socket came in time, however late we are.
    async fn time_out(&mut self) -> Result<(), Over> {
        if self.session.poll_timeout().is_some_and(|deadline| deadline <= clock::monotonic()) {
            self.read_turn(Depth::Turn).await?;
            let handled = self.session.handle_timeout(clock::monotonic());
            self.collect_events();
            self.hand_over().await?;
            handled.map_err(|error| Over::Ended(Some(error.code())))?;
        }
        Ok(())
    }

    /// Reads what there is, within bounds, and hands it to the driver in one piece. Whether the socket
    /// is empty now.
    async fn read_turn(&mut self, depth: Depth) -> Result<bool, Over> {
        let read = self.read(depth);
        self.hand_over().await?;
        read
    }

    fn collect_events(&mut self) {
        let (connection, job) = (self.number, self.shared.job);
        while let Some(event) = self.session.poll_event() {
            let input = match event {
                OrchestratorEvent::Report(report) => {
                    self.arrivals.push(Arrival::Report(report));
                    continue;
                }
                OrchestratorEvent::Heartbeat(_) if !self.shared.forward_heartbeats => continue,
                OrchestratorEvent::Heartbeat(heartbeat) => Input::Heartbeat { connection, heartbeat },
                OrchestratorEvent::Hello(hello) => {
                    Input::Hello { connection, job, hello: Box::new(hello), pid: self.pid }
                }
                OrchestratorEvent::Started(delivery) => Input::Started { connection, delivery: delivery.0 },
                OrchestratorEvent::Checkpoint(checkpoint) => Input::Checkpoint { connection, checkpoint },
                OrchestratorEvent::Result(result) => Input::Result { connection, result },
                // No slab was shared, so nothing is held.
                OrchestratorEvent::Released(_) => continue,
                OrchestratorEvent::Bye(bye) => Input::Bye { connection, bye },
                OrchestratorEvent::Quiet => Input::Quiet { connection },
                OrchestratorEvent::Heard => Input::Heard { connection },
            };
            self.arrivals.push(Arrival::Input(input));
        }
    }

    async fn hand_over(&mut self) -> Result<(), Over> {
        if self.arrivals.is_empty() {
            return Ok(());
        }
        // The next turn brings about as much as this one.
        let room = Vec::with_capacity(self.arrivals.len());
        let arrivals = std::mem::replace(&mut self.arrivals, room);
        let arrived = Message::Arrived { connection: self.number, arrivals };
        self.shared.driver.send(arrived).await.map_err(|_| Over::Closed)
    }
}

/// Above this nothing is read: room for one large round of acknowledgements.
const UNSENT_BYTES_MAX: usize = 512 << 10;

const COMMANDS_PER_TURN_MAX: usize = 128;

/// The connection broke rather than ended.
const IO_ERROR: &str = "io_error";

#[cfg(test)]
mod tests;
