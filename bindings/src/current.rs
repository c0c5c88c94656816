//! `trainwire.current()`: the open task, for code that was not handed it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::task::Task;

pub(crate) fn get(py: Python<'_>) -> Option<Py<Task>> {
    lock().as_ref().map(|task| task.clone_ref(py))
}

pub(crate) fn set(task: Py<Task>) {
    let previous = lock().replace(task);
    drop(previous); // outside the lock: it may run a destructor
}

pub(crate) fn clear(task: &Task) {
    let previous = {
        let mut current = lock();
        if current.as_ref().is_some_and(|current| std::ptr::eq(current.get(), task)) {
            current.take()
        } else {
            None
        }
    };
    drop(previous);
}

/// Taken while attached to Python, for a moment.
fn lock() -> MutexGuard<'static, Option<Py<Task>>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

static CURRENT: Mutex<Option<Py<Task>>> = Mutex::new(None);
