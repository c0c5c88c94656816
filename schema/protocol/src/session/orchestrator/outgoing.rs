//! What waits to be sent to a trainer that is let in, and in which order it leaves.
//!
//! ```text
//!   Welcome │ Ack, Stop            │ Slab, Deliver, Deliver, Stop of that one, Deliver … │ Bye
//!   once    │ overtake the Delivers│ while the writer holds less than 256 KiB            │
//! ```

use std::collections::VecDeque;

use crate::error::ProtocolError;
use crate::frame::{DeliverPayload, FrameWriter};
use crate::message::{AckEntry, Bye, Deliver, Place, Slab, Stop, ToTrainer, Welcome};
use crate::session::outbox::WRITER_SIZE_BYTES_MAX;

#[derive(Debug)]
pub(super) struct Outgoing {
    /// Once, so elsewhere.
    welcome: Option<Box<Welcome>>,
    acks: Vec<AckEntry>,
    stops: Vec<Stop>,
    delivers: VecDeque<Queued>,
    /// The slab the trainer was told of last.
    shared: Option<Box<Slab>>,
    bye: Option<Box<Bye>>,
}

#[derive(Debug)]
enum Queued {
    /// With the token of its descriptor.
    Slab(Slab, u64),
    Deliver(Deliver, DeliverPayload),
    /// Behind the Deliver it is for: ahead of it, the trainer would ignore it.
    Stop(Stop),
}

impl Outgoing {
    pub(super) fn new(welcome: Welcome) -> Self {
        Self {
            welcome: Some(Box::new(welcome)),
            acks: Vec::new(),
            stops: Vec::new(),
            delivers: VecDeque::new(),
            shared: None,
            bye: None,
        }
    }

    pub(super) fn share(&mut self, slab: Slab, token: u64) {
        self.delivers.push_back(Queued::Slab(slab, token));
    }

    pub(super) fn deliver(&mut self, deliver: Deliver, payload: DeliverPayload) {
        self.delivers.push_back(Queued::Deliver(deliver, payload));
    }

    pub(super) fn stop(&mut self, stop: Stop) {
        let own = |queued: &Queued| matches!(queued, Queued::Deliver(deliver, _) if deliver.delivery == stop.delivery);
        match self.delivers.iter().position(own) {
            Some(at) => self.delivers.insert(at + 1, Queued::Stop(stop)),
            None => self.stops.push(stop),
        }
    }

    pub(super) fn ack(&mut self, entry: AckEntry) {
        self.acks.push(entry);
    }

    pub(super) fn bye(&mut self, bye: Bye) {
        self.bye = Some(Box::new(bye));
    }

    pub(super) fn transmit(&mut self, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        if let Some(welcome) = self.welcome.take() {
            writer.push_to_trainer(&ToTrainer::Welcome(*welcome))?;
        }
        while !self.acks.is_empty() {
            let later = self.acks.split_off(self.acks.len().min(ACKS_PER_FRAME));
            let acks = ToTrainer::Ack(std::mem::replace(&mut self.acks, later));
            writer.push_to_trainer(&acks)?;
            self.reuse(acks);
        }
        for stop in self.stops.drain(..) {
            writer.push_to_trainer(&ToTrainer::Stop(stop))?;
        }
        while writer.len_bytes() < WRITER_SIZE_BYTES_MAX {
            match self.delivers.pop_front() {
                Some(Queued::Slab(slab, token)) => {
                    writer.push_slab(&slab, token)?;
                    self.shared = Some(Box::new(slab));
                }
                Some(Queued::Deliver(deliver, payload)) => {
                    self.check_range(&deliver)?;
                    writer.push_deliver(&deliver, payload)?;
                }
                Some(Queued::Stop(stop)) => writer.push_to_trainer(&ToTrainer::Stop(stop))?,
                None => {
                    // Nor is memory kept for what it might be told.
                    self.delivers = VecDeque::new();
                    if let Some(bye) = self.bye.take() {
                        writer.push_to_trainer(&ToTrainer::Bye(*bye))?;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check_range(&self, deliver: &Deliver) -> Result<(), ProtocolError> {
        let Place::Slab { slab, offset } = deliver.place else { return Ok(()) };
        let size = deliver.task_size;
        match &self.shared {
            Some(shared) if shared.holds(slab, offset, size) => Ok(()),
            _ => Err(ProtocolError::BadRange { slab, offset, size }),
        }
    }

    /// The memory of an Ack serves the next one.
    fn reuse(&mut self, acks: ToTrainer) {
        if let ToTrainer::Ack(mut entries) = acks
            && self.acks.is_empty()
        {
            entries.clear();
            self.acks = entries;
        }
    }
}

/// 24 bytes each: well below the 64 KiB of a frame's meta part.
const ACKS_PER_FRAME: usize = 1_024;
