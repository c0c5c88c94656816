//! Loops that say on their own that they get on.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyIterator;
use trainwire_protocol::message::{Metric, MetricValue};

use crate::task::Task;

/// `range(start, max_epochs)` that ends early once a stop is asked for. Each epoch is progress.
#[pyclass(module = "trainwire")]
pub(crate) struct Epochs {
    task: Py<Task>,
    next: i64,
    end: i64,
    /// What the loop makes, where that is to be kept.
    keeper: Option<Py<PyAny>>,
    /// Whether the epoch before `next` was given out, and so is done when the next one is asked for.
    given: bool,
}

impl Epochs {
    pub(crate) fn new(task: Py<Task>, start: i64, end: i64, keeper: Option<Py<PyAny>>) -> Self {
        Self { task, next: start, end, keeper, given: false }
    }
}

#[pymethods]
impl Epochs {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<i64>> {
        let task = self.task.get();
        let over = self.next >= self.end || task.agree_to_stop(py)?;
        if let (Some(keeper), true) = (&self.keeper, std::mem::take(&mut self.given)) {
            keeper.call_method1(py, "save", (self.next - 1, over))?;
        }
        if over {
            self.next = self.end;
            return Ok(None);
        }
        task.made_progress();
        self.next += 1;
        self.given = true;
        Ok(Some(self.next - 1))
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.end - self.next).unwrap_or(0)
    }
}

/// Passes the items of an iterable on. Each item is progress; where the total is known, the share
/// that is done is reported as the metric `progress`.
#[pyclass(module = "trainwire")]
pub(crate) struct Track {
    task: Py<Task>,
    items: Py<PyIterator>,
    done: u64,
    total: Option<u64>,
    next_report: Instant,
}

impl Track {
    pub(crate) fn new(task: Py<Task>, items: Py<PyIterator>, total: Option<u64>) -> Self {
        Self { task, items, done: 0, total, next_report: Instant::now() + BETWEEN_REPORTS }
    }
}

#[pymethods]
impl Track {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> Option<PyResult<Bound<'py, PyAny>>> {
        let item = self.items.bind(py).clone().next()?;
        let task = self.task.get();
        task.made_progress();
        if let (Some(total), now) = (self.total, Instant::now())
            && self.next_report <= now
            && total > 0
        {
            self.next_report = now + BETWEEN_REPORTS;
            // Far below 2⁵³, where every integer is a float.
            #[allow(clippy::cast_precision_loss)]
            let share = MetricValue::Number(self.done as f64 / total as f64);
            task.send_row(py, None, None, &[Metric { name: "progress".to_owned(), value: share }]);
        }
        self.done += 1;
        Some(item)
    }
}

const BETWEEN_REPORTS: Duration = Duration::from_secs(1);
