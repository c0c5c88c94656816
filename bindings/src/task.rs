//! `trainwire.Task`: what it says was read when it was delivered, what it is asked to do goes to the
//! connection.
//!
//! The attributes a training loop reads thousands of times are made once, with the task; everything
//! that may never be asked for (`params`, `workdir`, views of the bytes) is made when it is.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use trainwire_protocol::message::{Metric, Outcome};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::MAX_EPOCHS_DEFAULT;

use crate::backend::Backend;
use crate::checkpoint::Checkpoint;
use crate::connection::Connection;
use crate::environment::Ranks;
use crate::errors::{Class, raise};
use crate::metrics::{self, Accept};
use crate::stop::Run;
use crate::tee::{self, Tee};
use crate::{announced, current, params, work_folder};

mod methods;

/// One training task.
#[pyclass(frozen, module = "trainwire", weakref)]
pub(crate) struct Task {
    #[pyo3(get)]
    task_id: Py<PyString>,
    #[pyo3(get)]
    model_name: Py<PyString>,
    #[pyo3(get)]
    job_id: Py<PyString>,
    #[pyo3(get)]
    max_epochs: i32,
    #[pyo3(get)]
    attempt: u32,
    #[pyo3(get)]
    offline: bool,
    #[pyo3(get)]
    traceparent: Option<String>,
    deadline: Option<Instant>,
    pub(crate) ranks: Ranks,
    buffer: VerifiedTask,
    params: OnceLock<Py<PyDict>>,
    /// `None`: one in the current folder.
    work_folder: Option<PathBuf>,
    /// As the orchestrator knows it.
    last_checkpoint: Option<Checkpoint>,
    /// The one that can be loaded, once somebody has asked.
    offered: OnceLock<Option<Checkpoint>>,
    keep_going: bool,
    pub(crate) run: Arc<Run>,
    tee: Tee,
    backend: Backend,
}

/// What comes with a task and is not in its buffer.
pub(crate) struct Delivered {
    pub(crate) job_id: Py<PyString>,
    pub(crate) attempt: u32,
    pub(crate) work_folder: Option<PathBuf>,
    pub(crate) last_checkpoint: Option<Checkpoint>,
    /// Of the trace its submitter is in.
    pub(crate) traceparent: Option<String>,
    /// When it has to be done.
    pub(crate) deadline: Option<Instant>,
    pub(crate) keep_going: bool,
    pub(crate) run: Arc<Run>,
    pub(crate) ranks: Ranks,
}

impl Task {
    pub(crate) fn new(py: Python<'_>, buffer: VerifiedTask, with: Delivered, backend: Backend) -> Self {
        Self {
            task_id: PyString::new(py, buffer.task_id()).unbind(),
            model_name: PyString::new(py, buffer.model_name()).unbind(),
            job_id: with.job_id,
            max_epochs: buffer.max_epochs(),
            attempt: with.attempt,
            offline: matches!(backend, Backend::Offline),
            traceparent: with.traceparent,
            deadline: with.deadline,
            ranks: with.ranks,
            buffer,
            params: OnceLock::new(),
            work_folder: with.work_folder,
            last_checkpoint: with.last_checkpoint,
            offered: OnceLock::new(),
            keep_going: with.keep_going,
            run: with.run,
            tee: Tee::new(),
            backend,
        }
    }

    pub(crate) fn connection(&self) -> Option<&Arc<Connection>> {
        self.backend.connection()
    }

    /// Any row, and what is wrong with it.
    pub(crate) fn report(
        &self,
        py: Python<'_>,
        metrics: Option<&Bound<'_, PyAny>>,
        step: Option<&Bound<'_, PyAny>>,
        epoch: Option<&Bound<'_, PyAny>>,
        keywords: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        self.backend.refuse_in_child(py, "report()")?;
        let row = metrics::collect(metrics, Some(keywords), Accept::Numbers)?;
        let step = metrics::integer_or_warn(step, "step")?;
        let epoch = metrics::number_or_warn(epoch, "epoch")?;
        if self.run.ended() {
            return metrics::unusable(py, "report()", "came after the end of its task");
        }
        self.backend.report(py, &self.run, step, epoch, &row);
        self.tee.report(py, || self.tee_run(py), (step, epoch), &row);
        Ok(())
    }

    /// Whether rows go to others, too.
    pub(crate) fn has_tee(&self) -> bool {
        self.tee.is_active()
    }

    fn tee_run<'py>(&self, py: Python<'py>) -> tee::Run<'py> {
        let params = params::decode(py, &self.buffer.hyperparams_bytes()).ok();
        tee::Run { job_id: self.job_id.bind(py).clone(), task_id: self.task_id.bind(py).clone(), params }
    }

    /// Whether to stop, and the same answer in all ranks: each has to ask at the same point of its work.
    /// The primary's word counts; in a process group of PyTorch it is passed on, elsewhere each rank hears
    /// for itself.
    pub(crate) fn agree_to_stop(&self, py: Python<'_>) -> PyResult<bool> {
        static AGREE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let asked = self.run.should_stop();
        let Some(delivery) = self.shared_delivery() else { return Ok(asked) };
        let agree = AGREE.import(py, "trainwire._ranks", "agree")?;
        let agreed = agree.call1((asked, self.ranks.is_primary(), delivery))?.extract()?;
        if agreed {
            self.run.agreed();
        }
        Ok(agreed)
    }

    /// Lets ranks that go on know that this one does not.
    fn leave_ranks(&self, py: Python<'_>) {
        let Some(delivery) = self.shared_delivery() else { return };
        let left = PyModule::import(py, "trainwire._ranks")
            .and_then(|ranks| ranks.call_method1("leave", (self.ranks.rank, delivery)));
        if let Err(error) = left {
            metrics::warn(py, &format!("the other ranks do not hear that this one has ended: {error}"));
        }
    }

    /// What its ranks call it among themselves; `None` where this is the only one.
    fn shared_delivery(&self) -> Option<String> {
        let alone = self.ranks.world_size == 1 || self.offline;
        (!alone).then(|| format!("{}.{}", self.run.delivery.0, self.ranks.restart))
    }

    /// A task of which nobody has said how long it is has the schema's ten epochs, not the script's own number.
    pub(crate) fn warn_of_fewer_epochs(&self, py: Python<'_>, own: Option<i32>) {
        if let Some(own) = own.filter(|own| *own > self.max_epochs && self.max_epochs == MAX_EPOCHS_DEFAULT) {
            let text = format!(
                "this task has {MAX_EPOCHS_DEFAULT} epochs, which is the default; the script's own {own} hold \
                 without an orchestrator: with one say --max-epochs {own}, or max_epochs in a spec"
            );
            metrics::warn(py, &text);
        }
    }

    /// It is this process's one task: the orchestrator learns that at once, so that it hands the next
    /// one to somebody else.
    pub(crate) fn is_the_only_one(&self) {
        self.backend.leave();
    }

    pub(crate) fn made_progress(&self) {
        if !self.run.ended() {
            self.backend.tick();
        }
    }

    /// A row that is already metrics.
    pub(crate) fn send_row(&self, py: Python<'_>, step: Option<i64>, epoch: Option<f64>, row: &[Metric]) {
        if !self.run.ended() && !self.backend.in_forked_child() {
            self.backend.report(py, &self.run, step, epoch, row);
        }
    }

    /// Ends the task; `false` if it had ended already.
    pub(crate) fn end(&self, py: Python<'_>, outcome: Outcome, metrics: Vec<Metric>) -> PyResult<bool> {
        if !self.run.end() {
            return Ok(false);
        }
        self.tee.close(py, &metrics);
        if matches!(outcome, Outcome::Succeeded | Outcome::Stopped) {
            self.leave_ranks(py);
        }
        let finished = self.backend.finish(py, &self.run, outcome, metrics);
        if !self.run.ended() {
            return finished.map(|()| true); // the result was not one that can be sent
        }
        current::clear(self);
        finished.map(|()| true)
    }

    /// As [`Task::end`], without waiting: the exit waits for everything at once.
    pub(crate) fn end_at_exit(&self, outcome: Outcome) {
        if self.run.end() {
            current::clear(self);
            self.backend.send_result(self.run.delivery, outcome);
        }
    }

    /// Whether its `with` block is open, and will end it.
    pub(crate) fn is_within(&self) -> bool {
        !self.run.ended() && self.run.in_with.load(Ordering::Relaxed)
    }

    /// How it ends if nothing is raised.
    pub(crate) fn normal_outcome(&self) -> Outcome {
        self.run.outcome_of_a_stop().unwrap_or(Outcome::Succeeded)
    }

    fn work_folder(&self, py: Python<'_>) -> PyResult<PathBuf> {
        if let Some(folder) = &self.work_folder {
            return Ok(folder.clone());
        }
        let task_id = if self.offline { None } else { Some(self.buffer.task_id()) };
        Ok(work_folder::without_orchestrator(self.job_id.bind(py).to_str()?, task_id))
    }

    /// The newest checkpoint that is still there; of one that is gone a warning tells.
    fn offered(&self, py: Python<'_>) -> Option<&Checkpoint> {
        let find = || {
            let recorded = self.last_checkpoint.as_ref()?;
            if announced::is_there(recorded.path().as_ref()) {
                return Some(recorded.clone());
            }
            let folder = self.work_folder(py).ok();
            let older = folder.and_then(|folder| announced::newest(&folder)).map(Checkpoint::from);
            let instead = older.as_ref().map_or("nothing".to_owned(), |older| older.path().to_owned());
            let text = format!("the checkpoint {} is gone; offering {instead}", recorded.path());
            metrics::warn(py, &text);
            older
        };
        if self.offered.get().is_none() {
            let found = find(); // the warning is Python, and may come back here
            let _ = self.offered.set(found);
        }
        self.offered.get().and_then(Option::as_ref)
    }

    fn end_once(&self, py: Python<'_>, outcome: Outcome, metrics: Vec<Metric>) -> PyResult<()> {
        if self.end(py, outcome, metrics)? {
            return Ok(());
        }
        let text = format!("task {} has ended already", self.buffer.task_id());
        Err(raise(py, Class::TaskState, "task_ended", text))
    }
}
