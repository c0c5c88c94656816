//! Both sessions, joined by a [`Pipe`], under a clock that only moves when nothing is left to do.
//!
//! A [`Pair`] is the shell of both ends and decides nothing: what an event leads to is up to the test.

use std::time::{Duration, Instant};

use ::bytes::Bytes;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::DeliverPayload;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{Deliver, Place, Welcome};
use trainwire_protocol::session::{OrchestratorEvent, OrchestratorSession, Timeouts, TrainerEvent};

use crate::bytes::{Fed, bytes_of, feed, reader};
use crate::ends::{OrchestratorEnd, TrainerEnd};
use crate::pipe::{Cut, Pipe, Read, Towards};

pub(crate) struct Pair {
    pub(crate) now: Instant,
    /// From a write to the read of its bytes.
    pub(crate) latency: Duration,
    /// What one read gives at most.
    pub(crate) read_size_bytes: usize,
    pub(crate) trainer: TrainerEnd,
    pub(crate) orchestrator: OrchestratorEnd,
    pipe: Option<Pipe>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            latency: Duration::from_millis(1),
            read_size_bytes: 4 << 10,
            trainer: TrainerEnd::new(),
            orchestrator: OrchestratorEnd::new(now),
            pipe: None,
        }
    }

    /// Connected, welcomed, and nothing else.
    pub(crate) fn open() -> Self {
        let mut pair = Self::new();
        pair.connect(None);
        pair.welcome(Vec::new());
        pair
    }

    /// A new connection.
    pub(crate) fn connect(&mut self, cut: Option<Cut>) {
        self.lose();
        self.pipe = Some(Pipe::new(self.latency, cut));
        self.trainer.reader = reader();
        self.trainer.writer.clear();
        self.trainer.closed = false;
        self.trainer.session.connected(self.now);
        self.orchestrator.reader = reader();
        self.orchestrator.writer.clear();
        self.orchestrator.session = OrchestratorSession::new(self.now, Timeouts::default());
    }

    /// Takes the Hello and answers it.
    pub(crate) fn welcome(&mut self, in_hand: Vec<(Delivery, bool)>) {
        self.run_for(3 * self.latency);
        let events = self.orchestrator_events();
        assert!(matches!(events.as_slice(), [OrchestratorEvent::Hello(_)]), "{events:?}");
        self.orchestrator.session.welcome(self.now, welcome(in_hand));
        self.run_for(3 * self.latency);
        let events = self.trainer_events();
        assert!(matches!(events.first(), Some(TrainerEvent::Welcomed(_))), "{events:?}");
    }

    /// The connection is lost, with everything under way.
    pub(crate) fn lose(&mut self) {
        if self.pipe.take().is_some() {
            self.trainer.session.disconnected(self.now);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.pipe.is_some()
    }

    pub(crate) fn arrived_bytes(&self, towards: Towards) -> u64 {
        self.pipe.as_ref().map_or(0, |pipe| pipe.arrived_bytes(towards))
    }

    /// Raw bytes on the connection, as from a peer that is not this project's.
    pub(crate) fn inject(&mut self, towards: Towards, bytes: &[u8]) {
        if let Some(pipe) = &mut self.pipe {
            pipe.write(self.now, towards, bytes.to_vec());
        }
    }

    /// Everything that happens within `duration`.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    /// Does what is to be done now and moves the clock to the next instant at which there is
    /// something to do; `false` when that is after `until`, at which the clock then stands.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.act();
        let pipe = self.pipe.as_ref().and_then(|pipe| pipe.poll_timeout(self.now));
        let trainer = self.trainer.session.poll_timeout().filter(|_| !self.trainer.frozen);
        let runs = self.pipe.is_some() && !self.orchestrator.frozen;
        let orchestrator = self.orchestrator.session.poll_timeout().filter(|_| runs);
        let next = [pipe, trainer, orchestrator];
        let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        assert!(next > self.now, "a deadline that has passed was not taken care of");
        self.now = next;
        true
    }

    /// Everything that is to be done at this instant.
    pub(crate) fn act(&mut self) {
        while self.read_to_trainer() | self.read_to_orchestrator() {}
        self.time_out();
        self.transmit();
    }

    pub(crate) fn trainer_events(&mut self) -> Vec<TrainerEvent> {
        std::mem::take(&mut self.trainer.events)
    }

    pub(crate) fn orchestrator_events(&mut self) -> Vec<OrchestratorEvent> {
        std::mem::take(&mut self.orchestrator.events)
    }

    pub(crate) fn deliver(&mut self, delivery: u64, task: u64) {
        let bytes = Bytes::copy_from_slice(&task.to_le_bytes());
        let deliver = Deliver::new(Delivery(delivery), bytes.len() as u64, Place::Inline);
        self.orchestrator.session.deliver(deliver, DeliverPayload::Inline(bytes.into()));
    }

    fn read_to_trainer(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let end = &mut self.trainer;
        if end.frozen || end.closed {
            return false;
        }
        match pipe.read(self.now, Towards::Trainer, self.read_size_bytes) {
            Read::Nothing => return false,
            Read::End => self.lose(),
            Read::Bytes(bytes) => {
                let handled = feed(&mut end.reader, &bytes, |read| match read {
                    Fed::Frame(frame) => end.session.handle_frame(self.now, frame),
                    Fed::Partial => {
                        end.session.handle_partial(self.now);
                        Ok(())
                    }
                });
                end.events.extend(std::iter::from_fn(|| end.session.poll_event()));
                if let Err(error) = handled {
                    end.session.handle_error(self.now, error.clone());
                    self.close_trainer(error);
                }
            }
        }
        true
    }

    fn read_to_orchestrator(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let end = &mut self.orchestrator;
        if end.frozen || end.session.is_over() {
            return false;
        }
        match pipe.read(self.now, Towards::Orchestrator, self.read_size_bytes) {
            Read::Nothing => return false,
            Read::End => self.lose(),
            Read::Bytes(bytes) => {
                let handled = feed(&mut end.reader, &bytes, |read| match read {
                    Fed::Frame(frame) => end.session.handle_frame(self.now, frame),
                    Fed::Partial => {
                        end.session.handle_partial(self.now);
                        Ok(())
                    }
                });
                end.events.extend(std::iter::from_fn(|| end.session.poll_event()));
                if let Err(error) = handled {
                    end.session.handle_error(error.clone());
                    end.errors.push(error);
                }
            }
        }
        true
    }

    fn time_out(&mut self) {
        if !self.trainer.frozen {
            let timed_out = self.trainer.session.handle_timeout(self.now);
            self.trainer.events.extend(std::iter::from_fn(|| self.trainer.session.poll_event()));
            if let Err(error) = timed_out {
                self.close_trainer(error);
            }
        }
        if self.pipe.is_some() && !self.orchestrator.frozen {
            let end = &mut self.orchestrator;
            let timed_out = end.session.handle_timeout(self.now);
            end.events.extend(std::iter::from_fn(|| end.session.poll_event()));
            end.errors.extend(timed_out.err());
        }
    }

    fn transmit(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let end = &mut self.trainer;
        if !end.frozen {
            end.session.poll_transmit(self.now, &mut end.writer).unwrap();
            pipe.write(self.now, Towards::Orchestrator, bytes_of(&mut end.writer));
        }
        let end = &mut self.orchestrator;
        if end.frozen {
            return;
        }
        end.errors.extend(end.session.poll_transmit(self.now, &mut end.writer).err());
        pipe.write(self.now, Towards::Trainer, bytes_of(&mut end.writer));
        if end.session.is_over() {
            pipe.close(self.now, Towards::Trainer);
        }
    }

    /// The trainer's last word, and the end of its socket.
    fn close_trainer(&mut self, error: ProtocolError) {
        self.trainer.errors.push(error);
        self.trainer.closed = true;
        if let Some(pipe) = &mut self.pipe {
            self.trainer.session.poll_transmit(self.now, &mut self.trainer.writer).unwrap();
            pipe.write(self.now, Towards::Orchestrator, bytes_of(&mut self.trainer.writer));
            pipe.close(self.now, Towards::Orchestrator);
        }
    }
}

pub(crate) fn welcome(in_hand: Vec<(Delivery, bool)>) -> Welcome {
    Welcome { in_hand, ..Welcome::default() }
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
