//! The bytes of unfinished tasks, as they were submitted or not at all.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{PayloadBuffer, SealedError};

use crate::config::Config;
use crate::journal::StoredBytes;
use crate::payload::Payload;

/// Reads a task's bytes, of which there must be `size_bytes`, to where they will travel from; or says why
/// they are lost.
///
/// # Errors
/// No memory or no descriptor for them.
pub(crate) fn read(
    stored: StoredBytes,
    root: &Path,
    config: &Config,
    size_bytes: Option<u64>,
) -> Result<Result<Payload, String>, SealedError> {
    let verified = match stored {
        StoredBytes::Row(bytes) => VerifiedTask::verify(bytes.into()).map(Payload::Inline),
        StoredBytes::File(name) => match read_file(&root.join(name), size_bytes) {
            Ok(payload) => Ok(payload),
            Err(Unread::Lost(why)) => return Ok(Err(lost(&why))),
            Err(Unread::NoMemory(error)) => return Err(error),
        },
        StoredBytes::Nowhere => {
            let why =
                "its bytes were in the memory of an orchestrator that has ended (durability = \"volatile\")";
            return Ok(Err(lost(why)));
        }
        StoredBytes::Missing => return Ok(Err(lost("the journal has no bytes of it"))),
    };
    match verified {
        Ok(payload) => match size_bytes.filter(|size_bytes| *size_bytes != payload.size_bytes()) {
            Some(size_bytes) => Ok(Err(lost(&format!(
                "the journal has {} bytes of it, {size_bytes} were submitted",
                payload.size_bytes(),
            )))),
            None => Ok(Ok(payload.placed(config.inline_task_size_max, None)?)),
        },
        Err(error) => Ok(Err(lost(&format!("its bytes in the journal are damaged: {error}")))),
    }
}

enum Unread {
    Lost(String),
    NoMemory(SealedError),
}

fn read_file(path: &Path, size_bytes: Option<u64>) -> Result<Payload, Unread> {
    let lost = |error: &dyn std::fmt::Display| Unread::Lost(format!("its file {} {error}", path.display()));
    let unreadable = |error: std::io::Error| lost(&format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if let Some(size_bytes) = size_bytes.filter(|size_bytes| *size_bytes != found) {
        return Err(lost(&format!("has {found} bytes, {size_bytes} were submitted")));
    }
    let buffer = match PayloadBuffer::read_from(0, file.as_fd()) {
        Ok(buffer) => buffer,
        Err(SealedError::Source { source }) => return Err(unreadable(source.into())),
        Err(error) => return Err(Unread::NoMemory(error)),
    };
    let memory = buffer.seal().map_err(Unread::NoMemory)?;
    let task = VerifiedTask::verify(memory.map().map_err(Unread::NoMemory)?)
        .map_err(|error| lost(&format!("is damaged: {error}")))?;
    Ok(Payload::Sealed { task, memory: memory.into() })
}

fn lost(why: &str) -> String {
    format!("payload_lost: {why}; submit it again under another id")
}
