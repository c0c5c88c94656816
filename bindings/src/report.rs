//! `Task.report()`, by CPython's own calling convention: arguments come as they are on its stack, and
//! a call that looks like an earlier one makes no Python object, no dict of its keywords above all.
//!
//! ```text
//!   report(step=3, loss=0.5) ─► numbers ─► call site known? ─ yes ─► appended to the columns
//!                                  │            └ no ─► learned, and tried again
//!                                  └ None, texts, mappings, … ─► the long way: metrics.rs
//! ```
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType};
use pyo3::{Borrowed, ffi};

use crate::call_sites::{CallSite, Gathered, NUMBERS_MAX, Unfit};
use crate::commands::now_us;
use crate::fork;
use crate::metrics;
use crate::task::Task;

/// Gives the class its method. PyO3 knows no signature that takes keywords without making a dict.
pub(crate) fn add_to(class: &Bound<'_, PyType>) -> PyResult<()> {
    let definition = ffi::PyMethodDef {
        ml_name: c"report".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: report },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: DOC.as_ptr(),
    };
    // Python keeps a pointer to it as long as the class lives, which is as long as the process does.
    let definition = Box::leak(Box::new(definition));
    // SAFETY: `class` is a type and we are attached; the definition is never freed nor changed, and
    // its function is of the convention its flags say. What is given back is a new reference.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(class.py(), method)?
    };
    class.setattr("report", method)
}

/// # Safety
/// Called by CPython alone, as a method of [`Task`] with `METH_FASTCALL | METH_KEYWORDS`.
unsafe extern "C" fn report(
    task: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls while attached. It has checked that `task` is a Task. `args` points at
    // `positional` objects and one more for each name in `keywords`, a tuple or null. The caller
    // holds a reference to each of them until we return.
    let (py, task, call) = unsafe {
        let py = Python::assume_attached();
        let task = Borrowed::from_ptr(py, task).cast_unchecked::<Task>();
        let keywords = Borrowed::from_ptr_or_opt(py, keywords).map(|names| names.cast_unchecked::<PyTuple>());
        let positional = usize::try_from(positional).unwrap_or(0);
        let count = positional + keywords.map_or(0, |names| names.len());
        let args = if count == 0 { &[] } else { std::slice::from_raw_parts(args, count) };
        (py, task, Call { py, args, positional, keywords })
    };
    let done = catch_unwind(AssertUnwindSafe(|| {
        if let Some(()) = call.quickly(task.get()) {
            return Ok(());
        }
        // What makes and drops Python objects has PyO3 know that we are attached.
        Python::attach(|_| call.slowly(task.get()))
    }));
    let error = match done {
        Ok(Ok(())) => return py.None().into_ptr(),
        Ok(Err(error)) => error,
        Err(_) => PySystemError::new_err("trainwire: report() panicked"),
    };
    error.restore(py);
    std::ptr::null_mut()
}

/// The arguments of one call.
struct Call<'a, 'py> {
    py: Python<'py>,
    /// Each a live object.
    args: &'a [*mut ffi::PyObject],
    /// `positional <= args.len()`
    positional: usize,
    /// Names of the rest of `args`.
    keywords: Option<Borrowed<'a, 'py, PyTuple>>,
}

impl<'a, 'py> Call<'a, 'py> {
    /// `None`, and nothing done, unless the row is made of plain numbers under known names.
    fn quickly(&self, task: &Task) -> Option<()> {
        if !task.ranks.is_primary() {
            return Some(());
        }
        let connection = task.connection()?;
        if fork::in_forked_child() || task.run.ended() || task.has_tee() {
            return None;
        }
        let mapping = match self.args.get(..self.positional)? {
            [] => None,
            [mapping] => Some(self.object(*mapping).cast_exact::<PyDict>().ok()?),
            _ => return None,
        };
        let keywords = self.keywords.as_deref();
        let (delivery, time_us, first) = (task.run.delivery, now_us(), task.run.reports_first());
        for _ in 0..2 {
            let put = || {
                let gathered = self.gather(mapping)?;
                let put = connection.rows.report(time_us, first, &**connection, |rows, sites| {
                    sites.put(rows, (delivery, time_us), keywords, &gathered)
                });
                Some((put, gathered))
            };
            // What is gathered of a mapping are addresses: they say something as long as nobody changes it.
            let (put, gathered) = match &mapping {
                Some(mapping) => with_critical_section(mapping, put)?,
                None => put()?,
            };
            match put {
                Ok(()) => {
                    if first {
                        task.run.has_reported();
                    }
                    return Some(());
                }
                Err(Unfit::Numbers) => return None,
                Err(Unfit::Unknown) => Python::attach(|_| {
                    let site = CallSite::new(mapping.as_deref(), keywords, &gathered)?;
                    // Dropped here, where no lock is held.
                    drop(connection.rows.beside(|sites| sites.add(site)));
                    Some(())
                })?,
            }
        }
        None
    }

    /// Runs foreign code only where there is no mapping that it could change.
    fn gather(&self, mapping: Option<Borrowed<'a, 'py, PyDict>>) -> Option<Gathered> {
        let mut gathered =
            Gathered { values: [0.0; NUMBERS_MAX], keys: [0; NUMBERS_MAX], mapping_len: 0, len: 0 };
        for (key, value) in mapping.iter().flat_map(|mapping| mapping.iter()) {
            let number = plain_number(&value)?;
            *gathered.values.get_mut(gathered.len)? = number;
            gathered.keys[gathered.len] = key.as_ptr().addr();
            gathered.len += 1;
        }
        gathered.mapping_len = gathered.len;
        for value in self.args.get(self.positional..)? {
            let value = self.object(*value);
            let number = match plain_number(&value) {
                Some(number) => number,
                None if mapping.is_some() => return None,
                None => Python::attach(|_| metrics::number(&value))?,
            };
            *gathered.values.get_mut(gathered.len)? = number;
            gathered.len += 1;
        }
        Some(gathered)
    }

    /// What is accepted, and what becomes of the rest, is said in `metrics.rs`.
    fn slowly(&self, task: &Task) -> PyResult<()> {
        let (positional, named) = self.args.split_at(self.positional);
        let metrics = match positional {
            [] => None,
            [metrics] => Some(self.object(*metrics)),
            more => {
                let text =
                    format!("Task.report() takes at most 1 positional argument ({} given)", more.len());
                return Err(PyTypeError::new_err(text));
            }
        };
        let (mut step, mut epoch) = (None, None);
        let keywords = PyDict::new(self.py);
        for (name, value) in self.keywords.as_deref().into_iter().flatten().zip(named) {
            let value = self.object(*value);
            match name.cast::<PyString>().ok().and_then(|name| name.to_str().ok()) {
                Some("step") => step = Some(value),
                Some("epoch") => epoch = Some(value),
                _ => keywords.set_item(name, value)?,
            }
        }
        task.report(self.py, metrics.as_deref(), step.as_deref(), epoch.as_deref(), &keywords)
    }

    fn object(&self, pointer: *mut ffi::PyObject) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: it is one of `args`, all of which are alive as long as the call.
        unsafe { Borrowed::from_ptr(self.py, pointer) }
    }
}

/// Of a float, an int or a bool, without running foreign code.
fn plain_number(value: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return Some(float.value()); // also of a subclass, as NumPy's float64 is
    }
    if value.is_exact_instance_of::<PyInt>() {
        let mut overflow = 0;
        // SAFETY: it is exactly an int, for which this raises nothing.
        let integer = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
        // Rounded to the nearest, as float() does.
        #[allow(clippy::cast_precision_loss)]
        return (overflow == 0).then_some(integer as f64);
    }
    value.cast::<PyBool>().ok().map(|truth| f64::from(u8::from(truth.is_true())))
}

const DOC: &CStr = c"report($self, metrics=None, /, *, step=None, epoch=None, **kw)\n--\n\n";
