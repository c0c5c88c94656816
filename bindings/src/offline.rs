//! The one task of a script that runs without an orchestrator.
//!
//! It prints nothing: what would be reported goes to the logger `trainwire`, at level INFO, for
//! those who want to see it.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use trainwire_protocol::message::{CheckpointRef, Metric, MetricValue, Outcome};

pub(crate) fn report(py: Python<'_>, step: Option<i64>, epoch: Option<f64>, metrics: &[Metric]) {
    log(py, || line("report", step, epoch, metrics));
}

pub(crate) fn checkpoint(py: Python<'_>, at: &CheckpointRef, metrics: &[Metric]) {
    log(py, || line(&format!("checkpoint {}", at.path), at.step, at.epoch, metrics));
}

pub(crate) fn end(py: Python<'_>, outcome: &Outcome, metrics: &[Metric]) {
    log(py, || match outcome {
        Outcome::Failed(error) | Outcome::Retry { error, .. } => {
            format!("failed: {}: {}", error.kind, error.text)
        }
        Outcome::Stopped => line("stopped", None, None, metrics),
        Outcome::Succeeded | Outcome::Returned { .. } => line("finished", None, None, metrics),
    });
}

/// The parameters of the offline task as the bytes an orchestrator would send.
pub(crate) fn hyperparams(params: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<u8>> {
    params.map_or_else(|| Ok(Vec::new()), |params| crate::encode::msgpack(params.as_any()))
}

/// Writes one line to the logger. Trouble with logging is never the training's trouble.
fn log(py: Python<'_>, line: impl FnOnce() -> String) {
    let logged = (|| {
        // Nobody listens who has not imported it, and importing it takes longer than a short epoch.
        let modules = PyModule::import(py, "sys")?.getattr("modules")?;
        let logging = modules.call_method1("get", ("logging",))?;
        if logging.is_none() {
            return Ok(());
        }
        let logger = logging.call_method1("getLogger", ("trainwire",))?;
        if logger.call_method1("isEnabledFor", (INFO,))?.is_truthy()? {
            logger.call_method1("info", ("%s", line()))?;
        }
        PyResult::Ok(())
    })();
    if let Err(error) = logged {
        error.write_unraisable(py, None);
    }
}

fn line(what: &str, step: Option<i64>, epoch: Option<f64>, metrics: &[Metric]) -> String {
    let mut line = what.to_owned();
    if let Some(epoch) = epoch {
        line += &format!(" epoch={epoch}");
    }
    if let Some(step) = step {
        line += &format!(" step={step}");
    }
    for Metric { name, value } in metrics {
        match value {
            MetricValue::Number(number) => line += &format!(" {name}={number}"),
            MetricValue::Text(text) => line += &format!(" {name}={text:?}"),
        }
    }
    line
}

/// `logging.INFO`
const INFO: i32 = 20;
