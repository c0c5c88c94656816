//! What the tests feed the golden vectors to: the readers of this extension, without a socket.
//!
//! Private to the project: the names begin with an underscore and are in no `.pyi` promise.

use bytes::Bytes;
use pyo3::prelude::*;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{Frame, FrameReader, ReaderLimits};
use trainwire_protocol::limits::INLINE_TASK_SIZE_BYTES_MAX;
use trainwire_protocol::task::VerifiedTask;

use crate::buffer::Buffer;
use crate::errors::{Class, raise};
use crate::tasks::{Source, Tasks};

/// The kinds of the frames in `data`, with the tasks inside them, and the code of the error that
/// ends them. `step` bytes are fed at a time.
#[pyfunction]
#[pyo3(name = "_read_frames")]
pub(crate) fn read_frames(data: &[u8], step: usize) -> (Vec<(String, Option<Buffer>)>, Option<&'static str>) {
    let limits = ReaderLimits { inline_task_size_bytes_max: INLINE_TASK_SIZE_BYTES_MAX };
    let mut reader = FrameReader::new(limits);
    let mut frames = Vec::new();
    for mut chunk in data.chunks(step.max(1)) {
        while !chunk.is_empty() {
            let spare = reader.spare();
            let count = chunk.len().min(spare.len());
            spare[..count].copy_from_slice(&chunk[..count]);
            reader.advance(count);
            chunk = &chunk[count..];
            loop {
                match reader.next().and_then(|frame| frame.map(|frame| read(&frame)).transpose()) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.code())),
                }
            }
        }
    }
    (frames, None)
}

/// An offline task of these bytes.
#[pyfunction]
#[pyo3(name = "_read_task")]
pub(crate) fn read_task(py: Python<'_>, data: &[u8]) -> PyResult<Tasks> {
    let task = VerifiedTask::verify(Bytes::copy_from_slice(data))
        .map_err(|error| raise(py, Class::Trainwire, error.code(), error.to_string()))?;
    Ok(Tasks::new(py, Source::Offline(std::sync::Mutex::new(Some(task))), false))
}

/// Streams of the vectors hold messages of both ends.
fn read(frame: &Frame<'_>) -> Result<(String, Option<Buffer>), ProtocolError> {
    let task = match frame.decode_to_trainer() {
        Err(ProtocolError::WrongDirection { .. }) => frame.decode_from_trainer().map(|_| None),
        decoded => decoded.map(|(_, task)| task),
    }?;
    Ok((frame.kind.to_string(), task.map(Buffer::new)))
}
