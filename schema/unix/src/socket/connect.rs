//! Connecting to a named socket, with the reasons why not told apart.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect as connect_to, socket};

use super::address::{SocketPathError, address_of};
use super::options::set_nonblocking;
use crate::errno::errno;

/// Connects a stream socket. It never sleeps: where the listener's queue is full it answers
/// [`ConnectError::QueueFull`], and the caller tries again later. The result is in blocking mode
/// and closed on exec.
///
/// # Errors
/// See [`ConnectError`].
pub fn connect(path: &Path) -> Result<OwnedFd, ConnectError> {
    let address = address_of(path)?;
    let system = |call, source| ConnectError::System { path: path.to_owned(), call, source };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let connected = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(|source| system("socket", source))?;
    let path = || path.to_owned();
    connect_to(connected.as_raw_fd(), &address).map_err(|source| match source {
        Errno::ENOENT | Errno::ENOTDIR => ConnectError::NoSuchName { path: path() },
        // The kernel gives the same answer for a name that is no socket at all.
        Errno::ECONNREFUSED if is_socket(&path()) => ConnectError::NobodyListens { path: path() },
        Errno::ECONNREFUSED | Errno::EPROTOTYPE => ConnectError::NotAStreamSocket { path: path() },
        Errno::EACCES | Errno::EPERM => ConnectError::NotPermitted { path: path() },
        Errno::EAGAIN => ConnectError::QueueFull { path: path() },
        source => system("connect", source),
    })?;
    set_nonblocking(&connected, false).map_err(|error| system("fcntl(F_SETFL)", errno(&error)))?;
    Ok(connected)
}

/// Why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Caller's fault: no socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// Nothing has this name: not started yet, ended, or a cleaner of /tmp removed it.
    #[error("there is no socket {path:?}; is the orchestrator running, and is the path right?")]
    NoSuchName {
        /// The path.
        path: PathBuf,
    },
    /// The socket was left by a process that was killed, or is about to listen again.
    #[error("nobody listens on the socket {path:?}; the orchestrator that made it has ended")]
    NobodyListens {
        /// The path.
        path: PathBuf,
    },
    /// Caller's fault: a file, a folder, or a socket of another type.
    #[error("{path:?} is not a stream socket; is the path right?")]
    NotAStreamSocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket or its folder belongs to another user.
    #[error("no permission to connect to the socket {path:?}; run as the user who started the orchestrator")]
    NotPermitted {
        /// The path.
        path: PathBuf,
    },
    /// The listener accepts too slowly; try again later.
    #[error("the queue of the socket {path:?} is full; try again later")]
    QueueFull {
        /// The path.
        path: PathBuf,
    },
    /// The operating system's: out of descriptors or memory.
    #[error("{call} failed for the socket {path:?}: {source}")]
    System {
        /// The path.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
}

impl ConnectError {
    /// Stable name for logs and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Path(SocketPathError::TooLong { .. }) => "socket_path_too_long",
            Self::Path(SocketPathError::Invalid { .. }) => "socket_path_invalid",
            Self::NoSuchName { .. } => "socket_no_such_name",
            Self::NobodyListens { .. } => "socket_nobody_listens",
            Self::NotAStreamSocket { .. } => "socket_not_a_stream_socket",
            Self::NotPermitted { .. } => "socket_not_permitted",
            Self::QueueFull { .. } => "socket_queue_full",
            Self::System { .. } => "socket_system",
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}
