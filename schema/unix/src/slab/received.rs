//! The other processes' side: they read, and say when they have done so.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use bytes::Bytes;
use nix::fcntl::SealFlag;

use crate::sealed::mapping::Mapping;
use crate::sealed::{SealedError, require_memory};

/// A slab of another process, mapped read-only. Cheap to clone; views keep the mapping alive.
#[derive(Clone, Debug)]
pub struct ReceivedSlab(Arc<Mapping<false>>);

/// Views of slabs, by what their user calls them, and which of them are gone.
///
/// What happens where a view is dropped, in whatever thread, signal handler or destructor that is, is
/// one store of an atomic; looking at it is the user's business, whenever it suits.
#[derive(Debug)]
pub struct Leases<K> {
    open: Vec<(K, Arc<AtomicU8>)>,
    /// One of them may be over.
    bell: Arc<AtomicBool>,
}

impl ReceivedSlab {
    /// Maps a descriptor that came from the owner, which announced `announced_len` bytes, and closes it.
    ///
    /// # Errors
    /// Everything is refused that is not readable memory of exactly this size, sealed so that nobody
    /// can resize it or begin to write to it. [`SealedError::OutOfMemory`] where the address space is
    /// exhausted.
    pub fn receive(descriptor: OwnedFd, announced_len: u64) -> Result<Self, SealedError> {
        let too_large = SealedError::TooLarge { len: announced_len };
        let len = usize::try_from(announced_len).map_err(|_| too_large)?;
        require_memory(&descriptor, announced_len, |seals| {
            // Who cannot write at all cannot begin to.
            let implied = if seals.contains(SealFlag::F_SEAL_WRITE) {
                SealFlag::F_SEAL_FUTURE_WRITE
            } else {
                SealFlag::empty()
            };
            REQUIRED_SEALS - seals - implied
        })?;
        // SAFETY: sealed against cutting. Against writing by its owner nothing seals it: the protocol's
        // rules do, and whoever breaks them runs as the same user and needs no slab to write into this
        // process's memory (see "Trust" in the module's documentation).
        let map = unsafe { Mapping::<false>::new(&descriptor, len) };
        Ok(Self(Arc::new(map.map_err(|source| SealedError::OutOfMemory { len, source })?)))
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the slab has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K> Default for Leases<K> {
    fn default() -> Self {
        Self { open: Vec::new(), bell: Arc::default() }
    }
}

impl<K> Leases<K> {
    /// A view of `len` bytes at `offset`, which `key` will be the name of when it and all its clones and
    /// slices are gone. `None` if they are not all within the slab.
    pub fn lend(&mut self, key: K, slab: &ReceivedSlab, offset: u64, len: u64) -> Option<Bytes> {
        let offset = usize::try_from(offset).ok()?;
        let len = usize::try_from(len).ok()?;
        offset.checked_add(len).filter(|end| *end <= slab.len())?;
        let state = Arc::new(AtomicU8::new(OPEN));
        self.open.push((key, Arc::clone(&state)));
        Some(Bytes::from_owner(View {
            map: Arc::clone(&slab.0),
            offset,
            len,
            forks: FORKS.load(Ordering::Relaxed),
            state,
            bell: Arc::clone(&self.bell),
        }))
    }

    /// Names every view that is gone and was not alive at a [fork](forking), once.
    pub fn collect(&mut self, mut over: impl FnMut(K)) {
        if !self.bell.swap(false, Ordering::Acquire) {
            return;
        }
        let done = self.open.extract_if(.., |(_, state)| state.load(Ordering::Acquire) != OPEN);
        for (key, state) in done {
            if state.load(Ordering::Acquire) == OVER {
                over(key);
            }
        }
    }
}

/// Call before every fork of a process and after it in the parent, e.g. from `pthread_atfork`: the child
/// has the views too, and nobody learns when it is through with them. Those alive then are never
/// [collected](Leases::collect). Async-signal-safe.
pub fn forking() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

/// `offset + len <= map.len()`
struct View {
    map: Arc<Mapping<false>>,
    offset: usize,
    len: usize,
    /// [`FORKS`] when it was lent.
    forks: u64,
    state: Arc<AtomicU8>,
    bell: Arc<AtomicBool>,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: within the map, as `lend` checked, and the map lives as long as `self`. That nobody
        // changes the bytes meanwhile is the promise `receive` relies on.
        unsafe { slice::from_raw_parts(self.map.start().add(self.offset).as_ptr(), self.len) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let forked = FORKS.load(Ordering::SeqCst) != self.forks;
        self.state.store(if forked { INHERITED } else { OVER }, Ordering::Release);
        self.bell.store(true, Ordering::Release);
    }
}

/// Counts the calls of [`forking`].
static FORKS: AtomicU64 = AtomicU64::new(0);

/// What a view's state says: somebody here looks, nobody here does, nobody here does but a child may.
const OPEN: u8 = 0;
const OVER: u8 = 1;
const INHERITED: u8 = 2;

const REQUIRED_SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_FUTURE_WRITE)
    .union(SealFlag::F_SEAL_SEAL);
