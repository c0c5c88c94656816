//! Deliveries whose bytes in a slab somebody in the process may still look at.
//!
//! ```text
//!   Deliver          release             flush: one frame for all
//!   ───────► looked at ───────► released ───────► gone
//!                │                 └─────────────► gone, at a new Hello, which does not list it
//!                └─ listed in every Hello
//! ```

use std::collections::BTreeSet;

use crate::error::ProtocolError;
use crate::frame::FrameWriter;
use crate::id::Delivery;
use crate::limits::HELD_MAX;
use crate::message::FromTrainer;
use crate::session::outbox::WRITER_SIZE_BYTES_MAX;

#[derive(Debug, Default)]
pub(super) struct Held {
    looked_at: BTreeSet<Delivery>,
    /// The orchestrator has not been told on this connection.
    released: Vec<Delivery>,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.looked_at.len()
    }

    pub(super) fn hold(&mut self, delivery: Delivery) {
        self.looked_at.insert(delivery);
    }

    /// For a delivery that is not held nothing happens.
    pub(super) fn release(&mut self, delivery: Delivery) {
        if self.looked_at.remove(&delivery) {
            self.released.push(delivery);
        }
    }

    /// A delivery that went back at once.
    pub(super) fn never_looked_at(&mut self, delivery: Delivery) {
        self.released.push(delivery);
    }

    /// As a Hello lists them.
    pub(super) fn list(&self) -> Vec<Delivery> {
        self.looked_at.iter().copied().collect()
    }

    /// A new connection, whose Hello says it all.
    pub(super) fn rewind(&mut self) {
        self.released.clear();
    }

    pub(super) fn flush(&mut self, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        while !self.released.is_empty() && writer.len_bytes() < WRITER_SIZE_BYTES_MAX {
            let later = self.released.split_off(self.released.len().min(HELD_MAX));
            let now = std::mem::replace(&mut self.released, later);
            writer.push_from_trainer(&FromTrainer::Release(now))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
