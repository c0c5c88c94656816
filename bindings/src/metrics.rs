//! Python values to metrics.
//!
//! A metric must never kill hour 70 of a training: what cannot be used is left out with one warning
//! a name. `TRAINWIRE_STRICT=1` raises instead, for tests.

use std::collections::BTreeSet;
use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyMapping, PyString, PyTuple};
use trainwire_protocol::limits::{METRICS_MAX, STRING_SIZE_BYTES_MAX};
use trainwire_protocol::message::{Metric, MetricValue};

use crate::errors::{Class, raise};

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// Rows of a report.
    Numbers,
    /// Results and checkpoints may also say "best.pt".
    NumbersAndTexts,
}

/// Flattens a mapping and keyword arguments, nested names joined with "/".
pub(crate) fn collect(
    mapping: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
    accept: Accept,
) -> PyResult<Vec<Metric>> {
    let mut collector = Collector { metrics: Vec::new(), accept };
    if let Some(mapping) = mapping.filter(|mapping| !mapping.is_none()) {
        collector.add_mapping("", mapping, 0)?;
    }
    if let Some(keywords) = keywords {
        collector.add_mapping("", keywords.as_any(), 0)?;
    }
    Ok(collector.metrics)
}

/// A step or epoch, left out with a warning if it is no number.
pub(crate) fn number_or_warn(value: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Option<f64>> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    match number(value) {
        Some(number) => Ok(Some(number)),
        None => unusable(value.py(), name, "is not a number").map(|()| None),
    }
}

/// As [`number_or_warn`]; exact beyond 2⁵³.
pub(crate) fn integer_or_warn(value: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Option<i64>> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    if let Ok(integer) = value.extract::<i64>() {
        return Ok(Some(integer));
    }
    match number(value) {
        // Within the range where every f64 without a fraction is an i64.
        #[allow(clippy::cast_possible_truncation)]
        Some(number) if number.fract() == 0.0 && number.abs() < 2f64.powi(63) => Ok(Some(number as i64)),
        _ => unusable(value.py(), name, "is not a whole number").map(|()| None),
    }
}

/// Warns about `name` the first time, or raises where `TRAINWIRE_STRICT` asks for it.
pub(crate) fn unusable(py: Python<'_>, name: &str, problem: &str) -> PyResult<()> {
    let text = format!("metric {name:?} {problem}; it is left out");
    if strict(py) {
        return Err(raise(py, Class::Trainwire, "metric_unusable", text));
    }
    {
        let mut warned = WARNED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if warned.len() >= WARNED_MAX || !warned.insert(name.to_owned()) {
            return Ok(());
        }
    }
    warn(py, &text);
    Ok(())
}

/// A warning that is never an exception, not even under `-W error`.
pub(crate) fn warn(py: Python<'_>, text: &str) {
    let Ok(text) = std::ffi::CString::new(text.replace('\0', "\\0")) else { return };
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1) {
        error.write_unraisable(py, None);
    }
}

struct Collector {
    metrics: Vec<Metric>,
    accept: Accept,
}

impl Collector {
    fn add_mapping(&mut self, prefix: &str, mapping: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        let py = mapping.py();
        // A copy of the items: `.item()` of a value is foreign code and may change the mapping.
        let items = if let Ok(dict) = mapping.cast::<PyDict>() {
            dict.items()
        } else if let Ok(items) = mapping.cast::<PyMapping>().map_err(PyErr::from).and_then(|m| m.items()) {
            items
        } else {
            let name = if prefix.is_empty() { "metrics" } else { prefix };
            return unusable(py, name, "is not a mapping of names to numbers");
        };
        for item in &items {
            let Ok(pair) = item.cast::<PyTuple>() else { continue };
            let (Ok(key), Ok(value)) = (pair.get_item(0), pair.get_item(1)) else { continue };
            let key = key.str().map_or_else(|_| "?".to_owned(), |key| key.to_string_lossy().into_owned());
            let name = if prefix.is_empty() { key } else { format!("{prefix}/{key}") };
            self.add(name, &value, depth)?;
        }
        Ok(())
    }

    fn add(&mut self, name: String, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        let py = value.py();
        if name.len() > STRING_SIZE_BYTES_MAX {
            let start: String = name.chars().take(64).collect();
            return unusable(py, &format!("{start}…"), "has a name of more than 4 KiB");
        }
        let value = if let Some(number) = number(value) {
            MetricValue::Number(number)
        } else if let Ok(text) = value.cast::<PyString>() {
            let text = text.to_string_lossy();
            if self.accept == Accept::Numbers {
                return unusable(py, &name, "is a text; report() takes numbers");
            } else if text.len() > STRING_SIZE_BYTES_MAX {
                return unusable(py, &name, "is a text of more than 4 KiB");
            }
            MetricValue::Text(text.into_owned())
        } else if value.cast::<PyMapping>().is_ok() {
            if depth == DEPTH_MAX {
                return unusable(py, &name, "is nested too deeply");
            }
            return self.add_mapping(&name, value, depth + 1);
        } else {
            let kind = value.get_type().name().map_or_else(|_| "?".to_owned(), |kind| kind.to_string());
            return unusable(py, &name, &format!("is a {kind} and not one number"));
        };
        if self.metrics.len() == METRICS_MAX {
            return unusable(py, "1,025 and more", "is beyond the 1,024 one call can hold");
        }
        self.metrics.push(Metric { name, value });
        Ok(())
    }
}

/// Floats, ints, bools, whatever has one element behind `.item()`, whatever has `__float__`.
pub(crate) fn number(value: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return Some(float.value());
    }
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyInt>() {
        return value.extract().ok(); // an int beyond 1e308 is no float
    }
    if value.is_instance_of::<PyString>() {
        return None;
    }
    let py = value.py();
    if let Ok(item) = value.call_method0(pyo3::intern!(py, "item")) {
        return if item.is_instance_of::<PyString>() { None } else { item.extract().ok() };
    }
    if value.hasattr(pyo3::intern!(py, "__float__")).unwrap_or(false) { value.extract().ok() } else { None }
}

fn strict(py: Python<'_>) -> bool {
    static STRICT: PyOnceLock<bool> = PyOnceLock::new();
    *STRICT.get_or_init(py, || std::env::var_os("TRAINWIRE_STRICT").is_some_and(|value| value == "1"))
}

/// Names that were warned about, in this process.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Names made up on the fly (`loss_17`, `loss_18`, …) shall not fill the memory.
const WARNED_MAX: usize = 1_000;

/// Mappings in mappings; stops at one that contains itself.
const DEPTH_MAX: usize = 16;
