//! Binding a name that is private from its first moment, and never taking one that is in use.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};

use super::address::{SocketPathError, address_of};
use super::occupant::{NameTaken, Occupant};
use crate::errno::errno;

/// Creates, binds and listens on a stream socket whose file has `mode` (such as `0o600`), whatever
/// the umask. There is no moment at which the file has wider rights. The listener is non-blocking
/// and closed on exec.
///
/// Nothing that exists under the name is touched, links are not followed. To connect, a process
/// needs the write permission.
///
/// # Errors
/// See [`BindError`]; nothing is left behind by a failure.
pub fn bind_private(path: &Path, mode: u32) -> Result<(UnixListener, SocketName), BindError> {
    let address = address_of(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let unbound = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(|source| system(path, "socket", source))?;
    // The file gets the rights the unbound socket has, less the umask; fchmod after bind would
    // change nothing.
    let mode = mode & PERMISSION_BITS;
    fchmod(&unbound, Mode::from_bits_truncate(mode)).map_err(|source| system(path, "fchmod", source))?;
    bind(unbound.as_raw_fd(), &address).map_err(|source| match source {
        Errno::EADDRINUSE => BindError::NameTaken(Box::new(NameTaken::examine(path))),
        Errno::ENOENT | Errno::ENOTDIR => BindError::NoFolder { path: path.to_owned() },
        Errno::EACCES | Errno::EPERM | Errno::EROFS => {
            BindError::NotWritable { path: path.to_owned(), source }
        }
        source => system(path, "bind", source),
    })?;
    let name = SocketName::just_bound(path).map_err(|source| system(path, "lstat", source))?;
    let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
    let finished = name
        .restore_mode(mode)
        .map_err(|error| system(path, "chmod", errno(&error)))
        .and_then(|()| listen(&unbound, backlog).map_err(|source| system(path, "listen", source)));
    if let Err(error) = finished {
        let _ = name.remove();
        return Err(error);
    }
    Ok((UnixListener::from(unbound), name))
}

/// As [`bind_private`], and takes the place of a socket of this user that nobody listens on any more,
/// without a moment at which the name is not there: the new socket is bound under another name (the
/// same with a dot before it) and renamed. Anything else that has the name is left alone.
///
/// For whoever knows that the dead socket was its own, and that nobody else is about to do the same.
///
/// # Errors
/// As [`bind_private`].
pub fn rebind_private(path: &Path, mode: u32) -> Result<(UnixListener, SocketName), BindError> {
    if !is_dead_and_ours(path) {
        return bind_private(path, mode);
    }
    let aside = aside(path);
    if is_dead_and_ours(&aside) {
        // Of somebody who came this far and no further.
        let _ = fs::remove_file(&aside);
    }
    let (listener, name) = bind_private(&aside, mode)?;
    let renamed = fs::rename(&aside, path).map_err(|error| system(path, "rename", errno(&error)));
    match renamed {
        Ok(()) => Ok((listener, SocketName { path: path.to_owned(), ..name })),
        Err(error) => {
            let _ = name.remove();
            Err(error)
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

fn is_dead_and_ours(path: &Path) -> bool {
    let me = nix::unistd::geteuid().as_raw();
    matches!(NameTaken::examine(path).what, Occupant::DeadSocket { owner } if owner.uid == me)
}

/// The name this process gave a socket. It knows the file it made, so it never removes another's.
/// Dropping it removes nothing.
#[derive(Debug)]
pub struct SocketName {
    path: PathBuf,
    /// With `inode`, which file. Both numbers can be used again once the file is gone, but then by
    /// a file that the owner of the folder put there.
    device: u64,
    inode: u64,
}

impl SocketName {
    /// Where it was bound.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the name still leads to this socket; cleaners of /tmp remove sockets in use.
    ///
    /// # Errors
    /// The kernel's, where the folder cannot be searched.
    pub fn still_there(&self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (self.device, self.inode)),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the name if it is still ours, and says whether it was. Call it before the listener
    /// is closed, so that nobody takes the name for a dead one. Calling it again does no harm.
    ///
    /// # Errors
    /// The kernel's, where the folder cannot be written.
    pub fn remove(&self) -> io::Result<bool> {
        if !self.still_there()? {
            return Ok(false);
        }
        // Between the look and this call only somebody with the same rights could have replaced it.
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn just_bound(path: &Path) -> Result<Self, Errno> {
        let found = fs::symlink_metadata(path).map_err(|error| errno(&error))?;
        if !found.file_type().is_socket() {
            return Err(Errno::ESTALE);
        }
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Gives back the rights that the umask took away. Nothing is ever narrowed here, so there was
    /// no moment with wider ones.
    fn restore_mode(&self, mode: u32) -> io::Result<()> {
        if fs::symlink_metadata(&self.path)?.mode() & PERMISSION_BITS == mode {
            return Ok(());
        }
        // chmod follows links: one descriptor for the look and the change, so that both are of our
        // file.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        let found = file.metadata()?;
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Err(Errno::ESTALE.into());
        }
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(itself, fs::Permissions::from_mode(mode))
    }
}

/// Why a socket could not be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Caller's fault: no socket can have this path.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// Something is there already. It was left alone.
    #[error("{0}")]
    NameTaken(Box<NameTaken>),
    /// Caller's fault: the folder does not exist.
    #[error("the folder of the socket {path:?} does not exist; create it or set another folder")]
    NoFolder {
        /// The socket's path.
        path: PathBuf,
    },
    /// Caller's fault: the folder may not be written.
    #[error("no permission to create the socket {path:?} ({source}); set a folder this user may write")]
    NotWritable {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
    /// The operating system's: out of descriptors, memory or disk.
    #[error("{call} failed for the socket {path:?}: {source}")]
    System {
        /// The socket's path.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
}

impl BindError {
    /// Stable name for logs and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Path(SocketPathError::TooLong { .. }) => "socket_path_too_long",
            Self::Path(SocketPathError::Invalid { .. }) => "socket_path_invalid",
            Self::NameTaken(_) => "socket_name_taken",
            Self::NoFolder { .. } => "socket_no_folder",
            Self::NotWritable { .. } => "socket_not_writable",
            Self::System { .. } => "socket_system",
        }
    }
}

fn system(path: &Path, call: &'static str, source: Errno) -> BindError {
    BindError::System { path: path.to_owned(), call, source }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Connections the kernel completes before we accept them: more than a host has trainers. The
/// kernel lowers it to net.core.somaxconn (4,096 by default).
const BACKLOG: i32 = 4_096;

const PERMISSION_BITS: u32 = 0o777;
