//! What both ends watch on a connection: the handshake, the frame under way, and silence.
//!
//! ```text
//!   bytes      ▌▌▌▌        ▌▌▌▌  ▌▌            ▌▌▌▌
//!              frame       frame  half a frame
//!                                └─ recv_timeout ─► the connection ends: frame_timeout
//!                  └─ recv_timeout ─► Quiet          Heard
//! ```
//!
//! Between frames a timeout is news. Inside a frame it is the end: a reader that went on would be
//! out of step for ever.

use std::time::{Duration, Instant};

use crate::error::ProtocolError;

/// How long one end waits for the other before it draws a conclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to a complete Hello, and from the Hello to a complete Welcome. 10 s.
    pub handshake: Duration,
    /// Silence for which the other end is called quiet, and the time one frame may take. 5 s.
    pub recv_timeout: Duration,
    /// How often a trainer sends a heartbeat: at least four fit into `recv_timeout`. 1 s.
    pub heartbeat: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            recv_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(1),
        }
    }
}

/// One connection's clock work.
#[derive(Debug)]
pub(super) struct Link {
    handshake: Duration,
    recv_timeout: Duration,
    /// Until the first frame of the other end; `None` from then on.
    handshake_deadline: Option<Instant>,
    /// Set by the first byte of a frame, cleared by its last, moved by none between them.
    frame_deadline: Option<Instant>,
    silence: Silence,
}

/// What the other end's silence means at the moment.
#[derive(Debug)]
enum Silence {
    /// Nothing: it owes us no bytes.
    Allowed,
    /// It grows from here.
    Watched { since: Instant },
    /// It has lasted too long, and that has been said.
    Told,
}

/// The other end was called quiet and now sent something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeardAgain;

/// The other end has been silent for `recv_timeout`. Said once per silence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WentQuiet;

impl Link {
    pub(super) fn new(now: Instant, timeouts: Timeouts) -> Self {
        Self {
            handshake: timeouts.handshake,
            recv_timeout: timeouts.recv_timeout,
            handshake_deadline: Some(now + timeouts.handshake),
            frame_deadline: None,
            silence: Silence::Allowed,
        }
    }

    /// A whole frame is here.
    pub(super) fn frame(&mut self, now: Instant) -> Option<HeardAgain> {
        self.frame_deadline = None;
        self.heard(now)
    }

    /// Bytes are here, the last frame among them incomplete.
    pub(super) fn partial(&mut self, now: Instant) -> Option<HeardAgain> {
        self.frame_deadline.get_or_insert(now + self.recv_timeout);
        self.heard(now)
    }

    /// The other end has said its first word.
    pub(super) fn handshake_done(&mut self) {
        self.handshake_deadline = None;
    }

    /// The other end's word on the timeouts counts from here.
    pub(super) fn set_recv_timeout(&mut self, recv_timeout: Duration) {
        self.recv_timeout = recv_timeout;
    }

    /// From now on the other end owes us bytes. A silence that is watched already goes on.
    pub(super) fn watch_silence(&mut self, now: Instant) {
        if let Silence::Allowed = self.silence {
            self.silence = Silence::Watched { since: now };
        }
    }

    /// The other end owes us nothing any more.
    pub(super) fn allow_silence(&mut self) {
        self.silence = Silence::Allowed;
    }

    /// Draws the conclusions that are due. An extra call finds none.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<Option<WentQuiet>, ProtocolError> {
        if self.handshake_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ProtocolError::HandshakeTimeout { after: self.handshake });
        }
        if self.frame_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ProtocolError::FrameTimeout { after: self.recv_timeout });
        }
        match self.silence {
            Silence::Watched { since } if since + self.recv_timeout <= now => {
                self.silence = Silence::Told;
                Ok(Some(WentQuiet))
            }
            _ => Ok(None),
        }
    }

    /// When `handle_timeout` has something to say.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let quiet_at = match self.silence {
            Silence::Watched { since } => Some(since + self.recv_timeout),
            Silence::Allowed | Silence::Told => None,
        };
        earliest([self.handshake_deadline, self.frame_deadline, quiet_at])
    }

    fn heard(&mut self, now: Instant) -> Option<HeardAgain> {
        match self.silence {
            Silence::Allowed => None,
            Silence::Watched { .. } => {
                self.silence = Silence::Watched { since: now };
                None
            }
            Silence::Told => {
                self.silence = Silence::Watched { since: now };
                Some(HeardAgain)
            }
        }
    }
}

/// The first of those that are set.
pub(super) fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watched() -> (Instant, Link) {
        let start = Instant::now();
        let mut link = Link::new(start, Timeouts::default());
        link.handshake_done();
        link.watch_silence(start);
        (start, link)
    }

    #[test]
    fn the_handshake_has_a_deadline_that_bytes_do_not_move() {
        let start = Instant::now();
        let mut link = Link::new(start, Timeouts::default());
        assert_eq!(link.poll_timeout(), Some(start + 10 * SECOND));
        for second in (0..10).step_by(3) {
            link.frame(start + second * SECOND);
        }
        assert_eq!(link.handle_timeout(start + 9 * SECOND), Ok(None));
        let error = link.handle_timeout(start + 10 * SECOND).unwrap_err();
        assert_eq!(error.code(), "handshake_timeout");
    }

    #[test]
    fn a_frame_s_deadline_counts_from_its_first_byte() {
        let (start, mut link) = watched();
        for second in 0..5 {
            link.partial(start + second * SECOND);
            assert_eq!(link.handle_timeout(start + second * SECOND), Ok(None));
        }
        assert_eq!(link.poll_timeout(), Some(start + 5 * SECOND));
        assert_eq!(link.handle_timeout(start + 5 * SECOND).unwrap_err().code(), "frame_timeout");
    }

    #[test]
    fn a_whole_frame_ends_its_deadline() {
        let (start, mut link) = watched();
        link.partial(start);
        link.frame(start + SECOND);
        assert_eq!(link.handle_timeout(start + 5 * SECOND), Ok(None));
    }

    #[test]
    fn silence_between_frames_is_said_once_and_ends_with_the_next_byte() {
        let (start, mut link) = watched();
        assert_eq!(link.handle_timeout(start + 5 * SECOND), Ok(Some(WentQuiet)));
        assert_eq!(link.handle_timeout(start + 50 * SECOND), Ok(None));
        assert_eq!(link.poll_timeout(), None);
        assert_eq!(link.partial(start + 60 * SECOND), Some(HeardAgain));
        assert_eq!(link.frame(start + 61 * SECOND), None);
        assert_eq!(link.handle_timeout(start + 66 * SECOND), Ok(Some(WentQuiet)));
    }

    #[test]
    fn silence_that_is_allowed_is_not_news() {
        let (start, mut link) = watched();
        link.allow_silence();
        assert_eq!(link.poll_timeout(), None);
        assert_eq!(link.handle_timeout(start + 50 * SECOND), Ok(None));
        link.watch_silence(start + 50 * SECOND);
        link.watch_silence(start + 52 * SECOND);
        assert_eq!(link.poll_timeout(), Some(start + 55 * SECOND));
    }
}
