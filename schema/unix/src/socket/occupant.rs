//! What already has the name a socket was to be bound to, for an error a person can act on.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, connect, socket};
use nix::unistd::{Uid, User};

use super::address::address_of;
use crate::PeerCredentials;

/// A name that was in use when it was to be bound. Displayed, it says what is there, whose it is
/// and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTaken {
    /// The name.
    pub path: PathBuf,
    /// What has it.
    pub what: Occupant,
}

/// What has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occupant {
    /// A socket somebody listens on.
    LiveSocket {
        /// Owner of the file.
        owner: Owner,
        /// The process that listens, where it can be seen.
        pid: Option<u32>,
    },
    /// A socket nobody listens on, left by a process that was killed.
    DeadSocket {
        /// Owner of the file.
        owner: Owner,
    },
    /// A socket that may not be connected to, so that it is unknown whether somebody listens.
    ForeignSocket {
        /// Owner of the file.
        owner: Owner,
    },
    /// A folder.
    Folder {
        /// Its owner.
        owner: Owner,
    },
    /// A regular file, a pipe or a device.
    File {
        /// Its owner.
        owner: Owner,
    },
    /// A symbolic link that leads to something.
    Link {
        /// Owner of the link.
        owner: Owner,
        /// Where it points.
        target: PathBuf,
    },
    /// A symbolic link that leads nowhere.
    DanglingLink {
        /// Owner of the link.
        owner: Owner,
        /// Where it points.
        target: PathBuf,
    },
    /// It was there when binding failed and gone, or hidden, a moment later.
    Unknown,
}

/// The owner of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The user's name, where the system knows one.
    pub name: Option<String>,
}

impl NameTaken {
    /// Looks at the name without changing it. A socket is connected to and the connection closed at
    /// once, which is the only way to learn whether somebody listens.
    pub(super) fn examine(path: &Path) -> Self {
        let what = fs::symlink_metadata(path).map_or(Occupant::Unknown, |found| Occupant::of(path, &found));
        Self { path: path.to_owned(), what }
    }
}

impl Occupant {
    fn of(path: &Path, found: &Metadata) -> Self {
        let owner = Owner::of(found.uid());
        let kind = found.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(path).unwrap_or_default();
            return if fs::metadata(path).is_ok() {
                Self::Link { owner, target }
            } else {
                Self::DanglingLink { owner, target }
            };
        }
        if kind.is_dir() {
            return Self::Folder { owner };
        }
        if !kind.is_socket() {
            return Self::File { owner };
        }
        match probe(path) {
            Ok(pid) => Self::LiveSocket { owner, pid },
            // Its queue is full, or it is a socket of another type.
            Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Self::LiveSocket { owner, pid: None },
            Err(Errno::ECONNREFUSED) => Self::DeadSocket { owner },
            Err(Errno::ENOENT) => Self::Unknown,
            Err(_) => Self::ForeignSocket { owner },
        }
    }
}

impl Owner {
    fn of(uid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Self { uid, name: user.map(|user| user.name) }
    }
}

impl fmt::Display for NameTaken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        write!(formatter, "the socket name {path:?} is taken by ")?;
        match &self.what {
            Occupant::LiveSocket { owner, pid: Some(pid) } => write!(
                formatter,
                "a live socket of {owner}, process {pid}; end that process or use another job id or folder"
            ),
            Occupant::LiveSocket { owner, pid: None } => write!(
                formatter,
                "a live socket of {owner}; end the process that listens or use another job id or folder"
            ),
            Occupant::DeadSocket { owner } => write!(
                formatter,
                "a socket of {owner} that nobody listens on; if no orchestrator is restarting, remove it: rm {path:?}"
            ),
            Occupant::ForeignSocket { owner } => write!(
                formatter,
                "a socket of {owner} that this user may not connect to; use another job id or folder"
            ),
            Occupant::Folder { owner } => {
                write!(formatter, "a folder of {owner}; move it away or use another job id or folder")
            }
            Occupant::File { owner } => {
                write!(formatter, "a file of {owner}; move it away or use another job id or folder")
            }
            Occupant::Link { owner, target } => write!(
                formatter,
                "a symbolic link of {owner} to {target:?}; remove the link or use another job id or folder"
            ),
            Occupant::DanglingLink { owner, target } => write!(
                formatter,
                "a symbolic link of {owner} to {target:?}, which does not exist; remove the link or use another job id or folder"
            ),
            Occupant::Unknown => write!(formatter, "something that was gone a moment later; try again"),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(formatter, "{name} (uid {})", self.uid),
            None => write!(formatter, "uid {}", self.uid),
        }
    }
}

/// Pid of whoever listens.
fn probe(path: &Path) -> Result<Option<u32>, Errno> {
    let address = address_of(path).map_err(|_| Errno::EINVAL)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let prober = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(prober.as_raw_fd(), &address)?;
    Ok(PeerCredentials::of(&prober).ok().and_then(|peer| peer.pid))
}
