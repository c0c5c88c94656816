//! A task on its way from the socket to Python.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use trainwire_protocol::message::{Deliver, Place};
use trainwire_protocol::session::Delivered;
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{SealedError, SealedPayload};

use crate::connection::State;

/// Delivered, not looked into.
pub(crate) struct Queued {
    pub(crate) deliver: Deliver,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    /// In a block of the reader or in a slab.
    Bytes(Bytes),
    Descriptor(OwnedFd),
    /// It goes back with this code.
    Unusable(&'static str),
}

impl Queued {
    /// `descriptor` came with its frame.
    pub(crate) fn new(delivered: Delivered, descriptor: Option<OwnedFd>, state: &mut State) -> Self {
        let Delivered { deliver, inline } = delivered;
        let source = match (deliver.place, inline, descriptor) {
            (Place::Slab { offset, .. }, _, _) => {
                let lent = state.slabs.lend(&mut state.session, deliver.delivery, offset, deliver.task_size);
                lent.map_or_else(Source::Unusable, Source::Bytes)
            }
            (_, Some(bytes), _) => Source::Bytes(bytes),
            (_, None, Some(descriptor)) => Source::Descriptor(descriptor),
            (_, None, None) => Source::Unusable(DESCRIPTOR_MISSING),
        };
        Self { deliver, source }
    }

    /// Maps and verifies the task.
    ///
    /// # Errors
    /// The code it is returned with.
    pub(crate) fn read(self) -> (Deliver, Result<VerifiedTask, &'static str>) {
        let bytes = match self.source {
            Source::Bytes(bytes) => Ok(bytes),
            Source::Unusable(code) => Err(code),
            Source::Descriptor(descriptor) => SealedPayload::receive(descriptor, self.deliver.task_size)
                .and_then(|payload| payload.map())
                .map_err(|error| code_of(&error)),
        };
        let task = bytes.and_then(|bytes| VerifiedTask::verify(bytes).map_err(|error| error.code()));
        (self.deliver, task)
    }
}

/// The protocol's own words for what a peer can get wrong; the rest is this machine's trouble.
pub(crate) fn code_of(error: &SealedError) -> &'static str {
    match error {
        SealedError::MissingSeals { .. } => "not_sealed",
        SealedError::SizeDiffers { .. } => "size_mismatch",
        error => error.code(),
    }
}

/// The descriptor was lost, at this process's limit of open files.
pub(crate) const DESCRIPTOR_MISSING: &str = "descriptor_missing";
