//! What is reported, also to where people look at it today (TensorBoard, Weights & Biases), when the
//! environment asks for it. The rest is Python: `trainwire/tee.py`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use trainwire_protocol::message::{Metric, MetricValue};

use crate::metrics;

/// Of one task.
pub(crate) struct Tee {
    /// Not [`State::Closed`]; what `report()` asks first each time.
    active: AtomicBool,
    state: Mutex<State>,
}

enum State {
    /// Opened with the first row.
    Wanted,
    /// By another thread, just now.
    Opening,
    Open(Py<PyAny>),
    /// Not asked for, closed, or in trouble, of which a warning has told.
    Closed,
}

/// Whose rows they are.
pub(crate) struct Run<'py> {
    pub(crate) job_id: Bound<'py, PyString>,
    pub(crate) task_id: Bound<'py, PyString>,
    /// `None`: they cannot be read.
    pub(crate) params: Option<Bound<'py, PyDict>>,
}

impl Tee {
    pub(crate) fn new() -> Self {
        static WANTED: OnceLock<bool> = OnceLock::new();
        let wanted =
            *WANTED.get_or_init(|| std::env::var_os("TRAINWIRE_TEE").is_some_and(|value| !value.is_empty()));
        let state = if wanted { State::Wanted } else { State::Closed };
        Self { active: AtomicBool::new(wanted), state: Mutex::new(state) }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    pub(crate) fn report<'py>(
        &self,
        py: Python<'py>,
        run: impl FnOnce() -> Run<'py>,
        (step, epoch): (Option<i64>, Option<f64>),
        row: &[Metric],
    ) {
        // Python runs without the lock: it may report, too.
        let tee = match self.opened(py) {
            Some(tee) => Ok(tee),
            None if self.begin() => open(py, run()).inspect(|tee| self.opened_as(py, tee)),
            None => return,
        };
        let done =
            tee.and_then(|tee| tee.call_method1(py, intern!(py, "report"), (dict(py, row)?, step, epoch)));
        if let Err(error) = done {
            self.end();
            warn(py, &error);
        }
    }

    /// With the metrics of the result.
    pub(crate) fn close(&self, py: Python<'_>, result: &[Metric]) {
        let State::Open(tee) = self.end() else { return };
        let closed =
            dict(py, result).and_then(|result| tee.call_method1(py, intern!(py, "close"), (result,)));
        if let Err(error) = closed {
            warn(py, &error);
        }
    }

    fn end(&self) -> State {
        self.active.store(false, Ordering::Relaxed);
        std::mem::replace(&mut *self.lock(), State::Closed)
    }

    fn opened(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*self.lock() {
            State::Open(tee) => Some(tee.clone_ref(py)),
            State::Wanted | State::Opening | State::Closed => None,
        }
    }

    /// Whether opening it is the caller's.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        let wanted = matches!(*state, State::Wanted);
        if wanted {
            *state = State::Opening;
        }
        wanted
    }

    fn opened_as(&self, py: Python<'_>, tee: &Py<PyAny>) {
        let mut state = self.lock();
        // The task may have ended meanwhile.
        if matches!(*state, State::Opening) {
            *state = State::Open(tee.clone_ref(py));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(py: Python<'_>, run: Run<'_>) -> PyResult<Py<PyAny>> {
    let module = PyModule::import(py, "trainwire.tee")?;
    module.call_method1("open", (run.job_id, run.task_id, run.params)).map(Bound::unbind)
}

fn dict<'py>(py: Python<'py>, row: &[Metric]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for Metric { name, value } in row {
        match value {
            MetricValue::Number(number) => dict.set_item(name, number)?,
            MetricValue::Text(text) => dict.set_item(name, text)?,
        }
    }
    Ok(dict)
}

/// What others do with a metric must not kill hour 70 either.
fn warn(py: Python<'_>, error: &PyErr) {
    metrics::warn(py, &format!("nothing more goes to TRAINWIRE_TEE: {error}"));
}
