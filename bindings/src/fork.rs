//! What a forked child may do: read.
//!
//! What it reads stays: views of a slab that were alive at the fork are never released.
//!
//! A child shares the socket with its parent, and one of the parent's threads may have held any of
//! our locks at the moment of the fork. So the kernel's own hook marks the child, and everything
//! that would lock or send looks at that mark first.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::errors::{Class, raise};

/// From now on children are marked, and what they may look at is kept for them. Called before the first
/// connection exists.
pub(crate) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: these are extern "C" functions that stay loaded (Python never unloads extension
        // modules) and do nothing but change an atomic. Out of memory is the only failure; the child
        // is then told apart by nothing, as without this call.
        unsafe { libc::pthread_atfork(Some(views_are_inherited), Some(views_are_inherited), Some(mark)) };
    });
}

pub(crate) fn in_forked_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// The `ForkedError` for `what`.
pub(crate) fn error(py: Python<'_>, what: &str) -> PyErr {
    let text = format!(
        "{what} is for the process that connected; this one was forked from it and can only read the task"
    );
    raise(py, Class::Forked, "forked", text)
}

/// What is lent out of a slab now can be looked at by a child as long as it lives, so it is never given
/// back.
extern "C" fn views_are_inherited() {
    trainwire_unix::slab::forking();
}

extern "C" fn mark() {
    FORKED.store(true, Ordering::Relaxed);
}

static FORKED: AtomicBool = AtomicBool::new(false);
