//! Reading and writing a connection's socket, as far as it goes without waiting.

use std::io;
use std::os::fd::AsFd;

use tokio::io::Interest;
use trainwire_protocol::error::ProtocolError;
use trainwire_unix::Wait;
use trainwire_unix::descriptors::{receive_plain, send};

use super::{Arrival, Connection, IO_ERROR, Over};
use crate::clock;
use crate::scheduler::Input;

impl Connection {
    /// Reads until the socket would block, at most `reads_max` times, and lets the session look at it.
    pub(super) fn read(&mut self, reads_max: usize) -> Result<(), Over> {
        for _ in 0..reads_max {
            let (stream, spare) = (&self.stream, self.reader.spare());
            let read =
                stream.try_io(Interest::READABLE, || receive_plain(stream.as_fd(), spare, Wait::DontWait));
            match read {
                Ok(0) => return Err(Over::Ended(None)),
                Ok(count) => {
                    self.reader.advance(count);
                    let taken = self.take_frames();
                    self.collect_events();
                    taken.map_err(|error| self.protocol_error(error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Over::Ended(Some(IO_ERROR))),
            }
        }
        Ok(())
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
            let (stream, slices) = (&self.stream, self.writer.io_slices());
            let sent = stream
                .try_io(Interest::WRITABLE, || send(stream.as_fd(), &slices, descriptor, Wait::DontWait));
            match sent {
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
