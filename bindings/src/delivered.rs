//! A task on its way from the socket to Python.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use trainwire_protocol::message::Deliver;
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{SealedError, SealedPayload};

/// Delivered, not looked into.
pub(crate) struct Queued {
    pub(crate) deliver: Deliver,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    Inline(Bytes),
    Descriptor(OwnedFd),
    /// The descriptor was lost, at this process's limit of open files.
    Missing,
}

impl Queued {
    /// Maps and verifies the task.
    ///
    /// # Errors
    /// The code it is returned with.
    pub(crate) fn read(self) -> (Deliver, Result<VerifiedTask, &'static str>) {
        let bytes = match self.source {
            Source::Inline(bytes) => Ok(bytes),
            Source::Missing => Err("descriptor_missing"),
            Source::Descriptor(descriptor) => SealedPayload::receive(descriptor, self.deliver.task_size)
                .and_then(|payload| payload.map())
                .map_err(|error| code_of(&error)),
        };
        let task = bytes.and_then(|bytes| VerifiedTask::verify(bytes).map_err(|error| error.code()));
        (self.deliver, task)
    }
}

/// The protocol's own words for what a peer can get wrong; the rest is this machine's trouble.
fn code_of(error: &SealedError) -> &'static str {
    match error {
        SealedError::MissingSeals { .. } => "not_sealed",
        SealedError::SizeDiffers { .. } => "size_mismatch",
        error => error.code(),
    }
}
