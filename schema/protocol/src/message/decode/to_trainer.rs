//! What an orchestrator says.

use std::time::Duration;

use super::{Decoded, UNKNOWN, at_most, bad, delivery, optional_string, slab_id, string};
use crate::error::ProtocolError;
use crate::frame::Kind;
use crate::generated::wire;
use crate::limits::IN_HAND_MAX;
use crate::message::{AckEntry, AckKind, CheckpointRef, Deliver, Place, Refused, Slab, Stop, Welcome};

pub(super) fn welcome(welcome: wire::Welcome<'_>) -> Decoded<Welcome> {
    if welcome.heartbeat_ms() == 0 {
        return Err(bad("Welcome.heartbeat_ms", "must be at least 1"));
    }
    if welcome.recv_timeout_ms() == 0 {
        return Err(bad("Welcome.recv_timeout_ms", "must be at least 1"));
    }
    let in_hand = welcome.in_hand().unwrap_or_default();
    at_most("Welcome.in_hand", in_hand.len(), IN_HAND_MAX)?;
    let kept =
        |entry: &wire::KeptDelivery| Ok((delivery("Welcome.in_hand", entry.delivery())?, entry.keep()));
    Ok(Welcome {
        protocol: welcome.protocol(),
        heartbeat: Duration::from_millis(welcome.heartbeat_ms().into()),
        recv_timeout: Duration::from_millis(welcome.recv_timeout_ms().into()),
        orphan_timeout: Duration::from_millis(welcome.orphan_timeout_ms()),
        spool: optional_string("Welcome.spool", welcome.spool())?,
        in_hand: in_hand.iter().map(kept).collect::<Decoded<_>>()?,
        poll: Duration::from_micros(welcome.poll_us().into()),
    })
}

pub(super) fn refused(refused: wire::Refused<'_>) -> Decoded<Refused> {
    Ok(Refused {
        code: string("Refused.code", refused.code())?,
        text: string("Refused.text", refused.text())?,
        // Advice a later version may add is taken as the safe one: do not come back.
        retry_later: refused.retry() == wire::RetryAdvice::Later,
        protocol_min: refused.protocol_min(),
        protocol_max: refused.protocol_max(),
    })
}

pub(super) fn slab(slab: wire::Slab<'_>) -> Decoded<Slab> {
    Ok(Slab { slab: slab_id("Slab.slab", slab.slab())?, size: slab.size() })
}

pub(super) fn deliver(deliver: wire::Deliver<'_>, descriptor: bool) -> Decoded<Deliver> {
    let place = match deliver.place() {
        wire::Place::Inline => Place::Inline,
        wire::Place::Descriptor => Place::Descriptor,
        wire::Place::Slab => {
            Place::Slab { slab: slab_id("Deliver.slab", deliver.slab())?, offset: deliver.offset() }
        }
        _ => return Err(bad("Deliver.place", UNKNOWN)),
    };
    if descriptor != (place == Place::Descriptor) {
        let flags = u8::from(descriptor);
        return Err(ProtocolError::BadFlags { flags, kind: Kind::Deliver });
    }
    let last_checkpoint = match deliver.last_checkpoint() {
        Some(checkpoint) => Some(CheckpointRef {
            path: string("CheckpointRef.path", checkpoint.path())?,
            step: checkpoint.step(),
            epoch: checkpoint.epoch(),
        }),
        None => None,
    };
    Ok(Deliver {
        delivery: delivery("Deliver.delivery", deliver.delivery())?,
        attempt: deliver.attempt(),
        task_size: deliver.task_size(),
        place,
        work: optional_string("Deliver.work", deliver.work())?,
        last_checkpoint,
        traceparent: optional_string("Deliver.traceparent", deliver.traceparent())?,
        time_left: deliver.time_left_ms().map(Duration::from_millis),
    })
}

pub(super) fn ack(ack: wire::Ack<'_>) -> Decoded<Vec<AckEntry>> {
    let entry = |entry: &wire::AckEntry| {
        let kind = match entry.kind() {
            wire::AckKind::Stored => AckKind::Stored,
            wire::AckKind::Superseded => AckKind::Superseded,
            _ => return Err(bad("Ack.entries", UNKNOWN)),
        };
        Ok(AckEntry { delivery: delivery("Ack.entries", entry.delivery())?, seq: entry.seq(), kind })
    };
    ack.entries().iter().map(entry).collect()
}

pub(super) fn stop(stop: wire::Stop<'_>) -> Decoded<Stop> {
    Ok(Stop {
        delivery: delivery("Stop.delivery", stop.delivery())?,
        reason: string("Stop.reason", stop.reason())?,
        time_left: Duration::from_millis(stop.time_left_ms()),
        want_checkpoint: stop.want_checkpoint(),
        dump_stacks: stop.dump_stacks(),
    })
}
