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
pub(crate) mod mapping;
mod view;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile64;
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

pub use buffer::PayloadBuffer;
pub(crate) use buffer::reserve;
pub use error::SealedError;
use error::{out_of_memory, system};
use mapping::Mapping;
use view::View;

use crate::Kernel;
use crate::errno::errno;
use crate::planted;

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
        Self::from_parts(&[bytes])
    }

    /// Copies `parts` into sealed memory, one behind the other.
    ///
    /// # Errors
    /// As [`PayloadBuffer::allocate`].
    pub fn from_parts(parts: &[&[u8]]) -> Result<Self, SealedError> {
        let len = parts.iter().fold(0, |len: usize, part| len.saturating_add(part.len()));
        let mut memory = PayloadBuffer::unreserved(len)?;
        for part in parts {
            // Where pages are small, write(2) reports missing memory as an error by itself, and is faster
            // than a mapping that has to be faulted in.
            memory.write_all(part).map_err(|error| out_of_memory(len, errno(&error)))?;
        }
        memory.seal()
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
        require_memory(&descriptor, announced_len, |seals| REQUIRED_SEALS - seals)?;
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
    /// the descriptor, so `self` may be dropped. Where it is large, another thread unmaps it.
    ///
    /// # Errors
    /// [`SealedError::OutOfMemory`] where the address space or the number of mappings is exhausted.
    pub fn map(&self) -> Result<Bytes, SealedError> {
        if self.len == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the seals, checked or set by every constructor, keep the file from being
        // truncated or written to by anyone for as long as it exists.
        let map = unsafe { Mapping::<false>::new(&self.memory, self.len) };
        Ok(Bytes::from_owner(View::new(map.map_err(|source| out_of_memory(self.len, source))?)))
    }

    /// Appends the bytes to `file`, which need not pass through this process.
    ///
    /// # Errors
    /// The kernel's, from writing.
    pub fn copy_to(&self, file: &File) -> io::Result<()> {
        // An offset of our own: that of the descriptor is shared with everyone who has it.
        let mut copied = 0;
        while let Some(rest) = usize::try_from(copied).ok().and_then(|copied| self.len.checked_sub(copied))
            && rest > 0
        {
            match sendfile64(file, &self.memory, Some(&mut copied), rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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

/// Refuses whatever is not readable memory of this size to which no seal is `missing`.
pub(crate) fn require_memory(
    descriptor: &OwnedFd,
    announced_len: u64,
    missing: impl FnOnce(SealFlag) -> SealFlag,
) -> Result<(), SealedError> {
    let flags = fcntl(descriptor, FcntlArg::F_GETFL).map_err(|source| system("fcntl(F_GETFL)", source))?;
    let flags = OFlag::from_bits_retain(flags);
    if flags.contains(OFlag::O_PATH) || flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
        return Err(SealedError::NotReadable);
    }
    // EINVAL: a pipe, a socket, a file on a disk.
    let seals = fcntl(descriptor, FcntlArg::F_GET_SEALS).map_err(|_| SealedError::NotMemory)?;
    let missing = missing(SealFlag::from_bits_retain(seals));
    if !missing.is_empty() && !planted::is("seals-unchecked") {
        return Err(SealedError::MissingSeals { missing: seal_names(missing) });
    }
    // A memfd of hugetlb pages can be sealed too, but touching a hole in it may raise SIGBUS.
    let file_system = fstatfs(descriptor).map_err(|source| system("fstatfs", source))?;
    if file_system.filesystem_type() != TMPFS_MAGIC {
        return Err(SealedError::NotMemory);
    }
    let found = fstat(descriptor).map_err(|source| system("fstat", source))?;
    let actual = found.st_size.unsigned_abs();
    if actual != announced_len {
        return Err(SealedError::SizeDiffers { announced: announced_len, actual });
    }
    // Reading fills a hole, with the reader's memory: it would be killed in the sender's place, or get
    // SIGBUS where the kernel promises no more memory than it has.
    let allocated = found.st_blocks.unsigned_abs().saturating_mul(STAT_BLOCK_SIZE_BYTES);
    if allocated < announced_len {
        return Err(SealedError::NotAllocated { len: announced_len, allocated });
    }
    Ok(())
}

pub(crate) fn create_memfd(kernel: Kernel) -> Result<OwnedFd, SealedError> {
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

/// The unit of `st_blocks`, whatever the file system's is.
const STAT_BLOCK_SIZE_BYTES: u64 = 512;

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
