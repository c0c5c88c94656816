//! A trainer's session, far enough to report.

use std::time::Instant;

use bytes::Bytes;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Delivery, Instance, JobId};
use trainwire_protocol::message::{Deliver, Place, Role, ToTrainer, Welcome};
use trainwire_protocol::session::{Identity, OutboxLimits, TrainerSession};

pub(crate) const DELIVERY: Delivery = Delivery(1);

/// A session in the middle of a task.
pub(crate) fn running(now: Instant) -> TrainerSession {
    let identity = Identity {
        job_id: JobId::new("job").expect("a job id"),
        token: None,
        instance: Instance(1),
        role: Role::Primary,
        rank: 0,
        world_size: 0,
        restart: 0,
        version: String::new(),
        can_dump_stacks: false,
    };
    let mut session = TrainerSession::new(identity, OutboxLimits::default());
    session.connected(now);
    session.poll_transmit(now, &mut FrameWriter::default()).expect("a Hello");
    let mut writer = FrameWriter::default();
    let welcome = Welcome::default();
    writer.push_to_trainer(&ToTrainer::Welcome(welcome)).expect("a Welcome");
    let deliver = Deliver::new(DELIVERY, 8, Place::Inline);
    writer.push_deliver(&deliver, DeliverPayload::Inline(Bytes::from(vec![0; 8]).into())).expect("a Deliver");
    let mut reader = FrameReader::new(ReaderLimits::default());
    for slice in writer.io_slices().iter() {
        reader.spare()[..slice.len()].copy_from_slice(slice);
        reader.advance(slice.len());
    }
    while let Some(frame) = reader.next().expect("whole frames") {
        session.handle_frame(now, &frame).expect("an honest orchestrator");
    }
    while session.poll_event().is_some() {}
    assert!(session.start(now, DELIVERY));
    session
}
