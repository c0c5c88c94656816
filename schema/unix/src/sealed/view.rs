//! The end of a mapping, which nobody has to wait for.
//!
//! The last view of a payload is mostly dropped where the next one has just come: a trainer's loop
//! binds its variable anew. If the sender has let go of the memory too, unmapping also frees it, and
//! a gigabyte of small pages takes the kernel 0.2 s, before the next payload is looked at.

use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow};

use super::mapping::Mapping;

/// A payload as its reader has it mapped.
#[derive(Debug)]
pub(super) struct View {
    /// `None` only while it is dropped.
    map: Option<Mapping<false>>,
}

impl View {
    pub(super) fn new(map: Mapping<false>) -> Self {
        Self { map: Some(map) }
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], AsRef::as_ref)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let Some(map) = self.map.take().filter(|map| map.len() >= UNMAPPED_ELSEWHERE_SIZE_BYTES_MIN) else {
            return;
        };
        // A thread each time, and none that waits: a forked child would not have it, but can start one.
        // It takes no signal, for these are the program's. Where no thread can be had, the closure
        // is dropped here, and what it holds with it.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let unmapping = thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK_SIZE_BYTES);
        let _ = unmapping.spawn(move || drop(map));
        if let Ok(mask) = mask {
            let _ = mask.thread_set_mask();
        }
    }
}

/// Below this, unmapping takes no longer than starting a thread does where pages are huge, and 4 ms where
/// they are small.
const UNMAPPED_ELSEWHERE_SIZE_BYTES_MIN: usize = 16 << 20;

/// Unmapping needs next to none.
const STACK_SIZE_BYTES: usize = 64 << 10;

/// In 15 bytes, what the kernel keeps of it.
const THREAD_NAME: &str = "trainwire-unmap";
