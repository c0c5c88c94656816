//! What a path must be to name a socket.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

/// Longest path of a socket in bytes: `sun_path` holds 108, the last of them a NUL.
pub const SOCKET_PATH_LEN_MAX: usize = 107;

/// Caller's fault: a path no socket can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketPathError {
    /// Longer than [`SOCKET_PATH_LEN_MAX`].
    #[error(
        "the socket path {path:?} has {} bytes, the kernel's limit is {SOCKET_PATH_LEN_MAX}; use a shorter folder or job id",
        .path.as_os_str().len()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Empty, which would make the kernel invent a name, or with a NUL byte in it.
    #[error("the socket path {path:?} is empty or contains a NUL byte")]
    Invalid {
        /// The path.
        path: PathBuf,
    },
}

pub(super) fn address_of(path: &Path) -> Result<UnixAddr, SocketPathError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() > SOCKET_PATH_LEN_MAX {
        return Err(SocketPathError::TooLong { path: path.to_owned() });
    }
    if bytes.is_empty() {
        return Err(SocketPathError::Invalid { path: path.to_owned() });
    }
    UnixAddr::new(path).map_err(|error| match error {
        Errno::ENAMETOOLONG => SocketPathError::TooLong { path: path.to_owned() },
        _ => SocketPathError::Invalid { path: path.to_owned() },
    })
}
