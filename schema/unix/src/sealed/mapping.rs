//! A whole memory file in the address space, placed so that huge pages stay huge: the kernel maps one
//! as such only at a multiple of its size, and memmap2 cannot say where.
#![allow(unsafe_code)]

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::slice;

use nix::errno::Errno;
use nix::libc::c_void;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Shared with everyone who has the file, this process's own to write into if `WRITABLE`.
#[derive(Debug)]
pub(crate) struct Mapping<const WRITABLE: bool> {
    /// Of `len` mapped bytes that nobody else unmaps; dangling if `len` is 0.
    start: NonNull<u8>,
    len: usize,
}

impl<const WRITABLE: bool> Mapping<WRITABLE> {
    /// Maps the first `len` bytes.
    ///
    /// # Safety
    /// As long as the mapping lives the file has at least `len` bytes, and nobody changes them but
    /// through the mapping or while its owner has it borrowed exclusively.
    pub(crate) unsafe fn new(memory: impl AsFd, len: usize) -> Result<Self, Errno> {
        let Some(size) = std::num::NonZeroUsize::new(len) else {
            return Ok(Self { start: NonNull::dangling(), len });
        };
        let protection =
            if WRITABLE { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
        if len < HUGE_PAGE_SIZE_BYTES {
            // SAFETY: a mapping wherever the kernel likes replaces none.
            let start = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, memory, 0) }?;
            return Ok(Self { start: start.cast(), len });
        }
        let room = size.checked_add(HUGE_PAGE_SIZE_BYTES).ok_or(Errno::ENOMEM)?;
        let nothing = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: as above.
        let room_start = unsafe { mmap_anonymous(None, room, ProtFlags::PROT_NONE, nothing) }?;
        let before = room_start.as_ptr().align_offset(HUGE_PAGE_SIZE_BYTES);
        // SAFETY: the offset is below the size of a huge page, so `len` bytes of the room are left.
        let place = unsafe { room_start.byte_add(before) };
        let fixed = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY: it replaces a part of the room, which nobody else knows of.
        let mapped = unsafe { mmap(Some(place.addr()), size, protection, fixed, memory, 0) };
        let start = match mapped {
            Ok(start) => start.cast::<u8>(),
            Err(error) => {
                // SAFETY: the room is ours and unused.
                let _ = unsafe { munmap(room_start, room.get()) };
                return Err(error);
            }
        };
        let end = len.next_multiple_of(PAGE_SIZE_BYTES);
        // What lies around it. Failing would only leave addresses unused.
        if before > 0 {
            // SAFETY: the room before the mapping, unused.
            let _ = unsafe { munmap(room_start, before) };
        }
        if before + end < room.get() {
            // SAFETY: the room behind the mapping's last page, unused.
            let _ = unsafe { munmap(place.byte_add(end), room.get() - before - end) };
        }
        Ok(Self { start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first byte, for those who look at parts of it.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Gives the kernel advice about a range that begins and ends at pages.
    pub(crate) fn advise(&self, from: usize, len: usize, advice: libc::c_int) -> Result<(), Errno> {
        assert!(from <= self.len && len <= self.len.next_multiple_of(PAGE_SIZE_BYTES) - from);
        // SAFETY: the range was checked; no advice given in this crate changes what the bytes are.
        let answer = unsafe { libc::madvise(self.start.as_ptr().byte_add(from).cast(), len, advice) };
        Errno::result(answer).map(drop)
    }
}

impl Mapping<true> {
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes are mapped writable, and `new`'s caller keeps everybody else away.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<const WRITABLE: bool> AsRef<[u8]> for Mapping<WRITABLE> {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped readable and, says `new`'s caller, stay what they are.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<const WRITABLE: bool> Drop for Mapping<WRITABLE> {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: mapped by `new`, unmapped nowhere else, and every slice of it borrowed `self`.
            let _ = unsafe { munmap(self.start.cast::<c_void>(), self.len) };
        }
    }
}

// SAFETY: addresses mean the same to every thread, and the slices follow the rules of borrowing.
unsafe impl<const WRITABLE: bool> Send for Mapping<WRITABLE> {}
// SAFETY: as above.
unsafe impl<const WRITABLE: bool> Sync for Mapping<WRITABLE> {}

/// Of x86-64, and of arm64 with small pages. Elsewhere mappings are aligned in vain.
pub(crate) const HUGE_PAGE_SIZE_BYTES: usize = 2 << 20;

/// The smallest page of any machine: `munmap` and `madvise` round up to real ones.
pub(crate) const PAGE_SIZE_BYTES: usize = 4 << 10;
