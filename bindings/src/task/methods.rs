//! What Python calls.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyIterator, PyType};
use trainwire_protocol::message::CheckpointRef;

use super::Task;
use crate::announced;
use crate::buffer::Buffer;
use crate::checkpoint::Checkpoint;
use crate::errors::{Class, raise};
use crate::metrics::{self, Accept};
use crate::outcome::{self, Propagate};
use crate::params;
use crate::progress::{Epochs, Track};
use crate::stop::StopRequest;

#[pymethods]
impl Task {
    #[getter]
    fn hyperparams(&self) -> Buffer {
        Buffer::new(self.buffer.hyperparams_bytes())
    }

    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        if let Some(params) = self.params.get() {
            return Ok(params.bind(py).clone());
        }
        let params = params::decode(py, &self.buffer.hyperparams_bytes())?;
        // Two threads may have come here; both get what the first one made.
        Ok(self.params.get_or_init(|| params.unbind()).bind(py).clone())
    }

    #[pyo3(signature = (into, /))]
    fn params_as<'py>(slf: &Bound<'py, Self>, into: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        static CONVERT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        CONVERT.import(slf.py(), "trainwire._params_as", "convert")?.call1((slf, into))
    }

    #[getter]
    fn workdir<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static PATH: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let folder = self.work_folder(py)?;
        std::fs::create_dir_all(&folder)?;
        PATH.import(py, "pathlib", "Path")?.call1((folder.as_os_str(),))
    }

    #[getter]
    fn is_primary(&self) -> bool {
        self.ranks.is_primary()
    }

    #[getter]
    fn rank(&self) -> u32 {
        self.ranks.rank
    }

    #[getter]
    fn world_size(&self) -> u32 {
        self.ranks.world_size
    }

    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    #[getter]
    fn ended(&self) -> bool {
        self.run.ended()
    }

    #[getter]
    fn last_checkpoint(&self, py: Python<'_>) -> Option<Checkpoint> {
        self.offered(py).cloned()
    }

    #[getter]
    fn resume_path(&self, py: Python<'_>) -> Option<&str> {
        self.offered(py).map(Checkpoint::path)
    }

    #[getter]
    pub(crate) fn should_stop(&self) -> bool {
        self.run.should_stop()
    }

    #[getter]
    fn stop(&self) -> Option<StopRequest> {
        self.run.request()
    }

    #[pyo3(
        signature = (start=None, *, state=None, save_every=1, keep_last=Some(2)),
        text_signature = "($self, start=None, *, state=None, save_every=1, keep_last=2)"
    )]
    fn epochs(
        slf: &Bound<'_, Self>,
        start: Option<f64>,
        state: Option<&Bound<'_, PyAny>>,
        save_every: i64,
        keep_last: Option<i64>,
    ) -> PyResult<Epochs> {
        static KEEPER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let (task, end) = (slf.clone().unbind(), slf.get().max_epochs.into());
        if let Some(state) = state {
            if start.is_some() {
                let text = "the checkpoint of the state says where to start: leave start out, or state";
                return Err(PyValueError::new_err(text));
            }
            slf.get().backend.refuse_in_child(slf.py(), "epochs(state=…)")?;
            let keeper = KEEPER.import(slf.py(), "trainwire._state", "Keeper")?;
            let keeper = keeper.call1((slf, state, save_every, keep_last))?;
            let start = keeper.call_method0("restore")?.extract()?;
            return Ok(Epochs::new(task, start, end, Some(keeper.unbind())));
        }
        let start = start.unwrap_or(0.0);
        if start.fract() != 0.0 || start.abs() > f64::from(i32::MAX) {
            return Err(PyValueError::new_err(format!("start must be a whole epoch, not {start}")));
        }
        // A whole number within i32, as was just checked.
        #[allow(clippy::cast_possible_truncation)]
        let start = start as i64;
        Ok(Epochs::new(task, start, end, None))
    }

    #[pyo3(signature = (iterable, total=None))]
    fn track(slf: &Bound<'_, Self>, iterable: &Bound<'_, PyAny>, total: Option<u64>) -> PyResult<Track> {
        let total = total.or_else(|| iterable.len().ok().map(|len| len as u64));
        let items: Bound<'_, PyIterator> = iterable.try_iter()?;
        Ok(Track::new(slf.clone().unbind(), items.unbind(), total))
    }

    #[pyo3(name = "agree_to_stop")]
    fn agree_to_stop_method(&self, py: Python<'_>) -> PyResult<bool> {
        self.backend.refuse_in_child(py, "agree_to_stop()")?;
        self.agree_to_stop(py)
    }

    fn tick(&self, py: Python<'_>) -> PyResult<()> {
        self.backend.refuse_in_child(py, "tick()")?;
        self.made_progress();
        Ok(())
    }

    fn busy(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        self.backend.refuse_in_child(py, "busy()")?;
        let time: Duration = outcome::duration(seconds)
            .ok_or_else(|| PyValueError::new_err(format!("seconds must be 0 or more, not {seconds}")))?;
        self.backend.busy(time);
        Ok(())
    }

    #[pyo3(signature = (path, *, step=None, epoch=None, metrics=None, keep_last=None))]
    fn checkpoint(
        &self,
        py: Python<'_>,
        path: PathBuf,
        step: Option<&Bound<'_, PyAny>>,
        epoch: Option<&Bound<'_, PyAny>>,
        metrics: Option<&Bound<'_, PyAny>>,
        keep_last: Option<i64>,
    ) -> PyResult<()> {
        self.backend.refuse_in_child(py, "checkpoint()")?;
        let keep_last = match keep_last.map(usize::try_from) {
            None => None,
            Some(Ok(keep)) if keep > 0 => Some(keep),
            _ => return Err(PyValueError::new_err("keep_last must be 1 or more")),
        };
        if !self.ranks.is_primary() {
            return Ok(());
        }
        let metrics = metrics::collect(metrics, None, Accept::NumbersAndTexts)?;
        let step = metrics::integer_or_warn(step, "step")?;
        let epoch = metrics::number_or_warn(epoch, "epoch")?;
        if self.run.ended() {
            let text = format!("task {} has ended already", self.buffer.task_id());
            return Err(raise(py, Class::TaskState, "task_ended", text));
        }
        let path = py.detach(|| crate::checkpoint::sync(&path)).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                let text = format!("no checkpoint at {}: save it before you announce it", path.display());
                return pyo3::exceptions::PyFileNotFoundError::new_err(text);
            }
            error.into()
        })?;
        let at = CheckpointRef { path, step, epoch };
        let folder = self.work_folder(py)?;
        let stored = self.backend.checkpoint(py, self.run.delivery, at.clone(), metrics)?;
        if self.offline && !folder.exists() {
            return Ok(()); // a script that keeps its checkpoints elsewhere
        }
        let listed = py.detach(|| {
            announced::add(&folder, &at)?;
            keep_last.filter(|_| stored).map_or(Ok(()), |keep| announced::keep_last(&folder, keep))
        });
        if let Err(error) = listed {
            metrics::warn(py, &format!("older checkpoints in {} stay: {error}", folder.display()));
        }
        Ok(())
    }

    #[pyo3(signature = (result=None, /, **kw))]
    fn finish(
        &self,
        py: Python<'_>,
        result: Option<&Bound<'_, PyAny>>,
        kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        self.backend.refuse_in_child(py, "finish()")?;
        let metrics = metrics::collect(result, kw, Accept::NumbersAndTexts)?;
        self.end_once(py, self.normal_outcome(), metrics)
    }

    #[pyo3(signature = (error, *, retry=None))]
    fn fail(
        &self,
        py: Python<'_>,
        error: &Bound<'_, PyAny>,
        retry: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.backend.refuse_in_child(py, "fail()")?;
        self.end_once(py, outcome::of_failure(error, retry)?, Vec::new())
    }

    fn raise_if_stopped(&self, py: Python<'_>) -> PyResult<()> {
        self.run.request().map_or(Ok(()), |request| Err(outcome::stopped(py, &request.reason)))
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().run.in_with.store(true, Ordering::Relaxed);
        Ok(slf)
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
        self.run.in_with.store(false, Ordering::Relaxed);
        if self.backend.in_forked_child() {
            return Ok(false); // the parent's task is not ours to end
        }
        if exception.is_none() {
            self.end(py, self.normal_outcome(), Vec::new())?;
            return Ok(false);
        }
        let ending = outcome::of_exception(exception, self.normal_outcome());
        let propagates = ending.exception;
        if let Err(error) = self.end(py, ending.of_process(self.ranks, self.keep_going), Vec::new()) {
            // What the task raised is the news, and goes on; only Ctrl-C comes before it.
            if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                return Err(error);
            }
        }
        Ok(match propagates {
            Propagate::Swallow => true,
            Propagate::Failure => self.keep_going,
            Propagate::Always => false,
        })
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a Task belongs to its process and cannot be pickled; pass task.params instead",
        ))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<trainwire.Task {:?} of job {:?}, attempt {}>",
            self.buffer.task_id(),
            self.job_id.bind(py).to_str()?,
            self.attempt
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.params.get().map_or(Ok(()), |params| visit.call(params))
    }
}
