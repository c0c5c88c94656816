//! Writing a payload in place, before it is sealed.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Advice, MmapMut, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::error::{out_of_memory, system};
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
        let memory = File::from(create_memfd(Kernel::Running)?);
        memory.set_len(len as u64).map_err(|error| out_of_memory(len, errno(&error)))?;
        // SAFETY: the descriptor stays in this type while the map lives, so nobody truncates the
        // file or changes bytes behind the borrow checker's back.
        let map = unsafe { MmapOptions::new().len(len).map_mut(&memory) }
            .map_err(|error| out_of_memory(len, errno(&error)))?;
        if len > 0 {
            // A child forked by another thread would otherwise hold a writable mapping until it
            // execs, and sealing would fail with EBUSY.
            map.advise(Advice::DontFork).map_err(|error| system("madvise(MADV_DONTFORK)", errno(&error)))?;
            if huge {
                // Only a fault through an advised mapping gets huge pages, fallocate never does.
                let _ = map.advise(Advice::HugePage).and_then(|()| map.advise(Advice::PopulateWrite));
            }
            reserve(&memory, len)?;
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

/// Backs the file with the pages it does not have yet. Without this, missing memory would be a SIGBUS at the first touch.
fn reserve(memory: &File, len: usize) -> Result<(), SealedError> {
    let size = libc::off_t::try_from(len).map_err(|_| SealedError::TooLarge { len: len as u64 })?;
    loop {
        match fallocate(memory, FallocateFlags::empty(), 0, size) {
            // fallocate undoes what it did when a signal arrives, and callers cannot act on it.
            Err(Errno::EINTR) => {}
            answer => return answer.map_err(|source| out_of_memory(len, source)),
        }
    }
}
