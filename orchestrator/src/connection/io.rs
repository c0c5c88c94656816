//! Reading and writing a connection's socket, as far as it goes without waiting.

use std::io::ErrorKind;
use std::mem;
use std::time::Instant;

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{FrameWriter, SharedBlock};
use trainwire_unix::Wait;
use trainwire_unix::descriptors::{receive_plain, send};

use super::{Arrival, Buffers, Connection, Over};

/// How much is read before others get their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
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
    /// Reads as deep as is asked and lets the session look at it.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        depth: Depth,
        buffers: &mut Buffers,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Over> {
        if depth == Depth::Turn && !self.may_read() {
            return Ok(());
        }
        let read = self.read_into(now, depth, &mut buffers.block, arrivals);
        self.reader.return_block(&mut buffers.block);
        read
    }

    fn read_into(
        &mut self,
        now: Instant,
        depth: Depth,
        block: &mut SharedBlock,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(), Over> {
        for _ in 0..depth.reads_max() {
            self.reader.borrow_block(block);
            let spare = self.reader.spare();
            let room = spare.len();
            match receive_plain(&self.socket, spare, Wait::DontWait) {
                Ok(0) => return Err(Over::Ended),
                Ok(count) => {
                    self.reader.advance(count);
                    let taken = self.take_frames(now);
                    self.collect_events(arrivals);
                    taken.map_err(Over::Protocol)?;
                    // With room to spare there was no more, mostly. That spares the call that would only
                    // say so, except where it must be certain; the next look finds what was left.
                    if count < room && depth == Depth::Turn {
                        return Ok(());
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted => {}
                    // It ended with something unread, as the killed do.
                    ErrorKind::ConnectionReset => return Err(Over::Ended),
                    _ => return Err(Over::Broken),
                },
            }
        }
        Ok(())
    }

    /// Sends what there is, until nothing is left or the socket takes no more.
    pub(crate) fn write(&mut self, now: Instant, buffers: &mut Buffers) -> Result<(), Over> {
        let mut unsent = self.unsent.take();
        let writer = unsent.as_deref_mut().unwrap_or(&mut buffers.writer);
        let written = self.write_from(now, writer);
        if writer.is_empty() {
            // A large one is given back.
        } else if unsent.is_some() {
            self.unsent = unsent;
        } else {
            self.unsent = Some(Box::new(mem::take(&mut buffers.writer)));
        }
        match written {
            Ok(()) if self.session.is_over() => Err(Over::Ended),
            written => written,
        }
    }

    fn write_from(&mut self, now: Instant, writer: &mut FrameWriter) -> Result<(), Over> {
        loop {
            let transmitted = self.session.poll_transmit(now, writer);
            if !self.writable {
                writer.clear();
            }
            transmitted.map_err(Over::Protocol)?;
            if writer.is_empty() {
                return Ok(());
            }
            let token = writer.descriptor_at_front();
            let place =
                token.and_then(|token| self.descriptors.iter().position(|(number, _)| *number == token));
            let descriptor = place.and_then(|place| self.descriptors[place].1.descriptor());
            match send(&self.socket, &writer.io_slices(), descriptor, Wait::DontWait) {
                Ok(count) => {
                    writer.advance(count);
                    if let Some(place) = place {
                        self.descriptors.swap_remove(place);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted => {}
                    _ => {
                        // The trainer reads no more, but a result may be in the socket still.
                        self.writable = false;
                        self.descriptors.clear();
                    }
                },
            }
        }
    }

    fn take_frames(&mut self, now: Instant) -> Result<(), ProtocolError> {
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
}

/// Reads (64 KiB each, mostly) before other connections get their turn.
const READS_PER_TURN_MAX: usize = 4;

/// What was in the socket when the drain began is no more than its buffer holds: 208 KiB by default,
/// a few MiB where net.core.wmem_max was raised. A trainer that goes on writing gets no more than this.
const READS_PER_DRAIN_MAX: usize = 256;
