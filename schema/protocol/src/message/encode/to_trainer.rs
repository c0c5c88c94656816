//! What an orchestrator says.

use super::{Encoder, at_most, milliseconds, short_milliseconds, start_of};
use crate::error::ProtocolError;
use crate::generated::wire;
use crate::limits::{IN_HAND_MAX, STRING_SIZE_BYTES_MAX};
use crate::message::{AckEntry, AckKind, Deliver, Place, Refused, Slab, Stop, Welcome};

impl Encoder {
    pub(crate) fn slab(&mut self, slab: &Slab) -> Result<(), ProtocolError> {
        self.builder.reset();
        let args = wire::SlabArgs { slab: slab.slab.0, size: slab.size };
        let root = wire::Slab::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(crate) fn deliver(&mut self, deliver: &Deliver) -> Result<(), ProtocolError> {
        self.builder.reset();
        let work = self.optional_string("Deliver.work", deliver.work.as_deref())?;
        let last_checkpoint = match &deliver.last_checkpoint {
            Some(checkpoint) => Some(self.checkpoint_ref(checkpoint)?),
            None => None,
        };
        let traceparent = self.optional_string("Deliver.traceparent", deliver.traceparent.as_deref())?;
        let (place, slab, offset) = match deliver.place {
            Place::Inline => (wire::Place::Inline, 0, 0),
            Place::Descriptor => (wire::Place::Descriptor, 0, 0),
            Place::Slab { slab, offset } => (wire::Place::Slab, slab.0, offset),
        };
        let args = wire::DeliverArgs {
            delivery: deliver.delivery.0,
            attempt: deliver.attempt,
            task_size: deliver.task_size,
            place,
            work,
            last_checkpoint,
            traceparent,
            time_left_ms: deliver.time_left.map(milliseconds),
            slab,
            offset,
        };
        let root = wire::Deliver::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(super) fn welcome(&mut self, welcome: &Welcome) -> Result<(), ProtocolError> {
        at_most("Welcome.in_hand", welcome.in_hand.len(), IN_HAND_MAX)?;
        let spool = self.optional_string("Welcome.spool", welcome.spool.as_deref())?;
        let in_hand =
            welcome.in_hand.iter().map(|(delivery, keep)| wire::KeptDelivery::new(delivery.0, *keep));
        let in_hand = Some(self.builder.create_vector_from_iter(in_hand));
        let args = wire::WelcomeArgs {
            protocol: welcome.protocol,
            heartbeat_ms: short_milliseconds(welcome.heartbeat),
            recv_timeout_ms: short_milliseconds(welcome.recv_timeout),
            orphan_timeout_ms: milliseconds(welcome.orphan_timeout),
            spool,
            in_hand,
            poll_us: u32::try_from(welcome.poll.as_micros()).unwrap_or(u32::MAX),
        };
        let root = wire::Welcome::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(super) fn refused(&mut self, refused: &Refused) -> Result<(), ProtocolError> {
        let code = Some(self.string("Refused.code", &refused.code)?);
        let text = Some(self.builder.create_string(start_of(&refused.text, STRING_SIZE_BYTES_MAX)));
        let args = wire::RefusedArgs {
            code,
            text,
            retry: if refused.retry_later { wire::RetryAdvice::Later } else { wire::RetryAdvice::Never },
            protocol_min: refused.protocol_min,
            protocol_max: refused.protocol_max,
        };
        let root = wire::Refused::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(super) fn ack(&mut self, entries: &[AckEntry]) -> Result<(), ProtocolError> {
        let entries = entries.iter().map(|entry| {
            let kind = match entry.kind {
                AckKind::Stored => wire::AckKind::Stored,
                AckKind::Superseded => wire::AckKind::Superseded,
            };
            wire::AckEntry::new(entry.delivery.0, entry.seq, kind)
        });
        let entries = Some(self.builder.create_vector_from_iter(entries));
        let root = wire::Ack::create(&mut self.builder, &wire::AckArgs { entries });
        self.finish(root)
    }

    pub(super) fn stop(&mut self, stop: &Stop) -> Result<(), ProtocolError> {
        let reason = Some(self.string("Stop.reason", &stop.reason)?);
        let args = wire::StopArgs {
            delivery: stop.delivery.0,
            reason,
            time_left_ms: milliseconds(stop.time_left),
            want_checkpoint: stop.want_checkpoint,
            dump_stacks: stop.dump_stacks,
        };
        let root = wire::Stop::create(&mut self.builder, &args);
        self.finish(root)
    }
}
