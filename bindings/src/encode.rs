//! Python values to msgpack, for the one task of offline mode.
//!
//! Offline parameters go through the same bytes as delivered ones, so a script meets the same types
//! in both: a tuple comes back as a list, a key that msgpack cannot hold is an error at once.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use trainwire_protocol::limits::MSGPACK_DEPTH_MAX;

/// None, bool, int, float, str, bytes, lists, tuples and dicts of them.
pub(crate) fn msgpack(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut out = Vec::new();
    encode(value, &mut out, 0)?;
    Ok(out)
}

fn encode(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> PyResult<()> {
    if depth >= MSGPACK_DEPTH_MAX {
        return Err(PyValueError::new_err("params are nested too deeply"));
    }
    if value.is_none() {
        out.push(0xc0);
    } else if let Ok(truth) = value.cast::<PyBool>() {
        out.push(if truth.is_true() { 0xc3 } else { 0xc2 });
    } else if let Ok(float) = value.cast::<PyFloat>() {
        out.push(0xcb);
        out.extend(float.value().to_be_bytes());
    } else if value.is_instance_of::<PyInt>() {
        integer(value, out)?;
    } else if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_str()?;
        header(text.len(), out, Family { fix: Some((0xa0, 31)), one: Some(0xd9), two: 0xda, four: 0xdb })?;
        out.extend(text.as_bytes());
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        binary(bytes.as_bytes(), out)?;
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        binary(&bytes.to_vec(), out)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        header(dict.len(), out, Family { fix: Some((0x80, 15)), one: None, two: 0xde, four: 0xdf })?;
        for (key, value) in dict {
            encode(&key, out, depth + 1)?;
            encode(&value, out, depth + 1)?;
        }
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        header(value.len()?, out, Family { fix: Some((0x90, 15)), one: None, two: 0xdc, four: 0xdd })?;
        for item in value.try_iter()? {
            encode(&item?, out, depth + 1)?;
        }
    } else {
        return Err(PyTypeError::new_err(format!(
            "params cannot hold a {}; use None, bool, int, float, str, bytes, lists and dicts",
            value.get_type().name()?
        )));
    }
    Ok(())
}

fn integer(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    if let Ok(number) = value.extract::<u64>() {
        match u8::try_from(number) {
            Ok(small @ 0..=0x7f) => out.push(small),
            _ => {
                out.push(0xcf);
                out.extend(number.to_be_bytes());
            }
        }
    } else {
        let number: i64 = value
            .extract()
            .map_err(|_| PyOverflowError::new_err("params cannot hold an int of more than 64 bits"))?;
        out.push(0xd3);
        out.extend(number.to_be_bytes());
    }
    Ok(())
}

fn binary(bytes: &[u8], out: &mut Vec<u8>) -> PyResult<()> {
    header(bytes.len(), out, Family { fix: None, one: Some(0xc4), two: 0xc5, four: 0xc6 })?;
    out.extend(bytes);
    Ok(())
}

/// The first bytes of the forms a length can have.
struct Family {
    /// Base, and the largest length it can hold.
    fix: Option<(u8, usize)>,
    one: Option<u8>,
    two: u8,
    four: u8,
}

fn header(len: usize, out: &mut Vec<u8>, family: Family) -> PyResult<()> {
    if let (Some((base, max)), Ok(short)) = (family.fix, u8::try_from(len))
        && len <= max
    {
        out.push(base | short);
        return Ok(());
    }
    if let (Some(marker), Ok(len)) = (family.one, u8::try_from(len)) {
        out.extend([marker, len]);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(family.two);
        out.extend(len.to_be_bytes());
    } else {
        let len = u32::try_from(len).map_err(|_| PyValueError::new_err("params are too large"))?;
        out.push(family.four);
        out.extend(len.to_be_bytes());
    }
    Ok(())
}
