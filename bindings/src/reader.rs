//! Bytes and descriptors of one socket, on their way into the session.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Instant;

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{FrameReader, ReaderLimits};
use trainwire_protocol::limits::INLINE_TASK_SIZE_BYTES_MAX;
use trainwire_protocol::session::TrainerSession;
use trainwire_unix::{Wait, descriptors};

pub(crate) struct Reader {
    frames: FrameReader,
    /// Came with the bytes of their frame or of an earlier one; handed to flagged frames in order.
    /// `None` stands for one that was lost, so that the frames after it do not get another's task.
    descriptors: VecDeque<Option<OwnedFd>>,
    /// More than one came with one call, so that nobody can say whose they are.
    surplus: bool,
}

/// What one look at the socket brought.
pub(crate) enum Received {
    Bytes,
    /// Nothing yet, or a signal: look whether Python has something to do.
    Nothing,
    /// The peer has gone.
    End,
}

impl Reader {
    pub(crate) fn new() -> Self {
        // The orchestrator decides what it sends inline; here only the protocol's own limit counts.
        let limits = ReaderLimits { inline_task_size_bytes_max: INLINE_TASK_SIZE_BYTES_MAX };
        Self { frames: FrameReader::new(limits), descriptors: VecDeque::new(), surplus: false }
    }

    /// One system call.
    pub(crate) fn receive(&mut self, socket: &OwnedFd, wait: Wait) -> Received {
        let mut arrived: Vec<OwnedFd> = Vec::new(); // allocates only for descriptors
        let received = match descriptors::receive(socket, self.frames.spare(), &mut arrived, wait) {
            Ok(received) if received.bytes == 0 => Received::End,
            Ok(received) => {
                match (arrived.len(), received.control_truncated) {
                    (0, true) => self.descriptors.push_back(None),
                    (0 | 1, false) => self.descriptors.extend(arrived.into_iter().map(Some)),
                    // One is here and another was lost, or two are here: the protocol sends one a call.
                    _ => self.surplus = true,
                }
                self.frames.advance(received.bytes);
                Received::Bytes
            }
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted => Received::Nothing,
                _ => Received::End,
            },
        };
        if let Received::End = received {
            self.clear();
        }
        received
    }

    /// Feeds the session with one frame and gives the descriptor that belongs to it; `None` when the
    /// next frame is not complete.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn feed_frame(
        &mut self,
        session: &mut TrainerSession,
        now: Instant,
    ) -> Result<Option<Option<OwnedFd>>, ProtocolError> {
        if self.surplus {
            return Err(ProtocolError::DescriptorSurplus);
        }
        if let Some(frame) = self.frames.next()? {
            session.handle_frame(now, &frame)?;
            return Ok(Some(if frame.descriptor { self.descriptors.pop_front().flatten() } else { None }));
        }
        if self.frames.mid_frame() {
            session.handle_partial(now);
        }
        // A descriptor comes with the first byte of its frame: whole frames have taken theirs, and the
        // one under way has one at most. Without this bound a frame that trickles in could fill the
        // process's table of open files.
        if self.descriptors.len() > usize::from(self.frames.mid_frame()) {
            return Err(ProtocolError::DescriptorSurplus);
        }
        Ok(None)
    }

    /// Lets go of everything that came: the connection is over, and the process may live for long.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }
}
