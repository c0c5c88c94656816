//! Payloads in sealed memory, which travel as one descriptor and can never change again.
//!
//! A payload above the inline limit is written once into a memfd, sealed, and handed over as a
//! descriptor. The four seals are what makes the reader's mapping safe: nobody, the sender
//! included, can shrink it (SIGBUS), grow it or write to it afterwards.
//!
//! ```text
//!  PayloadBuffer ──seal()──► SealedPayload ──SCM_RIGHTS──► SealedPayload::receive ──map()──► Bytes
//!  writable, ours            SHRINK|GROW|WRITE|SEAL        refuses anything less             read-only
//! ```
#![allow(unsafe_code)]

mod buffer;
mod error;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

pub use buffer::PayloadBuffer;
pub use error::SealedError;
use error::{out_of_memory, system};

use crate::Kernel;
use crate::errno::errno;

/// Longest payload: 2 GiB − 1, the longest FlatBuffer (its offsets are 31 bits wide).
pub const PAYLOAD_SIZE_BYTES_MAX: usize = i32::MAX as usize;

/// A memfd with all four seals: the type is the proof that its bytes never change.
#[derive(Debug)]
pub struct SealedPayload {
    memory: OwnedFd,
    len: usize,
}

impl SealedPayload {
    /// Copies `bytes` into sealed memory.
    ///
    /// # Errors
    /// As [`PayloadBuffer::allocate`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealedError> {
        if bytes.len() > PAYLOAD_SIZE_BYTES_MAX {
            return Err(SealedError::TooLarge { len: bytes.len() as u64 });
        }
        let mut memory = File::from(create_memfd(Kernel::Running)?);
        // write(2) reports missing memory as an error by itself and is faster than a mapping that
        // has to be faulted in.
        io::Write::write_all(&mut memory, bytes)
            .map_err(|error| out_of_memory(bytes.len(), errno(&error)))?;
        Self::seal(memory, bytes.len())
    }

    /// Takes a descriptor that came from the peer, which announced `announced_len` bytes.
    ///
    /// # Errors
    /// Everything that is not readable memory with all four seals and exactly this size is refused;
    /// the descriptor is closed then.
    pub fn receive(descriptor: OwnedFd, announced_len: u64) -> Result<Self, SealedError> {
        let too_large = SealedError::TooLarge { len: announced_len };
        let len = usize::try_from(announced_len).map_err(|_| too_large)?;
        if len > PAYLOAD_SIZE_BYTES_MAX {
            return Err(SealedError::TooLarge { len: announced_len });
        }
        let flags =
            fcntl(&descriptor, FcntlArg::F_GETFL).map_err(|source| system("fcntl(F_GETFL)", source))?;
        let flags = OFlag::from_bits_retain(flags);
        if flags.contains(OFlag::O_PATH) || flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
            return Err(SealedError::NotReadable);
        }
        // EINVAL: a pipe, a socket, a file on a disk.
        let seals = fcntl(&descriptor, FcntlArg::F_GET_SEALS).map_err(|_| SealedError::NotMemory)?;
        let missing = REQUIRED_SEALS - SealFlag::from_bits_retain(seals);
        if !missing.is_empty() {
            return Err(SealedError::MissingSeals { missing: seal_names(missing) });
        }
        // A memfd of hugetlb pages can be sealed too, but touching a hole in it may raise SIGBUS.
        let file_system = fstatfs(&descriptor).map_err(|source| system("fstatfs", source))?;
        if file_system.filesystem_type() != TMPFS_MAGIC {
            return Err(SealedError::NotMemory);
        }
        let actual = fstat(&descriptor).map_err(|source| system("fstat", source))?.st_size;
        if u64::try_from(actual) != Ok(announced_len) {
            return Err(SealedError::SizeDiffers { announced: announced_len, actual: actual.unsigned_abs() });
        }
        Ok(Self { memory: descriptor, len })
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Maps the bytes read-only. The mapping lives as long as the last view of it and does not need
    /// the descriptor, so `self` may be dropped.
    ///
    /// # Errors
    /// [`SealedError::OutOfMemory`] where the address space or the number of mappings is exhausted.
    pub fn map(&self) -> Result<Bytes, SealedError> {
        if self.len == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the seals, checked or set by every constructor, keep the file from being
        // truncated or written to by anyone for as long as it exists.
        let map: Mmap = unsafe { MmapOptions::new().len(self.len).map(&self.memory) }
            .map_err(|error| out_of_memory(self.len, errno(&error)))?;
        Ok(Bytes::from_owner(map))
    }

    fn seal(memory: File, len: usize) -> Result<Self, SealedError> {
        fcntl(&memory, FcntlArg::F_ADD_SEALS(REQUIRED_SEALS))
            .map_err(|source| system("fcntl(F_ADD_SEALS)", source))?;
        Ok(Self { memory: memory.into(), len })
    }
}

impl AsFd for SealedPayload {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl From<SealedPayload> for OwnedFd {
    fn from(payload: SealedPayload) -> Self {
        payload.memory
    }
}

fn create_memfd(kernel: Kernel) -> Result<OwnedFd, SealedError> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // From 6.3 the kernel warns about, and with vm.memfd_noexec=2 refuses, a memfd that could be
    // executed. Older kernels answer EINVAL to the flag.
    let newest = match kernel {
        Kernel::Running => memfd_create(MEMFD_NAME, flags | MFD_NOEXEC_SEAL),
        Kernel::Oldest => Err(Errno::EINVAL),
    };
    match newest {
        Err(Errno::EINVAL) => memfd_create(MEMFD_NAME, flags),
        answer => answer,
    }
    .map_err(|source| system("memfd_create", source))
}

fn seal_names(seals: SealFlag) -> String {
    seals.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join("|")
}

/// What shows in `/proc/*/fd` and `/proc/*/maps`.
const MEMFD_NAME: &str = "trainwire-payload";

const REQUIRED_SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE)
    .union(SealFlag::F_SEAL_SEAL);

const MFD_NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_memfd_can_be_sealed() {
        for kernel in [Kernel::Running, Kernel::Oldest] {
            let payload = SealedPayload::seal(File::from(create_memfd(kernel).unwrap()), 0).unwrap();
            SealedPayload::receive(payload.into(), 0).unwrap();
        }
    }
}
