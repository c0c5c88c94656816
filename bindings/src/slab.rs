//! Tasks in memory that the orchestrator fills again when Python is through with it.
//!
//! ```text
//!   Slab ──map──► ReceivedSlab ──Deliver──► Bytes ──► Task, Buffer, memoryview, numpy array, …
//!                                             │ the last of them is gone, in whatever thread
//!                                             ▼
//!                                           a flag ──collect──► TrainerSession::release ──► Release
//! ```
//!
//! Nothing is sent where a view dies: that may be anywhere, with any lock held. The flags are looked at
//! whenever something is sent, and by the IO thread at every tick.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::Slab;
use trainwire_protocol::session::TrainerSession;
use trainwire_unix::ReceivedSlab;
use trainwire_unix::slab::Leases;

use crate::delivered::{self, DESCRIPTOR_MISSING};

#[derive(Default)]
pub(crate) struct Slabs {
    current: Current,
    leases: Leases<Delivery>,
}

/// The slab of this connection.
#[derive(Default)]
enum Current {
    /// The session gives nothing that would be in one.
    #[default]
    None,
    Mapped(ReceivedSlab),
    /// Whatever is in it goes back, for this reason.
    Unusable(&'static str),
}

impl Slabs {
    /// In place of an earlier one, which its views keep.
    pub(crate) fn receive(&mut self, slab: &Slab, descriptor: Option<OwnedFd>) {
        self.current = match descriptor.map(|descriptor| ReceivedSlab::receive(descriptor, slab.size)) {
            Some(Ok(slab)) => Current::Mapped(slab),
            Some(Err(error)) => Current::Unusable(delivered::code_of(&error)),
            None => Current::Unusable(DESCRIPTOR_MISSING),
        };
    }

    /// The connection is over, and the next one shares anew.
    pub(crate) fn disconnected(&mut self) {
        self.current = Current::None;
    }

    /// The bytes of a delivery, until [`collect`](Self::collect) finds that nobody looks at them.
    ///
    /// # Errors
    /// The code it is returned with; it is released at once.
    pub(crate) fn lend(
        &mut self,
        session: &mut TrainerSession,
        delivery: Delivery,
        offset: u64,
        size: u64,
    ) -> Result<Bytes, &'static str> {
        let lent = match &self.current {
            Current::Mapped(slab) => self.leases.lend(delivery, slab, offset, size).ok_or("bad_range"),
            Current::Unusable(code) => Err(*code),
            Current::None => Err(DESCRIPTOR_MISSING),
        };
        if lent.is_err() {
            session.release(delivery);
        }
        lent
    }

    /// Lets go of what nobody looks at any more.
    pub(crate) fn collect(&mut self, session: &mut TrainerSession) {
        self.leases.collect(|delivery| session.release(delivery));
    }
}
