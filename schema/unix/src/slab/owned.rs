//! The owner's side: it writes.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

use super::SlabError;
use crate::Kernel;
use crate::errno::errno;
use crate::sealed::mapping::{HUGE_PAGE_SIZE_BYTES, Mapping};
use crate::sealed::{create_memfd, reserve};

/// Memory whose parts are written, lent to other processes and written again. Cheap to clone.
///
/// All of it is backed by pages from the start, so writing never meets SIGBUS; it is freed when the
/// last process that has it mapped is gone.
#[derive(Clone, Debug)]
pub struct Slab(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    memory: File,
    map: Mapping<true>,
    /// Offset and length of every [`SlabRange`] alive, and of those that became [`Bytes`]. No two of
    /// them share a byte, none is empty, none reaches beyond the map.
    claimed: Mutex<BTreeMap<usize, usize>>,
}

/// A part of a slab that belongs to whoever has this value: no other claim shares a byte with it.
#[derive(Debug)]
pub struct SlabRange {
    slab: Arc<Owned>,
    offset: usize,
    len: usize,
}

impl Slab {
    /// Allocates `len` zeroed bytes, in huge pages where there are any, and seals them against
    /// everything but this process's own writing.
    ///
    /// # Errors
    /// [`SlabError::OutOfMemory`] where the pages cannot be had, [`SlabError::Unsupported`] where the
    /// kernel has not the seal.
    pub fn allocate(len: usize) -> Result<Self, SlabError> {
        let out_of_memory = |source| SlabError::OutOfMemory { len, source };
        let memory = File::from(create_memfd(Kernel::Running)?);
        memory.set_len(len as u64).map_err(|error| out_of_memory(errno(&error)))?;
        // SAFETY: nobody truncates the file: the descriptor stays in this type, and what others get of
        // it is sealed. Nobody reads or writes through the mapping but claims, which do not overlap.
        let map = unsafe { Mapping::<true>::new(&memory, len) }.map_err(out_of_memory)?;
        if len > 0 {
            map.advise(0, len, libc::MADV_DONTFORK).map_err(system("madvise(MADV_DONTFORK)"))?;
        }
        collapse(&memory, &map)?;
        reserve(&memory, 0..len)?;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(SEALS)).map_err(|source| match source {
            Errno::EINVAL => SlabError::Unsupported,
            source => system("fcntl(F_ADD_SEALS)")(source),
        })?;
        Ok(Self(Arc::new(Owned { memory, map, claimed: Mutex::default() })))
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.map.len()
    }

    /// Whether the slab has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes `len` bytes at `offset`, which hold what was written there last. `None` if there are none,
    /// if they are not all within the slab, or if one of them is claimed.
    pub fn claim(&self, offset: usize, len: usize) -> Option<SlabRange> {
        let end = offset.checked_add(len).filter(|end| len > 0 && *end <= self.len())?;
        let mut claimed = self.0.claimed();
        let before = claimed.range(..end).next_back();
        if before.is_some_and(|(start, len)| start + len > offset) {
            return None;
        }
        claimed.insert(offset, len);
        drop(claimed);
        Some(SlabRange { slab: Arc::clone(&self.0), offset, len })
    }
}

impl Owned {
    fn claimed(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        // Every change of it is one call.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Slab {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.memory.as_fd()
    }
}

impl SlabRange {
    /// Where it begins in its slab, in bytes.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Length in bytes, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes, to be written in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: within the map, as `claim` checked; the map lives as long as `self.slab`. The claim
        // keeps every other slice of these bytes in this process away, and other processes map them
        // read-only. `&mut self` keeps away those of this claim.
        unsafe { slice::from_raw_parts_mut(self.slab.map.start().add(self.offset).as_ptr(), self.len) }
    }

    /// Ends writing. The bytes stay claimed until the last view of them is gone.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for SlabRange {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: as `as_mut_slice`; nobody writes while this borrow lives.
        unsafe { slice::from_raw_parts(self.slab.map.start().add(self.offset).as_ptr(), self.len) }
    }
}

impl Drop for SlabRange {
    fn drop(&mut self) {
        self.slab.claimed().remove(&self.offset);
    }
}

/// Asks for huge pages: they have to be there before the small ones are. The kernel makes one around
/// each page it finds.
fn collapse(memory: &File, map: &Mapping<true>) -> Result<(), SlabError> {
    let huge = map.len() - map.len() % HUGE_PAGE_SIZE_BYTES;
    for at in (0..huge).step_by(HUGE_PAGE_SIZE_BYTES) {
        reserve(memory, at..at + 1)?;
    }
    if huge > 0 {
        // None left, none at all, an older kernel: small pages do as well.
        let _ = map.advise(0, huge, libc::MADV_COLLAPSE);
    }
    Ok(())
}

fn system(call: &'static str) -> impl Fn(Errno) -> SlabError {
    move |source| SlabError::System { call, source }
}

const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_FUTURE_WRITE)
    .union(SealFlag::F_SEAL_SEAL);
