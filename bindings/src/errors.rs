//! The one place where an error of the Rust side becomes a Python exception.
//!
//! The classes are written in Python (`trainwire/errors.py`): they have several bases, and the
//! stable ABI cannot subclass `Exception` with fields of its own.

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// A class of `trainwire.errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Trainwire,
    Connect,
    Refused,
    Protocol,
    NotOwner,
    Params,
    TaskState,
    Forked,
}

/// An exception of `class` with its `code`.
pub(crate) fn raise(py: Python<'_>, class: Class, code: &str, text: impl Into<String>) -> PyErr {
    let made = class_of(py, class.name()).and_then(|class| {
        let options = pyo3::types::PyDict::new(py);
        options.set_item(pyo3::intern!(py, "code"), code)?;
        class.call((text.into(),), Some(&options))
    });
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Whether `exception` is an instance of the class `name` of `trainwire.errors`.
pub(crate) fn is_a(exception: &Bound<'_, PyAny>, name: &'static str) -> bool {
    class_of(exception.py(), name).and_then(|class| exception.is_instance(&class)).unwrap_or(false)
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Trainwire => "TrainwireError",
            Self::Connect => "ConnectError",
            Self::Refused => "RefusedError",
            Self::Protocol => "ProtocolError",
            Self::NotOwner => "NotOwnerError",
            Self::Params => "ParamsError",
            Self::TaskState => "TaskStateError",
            Self::Forked => "ForkedError",
        }
    }
}

fn class_of<'py>(py: Python<'py>, name: &'static str) -> PyResult<Bound<'py, PyType>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module =
        MODULE.get_or_try_init(py, || PyModule::import(py, "trainwire.errors").map(Bound::unbind))?;
    module
        .bind(py)
        .getattr(name)?
        .cast_into()
        .map_err(|_| PyImportError::new_err(format!("trainwire.errors.{name} is not a class")))
}
