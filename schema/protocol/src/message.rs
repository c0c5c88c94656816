//! The messages of the dialogue, typed by direction: one end cannot send the other end's messages.
//!
//! These are owned values; `encode` and `decode` turn them into the meta part of a frame and back.
//! Fields are described where a reader of the wire looks for them: in `messages.fbs` and on the
//! crate's front page.

pub(crate) mod decode;
mod delivery;
pub(crate) mod encode;
mod handshake;
mod report;
mod result;

use std::time::Duration;

use crate::frame::Kind;
use crate::id::Delivery;

pub use delivery::{CheckpointRef, Deliver, MOVED, Place, Slab, Stop};
pub use handshake::{Hello, InHand, InHandState, Refused, Role, Welcome};
pub use report::{Report, ReportRow};
pub use result::{AckEntry, AckKind, Checkpoint, Metric, MetricValue, Outcome, TaskResult, TrainerError};

/// What a trainer says to the orchestrator.
#[derive(Clone, Debug, PartialEq)]
pub enum FromTrainer {
    /// First on every connection.
    Hello(Hello),
    /// The trainer's code has been given the task. An attempt is charged from here.
    Started(Delivery),
    /// Rows of metrics.
    Report(Report),
    /// A checkpoint that is on disk.
    Checkpoint(Checkpoint),
    /// How a delivery ended.
    Result(TaskResult),
    /// Sent by a native thread, so it says that the process lives, not that it gets on.
    Heartbeat(Heartbeat),
    /// Nobody in the trainer's process looks at the bytes of these deliveries in a slab any more.
    Release(Vec<Delivery>),
    /// The trainer leaves on its own account.
    Bye(Bye),
}

impl FromTrainer {
    /// The kind of the frame that carries it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Started(_) => Kind::Started,
            Self::Report(_) => Kind::Report,
            Self::Checkpoint(_) => Kind::Checkpoint,
            Self::Result(_) => Kind::Result,
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Release(_) => Kind::Release,
            Self::Bye(_) => Kind::Bye,
        }
    }
}

/// What the orchestrator says to a trainer.
#[derive(Clone, Debug, PartialEq)]
pub enum ToTrainer {
    /// The answer to a Hello that is let in.
    Welcome(Welcome),
    /// The answer to a Hello that is not, or the reason for the end of a connection.
    Refused(Refused),
    /// Memory that later Delivers point into. Its descriptor comes with the frame.
    Slab(Slab),
    /// A task. Its bytes follow in the frame, come as a descriptor, or are in a slab.
    Deliver(Deliver),
    /// Results and checkpoints that are stored, or that no longer matter.
    Ack(Vec<AckEntry>),
    /// End this delivery.
    Stop(Stop),
    /// There is no more work; leave.
    Bye(Bye),
}

impl ToTrainer {
    /// The kind of the frame that carries it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Welcome(_) => Kind::Welcome,
            Self::Refused(_) => Kind::Refused,
            Self::Slab(_) => Kind::Slab,
            Self::Deliver(_) => Kind::Deliver,
            Self::Ack(_) => Kind::Ack,
            Self::Stop(_) => Kind::Stop,
            Self::Bye(_) => Kind::Bye,
        }
    }
}

/// See [`FromTrainer::Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The delivery the trainer's code works on.
    pub running: Option<Delivery>,
    /// Since the trainer's code last reported, ticked or finished something; zero while it has said
    /// that it is busy.
    pub progress_age: Duration,
}

/// The reason of an orderly end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// Stable, e.g. `job_done`, `exiting`.
    pub code: String,
    /// For people; may be empty.
    pub text: String,
}
