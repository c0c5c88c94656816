//! Reading and writing a connection's socket, as far as it goes without waiting.

use std::io;

use trainwire_protocol::error::ProtocolError;

use super::{Arrival, Connection, IO_ERROR, Over};
use crate::clock;
use crate::scheduler::Input;

/// How much is read before others get their turn.
#[derive(Clone, Copy)]
pub(super) enum Depth {
    /// What is there, mostly in one call.
    Turn,
    /// All that was in the socket, whatever it takes to be sure of it.
    Drain,
}

impl Depth {
    fn reads_max(self) -> usize {
        match self {
            Self::Turn => READS_PER_TURN_MAX,
            Self::Drain => READS_PER_DRAIN_MAX,
        }
    }
}

impl Connection {
    /// Reads as deep as is asked and lets the session look at it. Whether the socket is empty now.
    pub(super) fn read(&mut self, depth: Depth) -> Result<bool, Over> {
        for _ in 0..depth.reads_max() {
            let spare = self.reader.spare();
            let room = spare.len();
            match self.stream.receive(spare) {
                Ok(0) => return Err(Over::Ended(None)),
                Ok(count) => {
                    self.reader.advance(count);
                    let taken = self.take_frames();
                    self.collect_events();
                    taken.map_err(|error| self.protocol_error(error))?;
                    // With room to spare there was no more. That spares the call that would only say
                    // so, except where it must be certain.
                    if count < room && matches!(depth, Depth::Turn) {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It ended with something unread, as the killed do.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Over::Ended(None));
                }
                Err(_) => return Err(Over::Ended(Some(IO_ERROR))),
            }
        }
        Ok(false)
    }

    /// Sends what there is, until nothing is left or the socket takes no more.
    pub(super) fn write(&mut self) -> Result<(), Over> {
        loop {
            let transmitted = self.session.poll_transmit(clock::monotonic(), &mut self.writer);
            if !self.writable {
                self.writer.clear();
            }
            transmitted.map_err(|error| self.protocol_error(error))?;
            if self.writer.is_empty() {
                return Ok(());
            }
            let token = self.writer.descriptor_at_front();
            let place =
                token.and_then(|token| self.descriptors.iter().position(|(number, _)| *number == token));
            let descriptor = place.and_then(|place| self.descriptors[place].1.descriptor());
            match self.stream.send(&self.writer.io_slices(), descriptor) {
                Ok(count) => {
                    self.writer.advance(count);
                    if let Some(place) = place {
                        self.descriptors.swap_remove(place);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // The trainer reads no more, but a result may be in the socket still.
                    self.writable = false;
                    self.descriptors.clear();
                }
            }
        }
    }

    fn take_frames(&mut self) -> Result<(), ProtocolError> {
        let now = clock::monotonic();
        loop {
            match self.reader.next() {
                Ok(Some(frame)) => self.session.handle_frame(now, &frame)?,
                Ok(None) => break,
                Err(error) => {
                    self.session.handle_error(error.clone());
                    return Err(error);
                }
            }
        }
        if self.reader.mid_frame() {
            self.session.handle_partial(now);
        }
        Ok(())
    }

    fn protocol_error(&mut self, error: ProtocolError) -> Over {
        let job = &self.shared.job_id;
        tracing::warn!(%job, pid = self.pid, code = error.code(), %error, "a connection ended");
        if let ProtocolError::Version { .. } = error {
            let text = error.to_string();
            self.arrivals.push(Arrival::Input(Input::VersionMismatch { job: self.shared.job, text }));
        }
        Over::Ended(Some(error.code()))
    }
}

/// Reads (64 KiB each, mostly) before other connections get their turn.
const READS_PER_TURN_MAX: usize = 16;

/// What was in the socket when the drain began is no more than its buffer holds: 208 KiB by default,
/// a few MiB where net.core.wmem_max was raised. A trainer that goes on writing gets no more than this.
const READS_PER_DRAIN_MAX: usize = 256;
