//! What a forked child may do: read.
//!
//! A child shares the socket with its parent, and one of the parent's threads may have held any of
//! our locks at the moment of the fork. So the kernel's own hook marks the child, and everything
//! that would lock or send looks at that mark first.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::errors::{Class, raise};

/// From now on children are marked. Called before the first connection exists.
pub(crate) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: `mark` is an extern "C" function that stays loaded (Python never unloads
        // extension modules) and does nothing but store an atomic. Out of memory is the only
        // failure; the child is then told apart by nothing, as without this call.
        unsafe { libc::pthread_atfork(None, None, Some(mark)) };
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

extern "C" fn mark() {
    FORKED.store(true, Ordering::Relaxed);
}

static FORKED: AtomicBool = AtomicBool::new(false);
