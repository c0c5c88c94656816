//! `task.params`: msgpack to Python objects, token by token, with nothing built in between.

use std::sync::Mutex;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use trainwire_protocol::msgpack::{MsgpackError, Token, Walker};

use crate::buffer::Buffer;
use crate::errors::{Class, raise};

/// Decodes hyperparameters: a map, or nothing at all.
///
/// # Errors
/// `ParamsError`, which names the byte.
pub(crate) fn decode<'py>(py: Python<'py>, hyperparams: &Bytes) -> PyResult<Bound<'py, PyDict>> {
    if hyperparams.is_empty() {
        return Ok(PyDict::new(py));
    }
    let mut decoder = Decoder { py, walker: Walker::new(hyperparams), hyperparams };
    let params = match decoder.token()? {
        Token::Map(pairs) => decoder.map(pairs)?,
        _ => return Err(decoder.refuse(0, "msgpack_not_a_map", "params must be a map with text keys")),
    };
    match decoder.walker.next() {
        Some(Err(error)) => Err(decoder.invalid(error)),
        _ => Ok(params),
    }
}

struct Decoder<'a, 'py> {
    py: Python<'py>,
    walker: Walker<'a>,
    hyperparams: &'a Bytes,
}

impl<'a, 'py> Decoder<'a, 'py> {
    fn token(&mut self) -> PyResult<Token<'a>> {
        match self.walker.next() {
            Some(Ok(token)) => Ok(token),
            Some(Err(error)) => Err(self.invalid(error)),
            // The walker ends only after a whole value, and the decoder asks only for parts of one.
            None => Err(self.refuse(self.walker.at_byte(), "msgpack_truncated", "the bytes end in a value")),
        }
    }

    /// As deep as the walker goes: 128 maps and arrays.
    fn value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let at_byte = self.walker.at_byte();
        let token = self.token()?;
        self.value_of(token, at_byte)
    }

    fn value_of(&mut self, token: Token<'a>, at_byte: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match token {
            Token::Nil => py.None().into_bound(py),
            Token::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
            Token::Int(number) => PyInt::new(py, number).into_any(),
            Token::Uint(number) => PyInt::new(py, number).into_any(),
            Token::F32(number) => PyFloat::new(py, number.into()).into_any(),
            Token::F64(number) => PyFloat::new(py, number).into_any(),
            Token::Str(text) => PyString::new(py, text).into_any(),
            Token::Bin(bytes) if bytes.len() > BIN_COPIED_SIZE_BYTES_MAX => {
                Bound::new(py, Buffer::new(self.hyperparams.slice_ref(bytes)))?.into_any()
            }
            Token::Bin(bytes) => PyBytes::new(py, bytes).into_any(),
            Token::Array(count) => self.array(count)?.into_any(),
            Token::Map(pairs) => self.map(pairs)?.into_any(),
            Token::Ext(kind, _) => {
                let text =
                    format!("extension type {kind} has no meaning here; decode task.hyperparams yourself");
                return Err(self.refuse(at_byte, "msgpack_extension", &text));
            }
        })
    }

    fn array(&mut self, count: u32) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(self.py);
        for _ in 0..count {
            list.append(self.value()?)?;
        }
        Ok(list)
    }

    fn map(&mut self, pairs: u32) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(self.py);
        for _ in 0..pairs {
            let at_byte = self.walker.at_byte();
            let key = match self.token()? {
                Token::Str(text) => key(self.py, text).into_any(),
                token => self.value_of(token, at_byte)?,
            };
            let value = self.value()?;
            dict.set_item(key, value)
                .map_err(|_| self.refuse(at_byte, "msgpack_key", "a map or an array cannot be a key"))?;
        }
        Ok(dict)
    }

    fn invalid(&self, error: MsgpackError) -> PyErr {
        let text = format!("hyperparams are {error}; task.hyperparams has the bytes");
        raise(self.py, Class::Params, error.code(), text)
    }

    fn refuse(&self, at_byte: usize, code: &str, text: &str) -> PyErr {
        raise(self.py, Class::Params, code, format!("hyperparams at byte {at_byte}: {text}"))
    }
}

/// The text as a Python string, the same object as last time if possible: the keys of a sweep are
/// the same in all its tasks.
///
/// A table of its own, because interned strings stay in memory for ever in some versions of Python.
fn key<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    if text.len() > KEY_SIZE_BYTES_MAX {
        return PyString::new(py, text);
    }
    let slot = slot_of(text.as_bytes());
    // Never waited for: a destructor may have brought us here from within.
    if let Ok(keys) = KEYS.try_lock()
        && let Some(Some(known)) = keys.get(slot)
        && known.bind(py).to_str().is_ok_and(|known| known == text)
    {
        return known.bind(py).clone();
    }
    let made = PyString::new(py, text);
    let previous =
        KEYS.try_lock().ok().and_then(|mut keys| keys.get_mut(slot)?.replace(made.clone().unbind()));
    drop(previous); // outside the lock
    made
}

fn slot_of(text: &[u8]) -> usize {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
    });
    // The remainder fits.
    #[allow(clippy::cast_possible_truncation)]
    let slot = (hash % KEYS_MAX as u64) as usize;
    slot
}

static KEYS: Mutex<[Option<Py<PyString>>; KEYS_MAX]> = Mutex::new([const { None }; KEYS_MAX]);

/// More than a task has parameters; 2 KiB of table.
const KEYS_MAX: usize = 256;

/// Longer keys are rare, and hashing them costs more than making them anew.
const KEY_SIZE_BYTES_MAX: usize = 32;

/// Up to here a `bytes` object is the friendlier answer, and cheap.
const BIN_COPIED_SIZE_BYTES_MAX: usize = 64 << 10;
