//! The messages of the dialogue, typed by direction: one end cannot send the other end's messages.
//!
//! These are owned values; `encode` and `decode` turn them into the meta part of a frame and back.
//! Fields are described where a reader of the wire looks for them: in `messages.fbs` and on the
//! crate's front page.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ProtocolError;
use crate::frame::Kind;
use crate::id::{Delivery, Instance, JobId, SlabId, Token};
use crate::limits::SLAB_ALIGNMENT_BYTES;

pub(crate) mod decode;
pub(crate) mod encode;

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

/// See [`FromTrainer::Hello`].
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The lowest protocol version the trainer speaks.
    pub protocol_min: u16,
    /// The highest protocol version the trainer speaks.
    pub protocol_max: u16,
    /// The job the trainer believes it belongs to.
    pub job_id: JobId,
    /// Name and version of the trainer's software, for people.
    pub version: String,
    /// Absent for trainers attached by hand.
    pub token: Option<Token>,
    /// Chosen at random when the trainer's process first connects.
    pub instance: Instance,
    /// 1, 2, … for each connection of this instance; a higher number replaces a lower one.
    pub connection: u32,
    /// Replicas get what their primary gets, and decide nothing.
    pub role: Role,
    /// Its place in its group; 0 elsewhere.
    pub rank: u32,
    /// How many processes its group has, all of which show one token; 0 or 1 where it is alone.
    pub world_size: u32,
    /// How often the launcher of its group has started it anew.
    pub restart: u32,
    /// All deliveries in hand.
    pub in_hand: Vec<InHand>,
    /// Whether it writes the stacks of all threads to its standard error when a Stop asks for them, and at
    /// the signal SIGRTMAX − 1.
    pub can_dump_stacks: bool,
    /// Deliveries whose bytes in a slab may still be looked at.
    pub held: Vec<Delivery>,
}

/// A trainer's part in a distributed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reports and ends deliveries.
    Primary,
    /// Reads the same delivery.
    Replica,
}

/// One delivery a trainer has in hand when it says Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InHand {
    /// Which.
    pub delivery: Delivery,
    /// The highest sequence number used for a checkpoint or result of it; 0 for none.
    pub last_seq: u64,
    /// How far it is.
    pub state: InHandState,
}

/// How far a delivery in hand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InHandState {
    /// Not given to the trainer's code yet.
    Queued,
    /// With the trainer's code.
    Running,
    /// Its result waits for an Ack.
    Finished,
}

/// See [`ToTrainer::Welcome`].
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The version both will speak.
    pub protocol: u16,
    /// How often the trainer sends a heartbeat.
    pub heartbeat: Duration,
    /// Silence for which the other end is called unresponsive, and the time a frame may take.
    pub recv_timeout: Duration,
    /// How long a trainer goes on without an orchestrator before it checkpoints and exits.
    pub orphan_timeout: Duration,
    /// Folder for results that cannot be acknowledged.
    pub spool: Option<String>,
    /// For every delivery the Hello listed: `true` to go on, `false` to drop it.
    pub in_hand: Vec<(Delivery, bool)>,
    /// How long a trainer that waits polls its socket before it sleeps, in whole microseconds; zero for
    /// not at all.
    pub poll: Duration,
}

/// See [`ToTrainer::Refused`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable, for programs, e.g. `token_in_use`.
    pub code: String,
    /// For people: what was wrong and what to do.
    pub text: String,
    /// Whether trying again can help.
    pub retry_later: bool,
    /// The lowest protocol version the orchestrator speaks.
    pub protocol_min: u16,
    /// The highest protocol version the orchestrator speaks.
    pub protocol_max: u16,
}

/// See [`ToTrainer::Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slab {
    /// Which.
    pub slab: SlabId,
    /// All of it, in bytes.
    pub size: u64,
}

/// See [`ToTrainer::Deliver`].
#[derive(Clone, Debug, PartialEq)]
pub struct Deliver {
    /// Fences everything that comes back.
    pub delivery: Delivery,
    /// 1, 2, …: what people see.
    pub attempt: u32,
    /// The task's size in bytes, wherever it is.
    pub task_size: u64,
    /// Where the task is.
    pub place: Place,
    /// The task's folder, kept across attempts.
    pub work: Option<String>,
    /// The newest stored checkpoint of earlier attempts.
    pub last_checkpoint: Option<CheckpointRef>,
    /// W3C trace context of the submitter.
    pub traceparent: Option<String>,
    /// Time this attempt has; `None` for no limit.
    pub time_left: Option<Duration>,
}

/// Where the bytes of a delivered task are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the frame, after the meta part.
    Inline,
    /// In a sealed memory file, whose descriptor comes with the frame.
    Descriptor,
    /// In a slab the trainer has, until the trainer releases the delivery.
    Slab {
        /// The one sent last on this connection.
        slab: SlabId,
        /// The task's first byte in it, a multiple of 8.
        offset: u64,
    },
}

/// A checkpoint, as a later attempt is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRef {
    /// File or folder.
    pub path: String,
    /// The optimizer step it was taken at.
    pub step: Option<i64>,
    /// The epoch it was taken at.
    pub epoch: Option<f64>,
}

/// Rows of metrics of one shape: the same names, all or none with a step, all or none with an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which delivery reports.
    pub delivery: Delivery,
    /// The columns of `values`. Reports of one shape that come one after the other share them.
    pub names: Arc<[String]>,
    /// One a row: microseconds since 1970-01-01T00:00:00Z.
    pub times_us: Vec<u64>,
    /// One a row, or none at all.
    pub steps: Option<Vec<i64>>,
    /// One a row, or none at all.
    pub epochs: Option<Vec<f64>>,
    /// `times_us.len() × names.len()`, row by row.
    pub values: Vec<f64>,
    /// Rows the sender left out since its last report of this delivery.
    pub thinned: u64,
}

/// One row of a [`Report`], read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportRow<'a> {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// The optimizer step, if it was given.
    pub step: Option<i64>,
    /// The epoch, if it was given.
    pub epoch: Option<f64>,
    /// Of the metrics, as many as `values`.
    pub names: &'a [String],
    /// In the order of `names`.
    pub values: &'a [f64],
}

impl Report {
    /// Its rows, in the order they were reported.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = ReportRow<'_>> {
        let width = self.names.len();
        self.times_us.iter().enumerate().map(move |(row, &time_us)| ReportRow {
            time_us,
            step: self.steps.as_ref().and_then(|steps| steps.get(row).copied()),
            epoch: self.epochs.as_ref().and_then(|epochs| epochs.get(row).copied()),
            names: &self.names,
            values: self.values.get(row * width..(row + 1) * width).unwrap_or_default(),
        })
    }

    /// Takes all rows out; names and memory stay for the next ones.
    pub(crate) fn forget_rows(&mut self) {
        self.times_us.clear();
        self.values.clear();
        self.steps.iter_mut().for_each(Vec::clear);
        self.epochs.iter_mut().for_each(Vec::clear);
        self.thinned = 0;
    }
}

impl<'a> ReportRow<'a> {
    /// Names and values.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = (&'a str, f64)> {
        self.names.iter().map(String::as_str).zip(self.values.iter().copied())
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.metrics().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// See [`FromTrainer::Checkpoint`].
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Which delivery.
    pub delivery: Delivery,
    /// Unique in the delivery.
    pub seq: u64,
    /// What is on disk, where, when.
    pub at: CheckpointRef,
    /// E.g. the validation loss it was taken at.
    pub metrics: Vec<Metric>,
}

/// A named number or text.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// E.g. `val/loss`.
    pub name: String,
    /// What it is.
    pub value: MetricValue,
}

/// The value of a metric in a checkpoint or result.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Also integers and truth values.
    Number(f64),
    /// E.g. the path of the best model.
    Text(String),
}

/// See [`FromTrainer::Result`].
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    /// Which delivery.
    pub delivery: Delivery,
    /// Unique in the delivery.
    pub seq: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The result proper; of a stopped task what there was of it.
    pub metrics: Vec<Metric>,
}

/// How a trainer says a delivery ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The task is done.
    Succeeded,
    /// The trainer's code failed.
    Failed(TrainerError),
    /// The trainer's code saw a Stop and ended.
    Stopped,
    /// The trainer asks for another attempt.
    Retry {
        /// Why.
        error: TrainerError,
        /// Not before this.
        after: Option<Duration>,
    },
    /// The delivery never reached the trainer's code; it costs no attempt.
    Returned {
        /// Stable, e.g. `descriptor_missing`, `stopped_before_start`.
        code: String,
    },
}

/// A failure of the trainer's code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainerError {
    /// The exception's class, e.g. `ValueError`.
    pub kind: String,
    /// Its message.
    pub text: String,
    /// May be empty.
    pub traceback: String,
    /// The trainer asks not to be retried.
    pub fatal: bool,
    /// The launcher of its group starts it anew: the delivery goes on, unless the process group ends.
    pub restarts: bool,
}

/// One result or checkpoint that need not be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckEntry {
    /// Which delivery.
    pub delivery: Delivery,
    /// Which result or checkpoint of it.
    pub seq: u64,
    /// Why it need not be sent again.
    pub kind: AckKind,
}

/// Why a result or checkpoint need not be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// It is in the journal.
    Stored,
    /// The delivery is no longer the task's, or the result came twice; nothing was changed.
    Superseded,
}

/// See [`ToTrainer::Stop`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// This delivery and no other.
    pub delivery: Delivery,
    /// E.g. `cancelled`, `stalled`, `interrupted`.
    pub reason: String,
    /// Until the process is signalled.
    pub time_left: Duration,
    /// Whether a checkpoint is worth the time.
    pub want_checkpoint: bool,
    /// Whether to write the stacks of all threads to the log first.
    pub dump_stacks: bool,
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

impl Slab {
    /// Whether a task of `size` bytes may be at `offset` of the slab `slab`.
    pub fn holds(&self, slab: SlabId, offset: u64, size: u64) -> bool {
        slab == self.slab
            && offset.is_multiple_of(SLAB_ALIGNMENT_BYTES)
            && offset.checked_add(size).is_some_and(|end| end <= self.size)
    }
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

/// The rule both ends hold a Report to: as many values as rows × names, and a step and an epoch for
/// every row or for none.
fn check_shape(report: &Report) -> Result<(), ProtocolError> {
    let (names, times, values) = (report.names.len(), report.times_us.len(), report.values.len());
    let steps = report.steps.as_ref().map_or(0, Vec::len);
    let epochs = report.epochs.as_ref().map_or(0, Vec::len);
    let fits = |column: usize| column == 0 || column == times;
    if names.checked_mul(times) == Some(values) && fits(steps) && fits(epochs) {
        return Ok(());
    }
    Err(ProtocolError::BadReport { names, times, steps, epochs, values })
}
