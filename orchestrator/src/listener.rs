//! A job's socket: bound private and without stealing, open until the job ends. The driver watches it
//! and accepts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::limits::PROTOCOL_VERSION;
use trainwire_protocol::message::{Refused, ToTrainer};
use trainwire_unix::descriptors::refuse_descriptors;
use trainwire_unix::{
    BindError, Kernel, PeerError, SocketName, bind_private, rebind_private, require_same_uid,
};

use crate::connection::Peer;

/// A bound socket. Dropping it removes the name; connections that were accepted stay.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    name: SocketName,
    /// It was said that somebody else has the name now.
    told: bool,
}

impl Listener {
    /// Binds `path` with mode 0600. `again` after a restart: in the place of a dead socket, which was ours.
    pub(crate) fn bind(path: &Path, again: bool) -> Result<Self, BindError> {
        let (socket, name) = if again { rebind_private(path, MODE) } else { bind_private(path, MODE) }?;
        // Where the kernel does not know how, descriptors are closed unseen when the bytes are read.
        if let Err(error) = refuse_descriptors(&socket) {
            let _ = name.remove();
            let source = trainwire_unix::Errno::from_raw(error.raw_os_error().unwrap_or_default());
            return Err(BindError::System { path: path.to_owned(), call: "setsockopt", source });
        }
        Ok(Self { socket, name, told: false })
    }

    /// Who waits longest; `None` if nobody waits.
    ///
    /// # Errors
    /// Out of descriptors or memory. Whoever waits goes on waiting.
    pub(crate) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => return Ok(Some(stream.into())),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Binds the name again if somebody removed it, as cleaners of /tmp do. Gives the listener that lost
    /// its name: those who connected before are in its backlog.
    pub(crate) fn renew_name(&mut self) -> Option<Self> {
        if self.name.still_there().unwrap_or(true) {
            return None;
        }
        let path = self.name.path();
        match Self::bind(path, false) {
            Ok(again) => {
                tracing::warn!(path = %path.display(), "somebody removed the socket's name; bound it again");
                Some(std::mem::replace(self, again))
            }
            Err(error) => {
                if !self.told {
                    tracing::error!(code = error.code(), %error, "somebody took the socket's name; no trainer can connect");
                }
                self.told = true;
                None
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = self.name.remove() {
            tracing::warn!(path = %self.name.path().display(), %error, "the socket's name cannot be removed");
        }
    }
}

/// Looks at who connected before a byte is read.
///
/// # Errors
/// A process of another user. It was told so, as far as its socket took it.
pub(crate) fn admit(socket: BorrowedFd<'_>, attach: bool) -> Result<Peer, PeerError> {
    let credentials = require_same_uid(socket).inspect_err(|error| refuse(socket, error))?;
    let pid = credentials.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    // Only of a process that was started by hand: of our own children we have one already.
    let pidfd = if attach { credentials.open(socket, Kernel::Running).ok() } else { None };
    Ok(Peer { pid, pidfd })
}

fn refuse(socket: BorrowedFd<'_>, error: &PeerError) {
    let refused = Refused {
        code: "other_uid".to_owned(),
        text: error.to_string(),
        retry_later: false,
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
    };
    let mut writer = FrameWriter::default();
    if writer.push_to_trainer(&ToTrainer::Refused(refused)).is_ok() {
        let slices = writer.io_slices();
        let _ = trainwire_unix::descriptors::send(socket, &slices, None, trainwire_unix::Wait::DontWait);
    }
}

/// For the owner alone.
const MODE: u32 = 0o600;

#[cfg(test)]
mod tests;
