//! The bytes of unfinished tasks, as they were submitted or not at all.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{PayloadBuffer, SealedError};

use crate::config::Config;
use crate::error::StartError;
use crate::journal::{Journal, StoredBytes};
use crate::layout::Layout;
use crate::payload::Payload;
use crate::record::TaskNo;
use crate::scheduler::Task;

/// Reads a task's bytes to where they will travel from; or says why they are lost.
///
/// # Errors
/// No memory or no descriptor for them, or a journal that cannot be read.
pub(super) fn read(
    journal: &Journal,
    layout: &Layout,
    config: &Config,
    task: TaskNo,
    known: &Task,
) -> Result<Result<Payload, String>, StartError> {
    let no_memory =
        |error: SealedError| StartError::System { what: "memory for a task", text: error.to_string() };
    let verified = match journal.bytes_of(task)? {
        StoredBytes::Row(bytes) => VerifiedTask::verify(bytes.into()).map(Payload::Inline),
        StoredBytes::File(name) => match read_file(&layout.root().join(name), known.size_bytes) {
            Ok(payload) => Ok(payload),
            Err(Unread::Lost(why)) => return Ok(Err(lost(&why))),
            Err(Unread::NoMemory(error)) => return Err(no_memory(error)),
        },
        StoredBytes::Nowhere => {
            let why =
                "its bytes were in the memory of an orchestrator that has ended (durability = \"volatile\")";
            return Ok(Err(lost(why)));
        }
        StoredBytes::Missing => return Ok(Err(lost("the journal has no bytes of it"))),
    };
    match verified {
        Ok(payload) if payload.size_bytes() == known.size_bytes => {
            Ok(Ok(payload.placed(config.inline_task_size_max, None).map_err(no_memory)?))
        }
        Ok(payload) => Ok(Err(lost(&format!(
            "the journal has {} bytes of it, {} were submitted",
            payload.size_bytes(),
            known.size_bytes
        )))),
        Err(error) => Ok(Err(lost(&format!("its bytes in the journal are damaged: {error}")))),
    }
}

enum Unread {
    Lost(String),
    NoMemory(SealedError),
}

fn read_file(path: &Path, size_bytes: u64) -> Result<Payload, Unread> {
    let lost = |error: &dyn std::fmt::Display| Unread::Lost(format!("its file {} {error}", path.display()));
    let unreadable = |error: std::io::Error| lost(&format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found != size_bytes {
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
