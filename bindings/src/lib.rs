//! `trainwire._core`, the Python extension. It translates: what a trainer may say and when is in
//! `trainwire_protocol::session`, what the kernel needs in `trainwire_unix`.
//!
//! | file | what it translates |
//! | --- | --- |
//! | [`entry`] | `connect()`, `tasks()`, `current()`, the end of the process |
//! | [`tasks`] [`task`] [`progress`] [`stop`] [`checkpoint`] | the classes |
//! | [`announced`] | the list of checkpoints in a work folder |
//! | [`buffer`] [`params`] [`encode`] | bytes and Python objects |
//! | [`metrics`] [`outcome`] [`errors`] | values, exceptions, and back |
//! | [`report`] [`call_sites`] [`rows`] | a report's way into the outbox: its call, its shape, its row |
//! | [`tee`] | the same rows, for TensorBoard and others |
//! | [`backend`] [`offline`] [`connection`] [`commands`] | where it goes |
//! | [`wait`] [`reader`] [`transmit`] [`events`] [`io_thread`] [`poller`] | the shell around the session |
//! | [`delivered`] [`slab`] | where the bytes of a task are |
//! | [`vectors`] | what the tests feed the golden vectors to |
//! | [`environment`] [`fork`] [`stacks`] [`spool`] [`end`] | processes, and how they end |

mod announced;
mod backend;
mod buffer;
mod call_sites;
mod checkpoint;
mod commands;
mod connection;
mod current;
mod delivered;
mod encode;
mod end;
mod entry;
mod environment;
mod errors;
mod events;
mod fork;
mod io_thread;
mod metrics;
mod offline;
mod outcome;
mod params;
mod poller;
mod progress;
mod reader;
mod report;
mod rows;
mod slab;
mod spool;
mod stacks;
mod stop;
mod task;
mod tasks;
mod tee;
mod transmit;
mod vectors;
mod wait;
mod work_folder;

use pyo3::prelude::*;

/// What `rows.rs` locks with; its model has another one.
mod sync {
    pub(crate) use std::sync::{Mutex, MutexGuard};
}

/// Without the GIL, too (`gil_used = false`, of which only free-threaded Pythons take notice): nothing here
/// rests on it. Classes are frozen; what changes in them is an atomic, a `OnceLock` or behind a lock that is held
/// for a moment, never while Python code runs or an object is dropped. `Epochs` and `Track`, which count, are
/// lent to one thread at a time: another one gets a RuntimeError. The bytes behind a `Buffer` never change.
/// `report()` says at its one delicate place, a mapping that another thread changes, what holds it.
#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<task::Task>()?;
    report::add_to(&module.py().get_type::<task::Task>())?;
    module.add_class::<tasks::Tasks>()?;
    module.add_class::<buffer::Buffer>()?;
    module.add_class::<checkpoint::Checkpoint>()?;
    module.add_class::<stop::StopRequest>()?;
    module.add_class::<progress::Epochs>()?;
    module.add_class::<progress::Track>()?;
    module.add_function(wrap_pyfunction!(entry::connect, module)?)?;
    module.add_function(wrap_pyfunction!(entry::tasks, module)?)?;
    module.add_function(wrap_pyfunction!(entry::current_task, module)?)?;
    module.add_function(wrap_pyfunction!(entry::at_exit, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::read_frames, module)?)?;
    module.add_function(wrap_pyfunction!(vectors::read_task, module)?)
}
