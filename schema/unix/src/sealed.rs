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

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapMut, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

/// Longest payload: 2 GiB − 1, the longest FlatBuffer (its offsets are 31 bits wide).
pub const PAYLOAD_SIZE_BYTES_MAX: usize = i32::MAX as usize;

/// Memory a payload is produced in, before it is sealed.
///
/// All of it is backed by pages from the start, so writing never meets SIGBUS. Dropping it without
/// [`seal`](Self::seal) frees it.
#[derive(Debug)]
pub struct PayloadBuffer {
    memory: File,
    map: MmapMut,
    /// Where [`io::Write`] goes on. `0 <= written <= map.len()`
    written: usize,
}

impl PayloadBuffer {
    /// Allocates `len` zeroed bytes.
    ///
    /// # Errors
    /// [`SealedError::TooLarge`] above [`PAYLOAD_SIZE_BYTES_MAX`], [`SealedError::OutOfMemory`] where
    /// the pages cannot be had, [`SealedError::System`] where the kernel refuses a memfd.
    pub fn allocate(len: usize) -> Result<Self, SealedError> {
        Self::allocate_with(len, false)
    }

    /// As [`allocate`](Self::allocate), asking for huge pages first. The kernel is free to say no
    /// (`/sys/kernel/mm/transparent_hugepage/shmem_enabled` decides); that is no error.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub fn allocate_huge(len: usize) -> Result<Self, SealedError> {
        Self::allocate_with(len, true)
    }

    fn allocate_with(len: usize, huge: bool) -> Result<Self, SealedError> {
        if len > PAYLOAD_SIZE_BYTES_MAX {
            return Err(SealedError::TooLarge { len: len as u64 });
        }
        let memory = File::from(create_memfd()?);
        if !huge {
            reserve(&memory, len)?;
        } else {
            memory.set_len(len as u64).map_err(|error| out_of_memory(len, errno(&error)))?;
        }
        // SAFETY: the descriptor never leaves this type while the map lives, so nobody else can
        // truncate the file or write to it.
        let map = unsafe { MmapOptions::new().len(len).map_mut(&memory) }
            .map_err(|error| out_of_memory(len, errno(&error)))?;
        if huge && len > 0 {
            // Only a fault through an advised mapping gets huge pages; fallocate, which then fills
            // what is left, never does.
            let _ = map.advise(Advice::HugePage).and_then(|()| map.advise(Advice::PopulateWrite));
            reserve(&memory, len)?;
        }
        // A child forked by another thread would otherwise hold a writable mapping until it execs,
        // and sealing would fail with EBUSY.
        if len > 0 {
            map.advise(Advice::DontFork).map_err(|error| system("madvise(MADV_DONTFORK)", errno(&error)))?;
        }
        Ok(Self { memory, map, written: 0 })
    }

    /// The bytes, to be written in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Length in bytes, written or not.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether the buffer has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Ends writing for good: after this the bytes can be read by anyone who has the descriptor
    /// and changed by nobody.
    ///
    /// # Errors
    /// [`SealedError::System`] where the kernel refuses the seals.
    pub fn seal(self) -> Result<SealedPayload, SealedError> {
        let Self { memory, map, written: _ } = self;
        let len = map.len();
        // F_SEAL_WRITE answers EBUSY while a writable mapping lives.
        drop(map);
        SealedPayload::seal(memory, len)
    }
}

/// Writes from the front; `Ok(0)` (for `write_all`: `WriteZero`) when the buffer is full.
impl io::Write for PayloadBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut free = &mut self.map[self.written..];
        let count = free.write(bytes)?;
        self.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
        let mut memory = File::from(create_memfd()?);
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

/// Why a payload could not be made, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// Caller's or peer's fault: longer than [`PAYLOAD_SIZE_BYTES_MAX`].
    #[error("a payload of {len} bytes is too large: {PAYLOAD_SIZE_BYTES_MAX} bytes is the limit")]
    TooLarge {
        /// Bytes asked for or announced.
        len: u64,
    },
    /// Peer's fault: a descriptor that cannot be read, `O_PATH` or write-only.
    #[error("the payload's descriptor is not open for reading")]
    NotReadable,
    /// Peer's fault: a pipe, a socket, a file on a disk, hugetlb pages.
    #[error("the payload's descriptor is not a memfd")]
    NotMemory,
    /// Peer's fault: somebody could still change the bytes.
    #[error("the payload is not sealed against change: {missing} missing")]
    MissingSeals {
        /// Names of the missing seals, separated by `|`.
        missing: String,
    },
    /// Peer's fault: another size than the frame announced.
    #[error("the payload has {actual} bytes, announced were {announced}")]
    SizeDiffers {
        /// Bytes the frame announced.
        announced: u64,
        /// Bytes the descriptor has.
        actual: u64,
    },
    /// The operating system's: no memory, address space or mappings left.
    #[error("no memory for a payload of {len} bytes: {source}; free memory or raise the memory limit")]
    OutOfMemory {
        /// Bytes asked for.
        len: usize,
        /// What the kernel answered.
        source: Errno,
    },
    /// The operating system's: a call that does not fail on a supported kernel did.
    #[error("{call} failed on a payload: {source}")]
    System {
        /// The system call.
        call: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
}

impl SealedError {
    /// Stable name for logs and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "payload_too_large",
            Self::NotReadable => "payload_not_readable",
            Self::NotMemory => "payload_not_memory",
            Self::MissingSeals { .. } => "payload_not_sealed",
            Self::SizeDiffers { .. } => "payload_size_differs",
            Self::OutOfMemory { .. } => "payload_out_of_memory",
            Self::System { .. } => "payload_system",
        }
    }
}

fn create_memfd() -> Result<OwnedFd, SealedError> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // From 6.3 the kernel warns about, and with vm.memfd_noexec=2 refuses, a memfd that could be
    // executed. Older kernels answer EINVAL to the flag.
    match memfd_create(MEMFD_NAME, flags | MFD_NOEXEC_SEAL) {
        Err(Errno::EINVAL) => memfd_create(MEMFD_NAME, flags),
        answer => answer,
    }
    .map_err(|source| system("memfd_create", source))
}

/// Backs the file with pages. Without this, missing memory would be a SIGBUS at the first touch.
fn reserve(memory: &File, len: usize) -> Result<(), SealedError> {
    if len == 0 {
        return Ok(()); // fallocate refuses a length of 0
    }
    let size = libc::off_t::try_from(len).map_err(|_| SealedError::TooLarge { len: len as u64 })?;
    loop {
        match fallocate(memory, FallocateFlags::empty(), 0, size) {
            // fallocate undoes what it did when a signal arrives, and callers cannot act on it.
            Err(Errno::EINTR) => {}
            answer => return answer.map_err(|source| out_of_memory(len, source)),
        }
    }
}

fn out_of_memory(len: usize, source: Errno) -> SealedError {
    SealedError::OutOfMemory { len, source }
}

fn system(call: &'static str, source: Errno) -> SealedError {
    SealedError::System { call, source }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
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
