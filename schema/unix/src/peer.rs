//! Who is at the other end of a connected socket.
//!
//! The kernel recorded pid, uid and gid when the other end called `connect` (or `listen`); they
//! speak of that process, not of whoever writes now: a fork keeps the socket and the record.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;

use crate::{Kernel, PidFd, ProcessIdentity};

/// What the kernel recorded about the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// `None` for a peer in a pid namespace that cannot be seen from here.
    pub pid: Option<u32>,
    /// Effective user at connect or listen.
    pub uid: u32,
    /// Effective group at connect or listen.
    pub gid: u32,
}

impl PeerCredentials {
    /// Reads them (`SO_PEERCRED`).
    ///
    /// # Errors
    /// The kernel's, for a descriptor that is no socket.
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        Ok(Self::read(socket)?)
    }

    /// Opens the process that connected over this socket, of which these are (`SO_PEERPIDFD`, Linux 6.5).
    ///
    /// Before 6.5 it is looked up by pid: the pid must name one process before and after it is opened,
    /// and the connection must not have been hung up by then. What remains is a peer that died while a
    /// fork of it keeps the connection, and whose pid was given away since; nothing can tell that there.
    ///
    /// # Errors
    /// `ESRCH` for a peer that was reaped already or cannot be seen from here.
    pub fn open(&self, socket: impl AsFd, kernel: Kernel) -> io::Result<PidFd> {
        let socket = socket.as_fd();
        if kernel == Kernel::Running {
            match getsockopt(&socket, sockopt::PeerPidfd) {
                Ok(descriptor) => {
                    return match self.pid {
                        Some(pid) => PidFd::with_pid(descriptor, pid),
                        None => PidFd::from_owned(descriptor),
                    };
                }
                Err(Errno::ENOPROTOOPT) => {}
                // EINVAL: reaped, before 6.16. ENODATA: the socket has no peer.
                Err(Errno::EINVAL | Errno::ENODATA) => return Err(Errno::ESRCH.into()),
                Err(error) => return Err(error.into()),
            }
        }
        let before = ProcessIdentity::of(self.pid.ok_or(Errno::ESRCH)?)?;
        let opened = before.open()?.ok_or(Errno::ESRCH)?;
        // Hang-ups are reported whether asked for or not.
        let mut polled = [PollFd::new(socket, PollFlags::empty())];
        let hung_up = poll(&mut polled, PollTimeout::ZERO)? > 0;
        if hung_up { Err(Errno::ESRCH.into()) } else { Ok(opened) }
    }

    fn read(socket: impl AsFd) -> Result<Self, Errno> {
        let recorded = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)?;
        Ok(Self {
            pid: u32::try_from(recorded.pid()).ok().filter(|&pid| pid != 0),
            uid: recorded.uid(),
            gid: recorded.gid(),
        })
    }
}

/// Lets pass only a peer of this process's own effective user. Both ends call it before they read a
/// byte. Root is no exception: a root process that means to take part runs as the user.
///
/// # Errors
/// [`PeerError::OtherUser`], and [`PeerError::System`] for a descriptor that is no socket.
pub fn require_same_uid(socket: impl AsFd) -> Result<PeerCredentials, PeerError> {
    let peer = PeerCredentials::read(socket).map_err(|source| PeerError::System { source })?;
    let own_uid = geteuid().as_raw();
    if peer.uid == own_uid { Ok(peer) } else { Err(PeerError::OtherUser { peer, own_uid }) }
}

/// Why a peer was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Peer's fault: it runs as another user.
    #[error(
        "the process at the other end (pid {}) runs as uid {}, this one as uid {own_uid}; run both as the same user",
        .peer.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
        .peer.uid
    )]
    OtherUser {
        /// What the kernel recorded.
        peer: PeerCredentials,
        /// Effective user of this process.
        own_uid: u32,
    },
    /// The operating system's: the record could not be read.
    #[error("the kernel does not say who is at the other end: {source}")]
    System {
        /// What it answered.
        source: Errno,
    },
}

impl PeerError {
    /// Stable name for logs and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherUser { .. } => "peer_other_user",
            Self::System { .. } => "peer_system",
        }
    }
}
