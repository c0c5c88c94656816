//! Writing a payload in place, before it is sealed.
//!
//! What a large payload costs is its pages, not its bytes: a fresh page of 4 KiB takes a fault, an
//! entry in every page table and a walk over all of them at the end, 1 ms a MiB together. So large
//! buffers are made of huge pages where the kernel has any:
//!
//! ```text
//!  0        2 MiB                                      len
//!  ├─ small ─┼── huge ──┼── huge ──┼── … ──┼── small ──┤
//! ```
//!
//! The first 2 MiB stay small, so that whoever only reads the fields at the front takes 64 KiB into
//! its own memory and not 2 MiB.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::error::{out_of_memory, system};
use super::mapping::{HUGE_PAGE_SIZE_BYTES, Mapping, PAGE_SIZE_BYTES};
use super::{PAYLOAD_SIZE_BYTES_MAX, SealedError, SealedPayload, create_memfd};
use crate::Kernel;
use crate::errno::errno;

/// Memory a payload is produced in, before it is sealed.
///
/// All of it is backed by pages from the start, so writing never meets SIGBUS. Dropping it without
/// [`seal`](Self::seal) frees it.
#[derive(Debug)]
pub struct PayloadBuffer {
    memory: File,
    map: Mapping<true>,
    /// Backed by huge pages, so that copying into the mapping is quicker than a system call.
    huge: Range<usize>,
    /// Where [`io::Write`] goes on. `0 <= written <= map.len()`
    written: usize,
}

impl PayloadBuffer {
    /// Allocates `len` zeroed bytes, in huge pages where there are any (Linux 6.1; not where
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says `deny`).
    ///
    /// # Errors
    /// [`SealedError::TooLarge`] above [`PAYLOAD_SIZE_BYTES_MAX`], [`SealedError::OutOfMemory`] where
    /// the pages cannot be had, [`SealedError::System`] where the kernel refuses a memfd.
    pub fn allocate(len: usize) -> Result<Self, SealedError> {
        let buffer = Self::unreserved(len)?;
        if buffer.huge.is_empty() {
            reserve(&buffer.memory, 0..len)?;
        }
        Ok(buffer)
    }

    /// Reads a file, a pipe or a socket from where it stands to its end, into memory that begins with
    /// `start` zeroed bytes. The bytes stay in the kernel on their way. Waits as long as `source` does.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate); [`SealedError::Source`] where `source` cannot be read.
    pub fn read_from(start: usize, source: BorrowedFd<'_>) -> Result<Self, SealedError> {
        let unreadable = |error: io::Error| SealedError::Source { source: errno(&error) };
        let mut source = File::from(source.try_clone_to_owned().map_err(unreadable)?);
        let metadata = source.metadata().map_err(unreadable)?;
        let rest = match metadata.is_file() {
            true => metadata.len().saturating_sub(source.stream_position().map_err(unreadable)?),
            false => 0,
        };
        let expected = usize::try_from(rest).unwrap_or(usize::MAX).saturating_add(start);
        let Self { mut memory, .. } = Self::allocate(expected)?;
        memory.seek(SeekFrom::Start(start as u64)).map_err(|error| system("lseek", errno(&error)))?;
        // One byte more than is possible tells what is too long from what just fits.
        let room = PAYLOAD_SIZE_BYTES_MAX.saturating_sub(start) as u64 + 1;
        let read = io::copy(&mut (&mut source).take(room), &mut memory);
        let read = read.map_err(|error| match errno(&error) {
            no_room @ (Errno::ENOSPC | Errno::ENOMEM | Errno::EFBIG | Errno::EDQUOT) => {
                out_of_memory(expected, no_room)
            }
            other => SealedError::Source { source: other },
        })?;
        let len = start as u64 + read;
        let len = usize::try_from(len).ok().filter(|len| *len <= PAYLOAD_SIZE_BYTES_MAX);
        let len = len.ok_or(SealedError::TooLarge { len: start as u64 + read })?;
        // A file may be cut or grow while it is read.
        memory.set_len(len as u64).map_err(|error| out_of_memory(len, errno(&error)))?;
        reserve(&memory, 0..start)?;
        Self::of(memory, len)
    }

    /// Backed as far as there are huge pages; where there are none, only by what is written with
    /// [`write_at`](Self::write_at), which says so when memory runs out.
    pub(super) fn unreserved(len: usize) -> Result<Self, SealedError> {
        if len > PAYLOAD_SIZE_BYTES_MAX {
            return Err(SealedError::TooLarge { len: len as u64 });
        }
        let memory = File::from(create_memfd(Kernel::Running)?);
        memory.set_len(len as u64).map_err(|error| out_of_memory(len, errno(&error)))?;
        let mut buffer = Self::of(memory, len)?;
        let huge = HUGE_PAGE_SIZE_BYTES..len - len % HUGE_PAGE_SIZE_BYTES;
        if huge.len() >= HUGE_PAGE_SIZE_BYTES && buffer.collapse(huge.clone())? {
            reserve(&buffer.memory, 0..len)?;
            buffer.huge = huge;
        }
        Ok(buffer)
    }

    fn of(memory: File, len: usize) -> Result<Self, SealedError> {
        // SAFETY: the descriptor stays in this type while the map lives. It is written to only by
        // methods that borrow all of it exclusively, and truncated by none.
        let map = unsafe { Mapping::new(&memory, len) }.map_err(|source| out_of_memory(len, source))?;
        if len > 0 {
            // A child forked by another thread would otherwise hold a writable mapping until it
            // execs, and sealing would fail with EBUSY.
            map.advise(0, len, libc::MADV_DONTFORK)
                .map_err(|source| system("madvise(MADV_DONTFORK)", source))?;
        }
        Ok(Self { memory, map, huge: 0..0, written: 0 })
    }

    /// Backs a range with huge pages, at once and for the price of clearing them. The kernel makes a
    /// huge page around one that is there; around holes it copies nothing.
    fn collapse(&self, range: Range<usize>) -> Result<bool, SealedError> {
        for at in range.clone().step_by(HUGE_PAGE_SIZE_BYTES) {
            reserve(&self.memory, at..at + PAGE_SIZE_BYTES)?;
        }
        // No huge pages left, none at all, an older kernel: small ones do as well.
        Ok(self.map.advise(range.start, range.len(), libc::MADV_COLLAPSE).is_ok())
    }

    /// The bytes, to be written in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.map.as_mut_slice()
    }

    /// Length in bytes, written or not.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether the buffer has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes at a place, quicker than through [`as_mut_slice`](Self::as_mut_slice) where pages are
    /// small: those the mapping has not seen yet need no fault. Like `write(2)` it may write less than
    /// all, and nothing at the end of the buffer.
    ///
    /// # Errors
    /// None on memory that was [allocated](Self::allocate).
    pub fn write_at(&mut self, bytes: &[u8], at: usize) -> io::Result<usize> {
        let end = match at {
            at if at < self.huge.start => self.huge.start,
            at if at < self.huge.end => self.huge.end,
            _ => self.len(),
        };
        let count = bytes.len().min(end.saturating_sub(at));
        if self.huge.contains(&at) {
            self.map.as_mut_slice()[at..at + count].copy_from_slice(&bytes[..count]);
            return Ok(count);
        }
        self.memory.write_at(&bytes[..count], at as u64)
    }

    /// Ends writing for good: after this the bytes can be read by anyone who has the descriptor
    /// and changed by nobody.
    ///
    /// # Errors
    /// [`SealedError::System`] where the kernel refuses the seals.
    pub fn seal(self) -> Result<SealedPayload, SealedError> {
        let Self { memory, map, .. } = self;
        let len = map.len();
        // F_SEAL_WRITE answers EBUSY while a writable mapping lives.
        drop(map);
        SealedPayload::seal(memory, len)
    }
}

/// Writes from the front; `Ok(0)` (for `write_all`: `WriteZero`) when the buffer is full.
impl io::Write for PayloadBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.write_at(bytes, self.written)?;
        self.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Backs a part of the file with the pages it does not have yet. Without this, missing memory would be
/// a SIGBUS at the first touch.
pub(crate) fn reserve(memory: &File, range: Range<usize>) -> Result<(), SealedError> {
    if range.is_empty() {
        return Ok(());
    }
    let too_large = |_| SealedError::TooLarge { len: range.end as u64 };
    let start = libc::off_t::try_from(range.start).map_err(too_large)?;
    let size = libc::off_t::try_from(range.len()).map_err(too_large)?;
    loop {
        match fallocate(memory, FallocateFlags::empty(), start, size) {
            // fallocate undoes what it did when a signal arrives, and callers cannot act on it.
            Err(Errno::EINTR) => {}
            answer => return answer.map_err(|source| out_of_memory(range.end, source)),
        }
    }
}
