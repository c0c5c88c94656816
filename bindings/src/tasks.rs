//! `trainwire.tasks()`: the loop's side of the connection.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyString;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::task::VerifiedTask;

use crate::backend::Backend;
use crate::checkpoint::Checkpoint;
use crate::commands::Started;
use crate::connection::Connection;
use crate::environment::Ranks;
use crate::errors::{Class, raise};
use crate::stop::Run;
use crate::task::{Delivered, Task};
use crate::{current, outcome};

/// Gives one task after the other until there is no more work.
#[pyclass(frozen, module = "trainwire")]
pub(crate) struct Tasks {
    source: Source,
    job_id: Py<PyString>,
    keep_going: bool,
    /// Given out and perhaps not ended.
    last: Mutex<Option<Py<Task>>>,
}

pub(crate) enum Source {
    /// One task, once.
    Offline(Mutex<Option<VerifiedTask>>),
    Connected(Arc<Connection>),
}

impl Tasks {
    pub(crate) fn new(py: Python<'_>, source: Source, keep_going: bool) -> Self {
        let job_id = match &source {
            Source::Offline(_) => "offline",
            Source::Connected(connection) => connection.environment.job_id.as_str(),
        };
        Self { job_id: PyString::new(py, job_id).unbind(), source, keep_going, last: Mutex::new(None) }
    }

    /// The next task, now the current one.
    ///
    /// # Errors
    /// As waiting for it has; `TaskStateError` within the `with` block of the one before.
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Option<Py<Task>>> {
        if let Source::Connected(connection) = &self.source {
            Backend::Connected(Arc::clone(connection)).refuse_in_child(py, "tasks()")?;
        }
        self.end_last(py)?;
        let task = match &self.source {
            Source::Offline(task) => {
                let Some(task) = task.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                    return Ok(None);
                };
                self.offline_task(py, task)?
            }
            Source::Connected(connection) => {
                let Some(started) = connection.next(py)? else {
                    connection.settle(py, SETTLE_TIME)?;
                    return Ok(None);
                };
                self.connected_task(py, connection, started)
            }
        };
        let task = Py::new(py, task)?;
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(task.clone_ref(py));
        drop(before); // outside the lock: it may run a destructor
        current::set(task.clone_ref(py));
        Ok(Some(task))
    }

    fn end_last(&self, py: Python<'_>) -> PyResult<()> {
        let last = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.as_ref().is_some_and(|last| last.get().is_within()) {
                let text = "the task before is still in its `with` block; leave it first";
                return Err(raise(py, Class::TaskState, "task_open", text));
            }
            last.take()
        };
        let Some(last) = last else { return Ok(()) };
        let ending = outcome::unfinished("the loop went on without task.finish(); use `with task:`");
        last.get().end(py, ending, Vec::new()).map(|_| ())
    }

    fn offline_task(&self, py: Python<'_>, buffer: VerifiedTask) -> PyResult<Task> {
        let with = Delivered {
            job_id: self.job_id.clone_ref(py),
            attempt: 1,
            work_folder: None,
            last_checkpoint: None,
            traceparent: None,
            deadline: None,
            keep_going: self.keep_going,
            run: Arc::new(Run::new(Delivery(0))),
            ranks: Ranks::read(py)?,
        };
        Ok(Task::new(py, buffer, with, Backend::Offline))
    }

    fn connected_task(&self, py: Python<'_>, connection: &Arc<Connection>, started: Started) -> Task {
        let Started { buffer, deliver, run } = started;
        let with = Delivered {
            job_id: self.job_id.clone_ref(py),
            attempt: deliver.attempt,
            work_folder: deliver.work.map(PathBuf::from),
            last_checkpoint: deliver.last_checkpoint.map(Checkpoint::from),
            traceparent: deliver.traceparent,
            deadline: deliver.time_left.and_then(|left| Instant::now().checked_add(left)),
            keep_going: self.keep_going,
            run,
            ranks: connection.environment.ranks,
        };
        Task::new(py, buffer, with, Backend::Connected(Arc::clone(connection)))
    }
}

#[pymethods]
impl Tasks {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Task>>> {
        self.next(py)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (kind, exception, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let _ = (kind, traceback); // the exception has both
        let Source::Connected(connection) = &self.source else { return Ok(false) };
        let backend = Backend::Connected(Arc::clone(connection));
        if backend.in_forked_child() {
            return Ok(false);
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = last.as_ref().map(Py::get) {
            let ending = if exception.is_none() {
                outcome::unfinished("the loop was left without task.finish(); use `with task:`")
            } else {
                outcome::of_exception(exception, task.normal_outcome()).of_process(task.ranks, false)
            };
            task.end(py, ending, Vec::new())?;
        }
        connection.leave("done");
        connection.settle(py, SETTLE_TIME)?;
        Ok(false)
    }
}

/// How long the last results may take to be acknowledged before they go to the spool.
pub(crate) const SETTLE_TIME: Duration = Duration::from_secs(5);
