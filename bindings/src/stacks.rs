//! Python stacks of all threads, written where the trainer's errors go when a Stop asks for them, or the
//! orchestrator by sending the signal itself.
//!
//! `faulthandler` writes them from a signal handler, so they come even while the GIL is held.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicI32, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Whether stacks can be dumped from now on. Called at connect.
pub(crate) fn register(py: Python<'_>) -> bool {
    let signal = trainwire_unix::stacks_signal();
    let registered = (|| {
        let options = PyDict::new(py);
        options.set_item("file", STDERR)?;
        options.set_item("all_threads", true)?;
        PyModule::import(py, "faulthandler")?.call_method("register", (signal,), Some(&options))
    })();
    if registered.is_ok() {
        SIGNAL.store(signal, Ordering::Relaxed);
    }
    registered.is_ok()
}

/// Any thread.
pub(crate) fn dump() {
    let signal = SIGNAL.load(Ordering::Relaxed);
    if signal != 0 {
        // SAFETY: kill has no memory to get wrong. The signal has faulthandler's handler.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
}

/// By its number: a duplicate would be one more descriptor that forked children hold open.
const STDERR: i32 = 2;

static SIGNAL: AtomicI32 = AtomicI32::new(0);
