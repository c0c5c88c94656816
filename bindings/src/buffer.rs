//! `trainwire.Buffer`: bytes where they were received, readable by everything that knows Python's
//! buffer protocol.
//!
//! ```text
//!  Task ──► Buffer ──► Bytes ──► block the socket was read into, or mapping of a sealed memfd
//!             ▲
//!             └── memoryview, numpy array, …: each holds the Buffer, none holds the Task
//! ```
//!
//! It is a class of its own, not the Task, so that a view that a task's own params or user keeps
//! can never close a cycle through the task.
#![allow(unsafe_code)]

use std::ffi::c_int;

use bytes::Bytes;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyType};

/// Read-only bytes that were not copied. Equal to `bytes` of the same content, hashable like them;
/// pickles and deep-copies as `bytes`, for the memory it views belongs to this process.
#[pyclass(frozen, module = "trainwire")]
pub(crate) struct Buffer {
    bytes: Bytes,
}

impl Buffer {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

#[pymethods]
impl Buffer {
    /// # Safety
    /// Called by the interpreter only, with a `view` it owns.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let bytes = slf.get().bytes.as_ref();
        let len = isize::try_from(bytes.len()).map_err(|_| PyBufferError::new_err("too large"))?;
        // SAFETY: `view` is the interpreter's. The bytes do not move and do not change while `slf`
        // lives, and the view holds a reference to it. Read-only: a request for a writable view is
        // answered with BufferError, so the cast to mut is never used to write.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.as_ptr().cast_mut().cast(), len, 1, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    /// Python 3.12 makes this name for every buffer; before, type checkers and PEP 688 want it too.
    #[pyo3(signature = (flags, /))]
    fn __buffer__<'py>(slf: &Bound<'py, Self>, flags: i32) -> PyResult<Bound<'py, PyMemoryView>> {
        let _ = flags; // a memoryview asks for all it can have
        PyMemoryView::from(slf.as_any())
    }

    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let equal = if let Ok(other) = other.cast::<Self>() {
            self.bytes == other.get().bytes
        } else if let Ok(other) = other.cast::<PyBytes>() {
            self.bytes == other.as_bytes()
        } else {
            return Ok(py.NotImplemented());
        };
        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.__bytes__(py).hash()
    }

    fn __repr__(&self) -> String {
        format!("<trainwire.Buffer of {} bytes>", self.bytes.len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (Bound<'py, PyBytes>,)) {
        (py.get_type::<PyBytes>(), (self.__bytes__(py),))
    }

    /// As of a memoryview: a slice is a view too.
    fn __getitem__<'py>(slf: Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        PyMemoryView::from(slf.as_any())?.get_item(index)
    }
}
