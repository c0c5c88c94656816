//! Where what a task says goes.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{CheckpointRef, Metric, MetricValue, Outcome};

use crate::connection::Connection;
use crate::stop::Run;
use crate::{fork, offline};

/// An orchestrator, or nobody.
#[derive(Clone)]
pub(crate) enum Backend {
    /// The logger hears it.
    Offline,
    /// The orchestrator does.
    Connected(Arc<Connection>),
}

impl Backend {
    /// Whether this process was forked from the one the task belongs to.
    pub(crate) fn in_forked_child(&self) -> bool {
        match self {
            Self::Offline => false,
            Self::Connected(_) => fork::in_forked_child(),
        }
    }

    pub(crate) fn refuse_in_child(&self, py: Python<'_>, what: &str) -> PyResult<()> {
        if self.in_forked_child() { Err(fork::error(py, what)) } else { Ok(()) }
    }

    /// `None` offline.
    pub(crate) fn connection(&self) -> Option<&Arc<Connection>> {
        match self {
            Self::Offline => None,
            Self::Connected(connection) => Some(connection),
        }
    }

    pub(crate) fn report(
        &self,
        py: Python<'_>,
        run: &Run,
        step: Option<i64>,
        epoch: Option<f64>,
        row: &[Metric],
    ) {
        match self {
            Self::Offline => offline::report(py, step, epoch, row),
            Self::Connected(connection) if connection.is_replica() => {}
            Self::Connected(connection) => {
                let numbers = row.iter().filter_map(|metric| match metric.value {
                    MetricValue::Number(number) => Some((metric.name.as_str(), number)),
                    MetricValue::Text(_) => None,
                });
                connection.report(run, step, epoch, &numbers.collect::<Vec<_>>());
            }
        }
    }

    pub(crate) fn tick(&self) {
        if let Self::Connected(connection) = self
            && !fork::in_forked_child()
        {
            connection.tick();
        }
    }

    pub(crate) fn busy(&self, time: Duration) {
        if let Self::Connected(connection) = self {
            connection.busy(time);
        }
    }

    /// Returns when the checkpoint is stored (`true`), or cannot be for the time being.
    pub(crate) fn checkpoint(
        &self,
        py: Python<'_>,
        delivery: Delivery,
        at: CheckpointRef,
        metrics: Vec<Metric>,
    ) -> PyResult<bool> {
        match self {
            Self::Offline => {
                offline::checkpoint(py, &at, &metrics);
                Ok(true)
            }
            Self::Connected(connection) => connection.checkpoint(py, delivery, at, metrics),
        }
    }

    /// Returns when the result is acknowledged or in the spool, or another task waits already.
    pub(crate) fn finish(
        &self,
        py: Python<'_>,
        run: &Run,
        outcome: Outcome,
        metrics: Vec<Metric>,
    ) -> PyResult<()> {
        match self {
            Self::Offline => {
                offline::end(py, &outcome, &metrics);
                Ok(())
            }
            Self::Connected(connection) if connection.is_replica() => connection.part(py, run, outcome),
            Self::Connected(connection) => connection.finish(py, run, outcome, metrics),
        }
    }

    /// As [`Backend::finish`], without waiting.
    pub(crate) fn send_result(&self, delivery: Delivery, outcome: Outcome) {
        if let Self::Connected(connection) = self {
            // A result without metrics always fits a frame.
            let _ = connection.send_result(delivery, outcome, Vec::new());
        }
    }

    /// This trainer takes no more tasks.
    pub(crate) fn leave(&self) {
        if let Self::Connected(connection) = self {
            connection.leave("one_task");
        }
    }
}
