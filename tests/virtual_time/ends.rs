//! One session with what a shell needs around it.

use std::time::Instant;

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{FrameReader, FrameWriter};
use trainwire_protocol::id::{Instance, JobId};
use trainwire_protocol::message::Role;
use trainwire_protocol::session::{
    Identity, OrchestratorEvent, OrchestratorSession, OutboxLimits, Timeouts, TrainerEvent, TrainerSession,
};

use crate::bytes::reader;

pub(crate) struct TrainerEnd {
    pub(crate) session: TrainerSession,
    pub(crate) errors: Vec<ProtocolError>,
    /// A stopped process: it neither reads nor writes, and its timers do not fire.
    pub(crate) frozen: bool,
    /// It has closed its socket after an error.
    pub(crate) closed: bool,
    pub(crate) events: Vec<TrainerEvent>,
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
}

pub(crate) struct OrchestratorEnd {
    /// Of the newest connection.
    pub(crate) session: OrchestratorSession,
    pub(crate) errors: Vec<ProtocolError>,
    /// A stopped process: it neither reads nor writes, and its timers do not fire.
    pub(crate) frozen: bool,
    pub(crate) events: Vec<OrchestratorEvent>,
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
}

impl TrainerEnd {
    pub(crate) fn new() -> Self {
        let identity = Identity {
            job_id: JobId::new("digits").unwrap(),
            token: None,
            instance: Instance(1),
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: "virtual".to_owned(),
            can_dump_stacks: false,
        };
        Self {
            session: TrainerSession::new(identity, OutboxLimits::default()),
            errors: Vec::new(),
            frozen: false,
            closed: false,
            events: Vec::new(),
            reader: reader(),
            writer: FrameWriter::default(),
        }
    }
}

impl OrchestratorEnd {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            session: OrchestratorSession::new(now, Timeouts::default()),
            errors: Vec::new(),
            frozen: false,
            events: Vec::new(),
            reader: reader(),
            writer: FrameWriter::default(),
        }
    }
}
