//! What a trainer sends, and in which order.

use std::time::Instant;

use super::{State, TrainerSession};
use crate::error::{Fault, ProtocolError};
use crate::frame::FrameWriter;
use crate::limits::PROTOCOL_VERSION;
use crate::message::{Bye, FromTrainer, Heartbeat, Hello};

impl TrainerSession {
    pub(super) fn transmit(&mut self, now: Instant, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        match &mut self.state {
            State::Detached | State::AwaitWelcome { .. } => Ok(()),
            State::Over { parting, .. } => parting.take().map_or(Ok(()), |error| part(&error, writer)),
            State::Greeting { .. } => self.greet(writer),
            State::Open { link, terms, heartbeat_at, .. } => {
                if *heartbeat_at <= now {
                    *heartbeat_at = now + terms.heartbeat;
                    // Where bytes wait for the socket already, more of them say nothing new.
                    if writer.is_empty() {
                        let current = self.in_hand.current();
                        writer.push_from_trainer(&FromTrainer::Heartbeat(Heartbeat {
                            running: current.map(|(delivery, _)| delivery),
                            progress_age: current
                                .map(|(_, running)| running.progress_age(now))
                                .unwrap_or_default(),
                        }))?;
                    }
                }
                self.held.flush(writer)?;
                self.outbox.flush(now, writer)?;
                if self.outbox.awaits_ack() {
                    link.watch_silence(now);
                }
                Ok(())
            }
        }
    }

    fn greet(&mut self, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        self.outbox.rewind();
        self.held.rewind();
        let identity = &self.identity;
        writer.push_from_trainer(&FromTrainer::Hello(Hello {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            job_id: identity.job_id.clone(),
            version: identity.version.clone(),
            token: identity.token,
            instance: identity.instance,
            connection: self.connections,
            role: identity.role,
            rank: identity.rank,
            world_size: identity.world_size,
            restart: identity.restart,
            in_hand: self.in_hand.list(),
            can_dump_stacks: identity.can_dump_stacks,
            held: self.held.list(),
        }))?;
        if let State::Greeting { link } = std::mem::replace(&mut self.state, State::Detached) {
            self.state = State::AwaitWelcome { link };
        }
        Ok(())
    }
}

/// Tells the orchestrator what it did wrong.
fn part(error: &ProtocolError, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
    if error.fault() != Fault::Peer {
        return Ok(());
    }
    writer
        .push_from_trainer(&FromTrainer::Bye(Bye { code: error.code().to_owned(), text: error.to_string() }))
}
