//! How a task ended, from what Python raised.

use std::time::Duration;

use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};
use trainwire_protocol::limits::{STRING_SIZE_BYTES_MAX, TRACEBACK_SIZE_BYTES_MAX};
use trainwire_protocol::message::{Outcome, TrainerError};

use crate::environment::Ranks;
use crate::errors::{Class, is_a, raise};

/// The end of a task that raised.
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) exception: Propagate,
}

impl Ending {
    /// How the task ended, if the exception goes on to end the process unless the trainer keeps going. A
    /// launcher may have another start in store then: the delivery goes on with that.
    pub(crate) fn of_process(self, ranks: Ranks, keep_going: bool) -> Outcome {
        let ends_process = match self.exception {
            Propagate::Swallow => false,
            Propagate::Failure => !keep_going,
            Propagate::Always => true,
        };
        match self.outcome {
            Outcome::Failed(error) => {
                let restarts = ends_process && ranks.may_restart && !error.fatal;
                Outcome::Failed(TrainerError { restarts, ..error })
            }
            outcome => outcome,
        }
    }
}

/// Whether an exception goes on after `with task:`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagate {
    /// It has said what it had to say.
    Swallow,
    /// Unless the trainer keeps going.
    Failure,
    /// Always.
    Always,
}

/// `normal` is how the task would end had nothing been raised: succeeded, or stopped once a stop
/// was seen.
pub(crate) fn of_exception(exception: &Bound<'_, PyAny>, normal: Outcome) -> Ending {
    let py = exception.py();
    let ending = |outcome, exception| Ending { outcome, exception };
    if is_a(exception, "Stopped") {
        // Also where nobody asked.
        let outcome = if normal == Outcome::Succeeded { Outcome::Stopped } else { normal };
        return ending(outcome, Propagate::Swallow);
    }
    if is_a(exception, "Retry") {
        let after = exception.getattr(pyo3::intern!(py, "after")).ok();
        let after = after.and_then(|after| after.extract().ok()).and_then(duration);
        return ending(Outcome::Retry { error: describe(exception), after }, Propagate::Swallow);
    }
    if exception.is_instance_of::<PySystemExit>() {
        return match exit_text(exception) {
            None => ending(normal, Propagate::Always),
            Some(text) => {
                let error = TrainerError { text, ..describe(exception) };
                ending(Outcome::Failed(error), Propagate::Always)
            }
        };
    }
    let mut error = describe(exception);
    error.fatal = exception.is_instance_of::<PyKeyboardInterrupt>() || is_a(exception, "Fatal");
    let is_exception = exception.is_instance_of::<PyException>();
    ending(Outcome::Failed(error), if is_exception { Propagate::Failure } else { Propagate::Always })
}

/// `task.fail(error, retry=…)`: `None` leaves it to the job's limits, `False` is final, `True` or
/// seconds ask for another attempt.
pub(crate) fn of_failure(error: &Bound<'_, PyAny>, retry: Option<&Bound<'_, PyAny>>) -> PyResult<Outcome> {
    let error = if error.is_instance_of::<pyo3::exceptions::PyBaseException>() {
        describe(error)
    } else {
        TrainerError { kind: "Error".to_owned(), text: start(lossy(error)), ..TrainerError::default() }
    };
    let Some(retry) = retry.filter(|retry| !retry.is_none()) else {
        return Ok(Outcome::Failed(error));
    };
    if let Ok(wanted) = retry.cast::<PyBool>() {
        return Ok(if wanted.is_true() {
            Outcome::Retry { error, after: None }
        } else {
            Outcome::Failed(TrainerError { fatal: true, ..error })
        });
    }
    let after = duration(retry.extract()?).ok_or_else(|| {
        pyo3::exceptions::PyValueError::new_err(
            "retry must be None, a bool or a number of seconds, 0 or more",
        )
    })?;
    Ok(Outcome::Retry { error, after: Some(after) })
}

/// A task that its code left without a word.
pub(crate) fn unfinished(text: &str) -> Outcome {
    Outcome::Failed(TrainerError {
        kind: "Unfinished".to_owned(),
        text: text.to_owned(),
        ..TrainerError::default()
    })
}

/// Seconds as Python gives them.
pub(crate) fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// The `Stopped` that `raise_if_stopped()` raises.
pub(crate) fn stopped(py: Python<'_>, reason: &str) -> PyErr {
    let made = PyModule::import(py, "trainwire.errors")
        .and_then(|errors| errors.getattr("Stopped"))
        .and_then(|class| class.call1((reason,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => raise(py, Class::TaskState, "stopped", reason),
    }
}

fn describe(exception: &Bound<'_, PyAny>) -> TrainerError {
    TrainerError {
        kind: start(class_name(exception)),
        text: start(lossy(exception)),
        traceback: end(traceback(exception).unwrap_or_default()),
        fatal: false,
        restarts: false,
    }
}

/// `ValueError`, `torch.OutOfMemoryError`.
fn class_name(exception: &Bound<'_, PyAny>) -> String {
    let class = exception.get_type();
    let name = class.qualname().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    match class.module() {
        Ok(module) if module != "builtins" && module != "__main__" => format!("{module}.{name}"),
        _ => name,
    }
}

/// `None` for success. `sys.exit("words")` means exit code 1, as for Python itself.
fn exit_text(exception: &Bound<'_, PyAny>) -> Option<String> {
    let code = exception.getattr(pyo3::intern!(exception.py(), "code")).ok()?;
    if code.is_none() {
        return None;
    }
    match code.extract::<i64>() {
        Ok(0) => None,
        Ok(code) => Some(format!("exit code {code}")),
        Err(_) => Some(start(format!("exit code 1: {}", lossy(&code)))),
    }
}

fn traceback(exception: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = exception.py();
    let lines = PyModule::import(py, "traceback")?.call_method1("format_exception", (exception,))?;
    let text = PyString::new(py, "").call_method1("join", (lines,))?;
    Ok(lossy(&text))
}

/// `str(value)`, which is foreign code and may raise.
fn lossy(value: &Bound<'_, PyAny>) -> String {
    value.str().map_or_else(|_| "<str() raised>".to_owned(), |text| text.to_string_lossy().into_owned())
}

/// As much of the start as a string of a message may have.
fn start(mut text: String) -> String {
    let fits = text.len().min(STRING_SIZE_BYTES_MAX);
    text.truncate((0..=fits).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    text
}

/// As much of the end, where the cause is, as a traceback may have.
fn end(mut text: String) -> String {
    let surplus = text.len().saturating_sub(TRACEBACK_SIZE_BYTES_MAX);
    let surplus = (surplus..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.drain(..surplus);
    text
}
