//! What the Scheduler is told.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use trainwire_protocol::id::{JobId, Token};
use trainwire_protocol::message::{Bye, Checkpoint, Heartbeat, Hello, TaskResult};
use trainwire_protocol::task::VerifiedTask;

use crate::job::{JobSpec, StopReason};
use crate::record::{DeliveryNo, Exit, JobNo, TaskNo, TrainerFailure, TrainerNo};

/// The time, passed in.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Instant,
    /// For people.
    pub wall: SystemTime,
}

/// One connection of a trainer, numbered by the driver while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionNo(pub u64);

/// Whom to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What the Scheduler is told.
#[derive(Debug)]
pub enum Input {
    /// A job with its tasks. Answered with [`Answer::Submitted`](super::Answer::Submitted) or [`Answer::Rejected`](super::Answer::Rejected).
    Submit {
        /// Whom to answer.
        ticket: Ticket,
        /// Command and limits; its id is a valid [`JobId`].
        spec: Box<JobSpec>,
        /// At least one, unless the job is open.
        tasks: Vec<VerifiedTask>,
        /// That of the spec, checked.
        job_id: JobId,
    },
    /// More tasks for an open job, all or none of them. Answered with
    /// [`Answer::Added`](super::Answer::Added) or [`Answer::Rejected`](super::Answer::Rejected).
    Add {
        /// Whom to answer.
        ticket: Ticket,
        /// Which job.
        job: JobNo,
        /// Those that are there already are left out.
        tasks: Vec<VerifiedTask>,
    },
    /// No more tasks for an open job. Answered with [`Answer::Done`](super::Answer::Done), also where the
    /// job is not open.
    Close {
        /// Whom to answer.
        ticket: Ticket,
        /// Which job.
        job: JobNo,
    },
    /// Another chance for tasks that are dead or were stopped. Answered with
    /// [`Answer::Requeued`](super::Answer::Requeued).
    Requeue {
        /// Whom to answer.
        ticket: Ticket,
        /// Which job.
        job: JobNo,
        /// With their bytes. Those that are neither stay as they are.
        tasks: Vec<(TaskNo, VerifiedTask)>,
    },
    /// Other limits for a job. Answered with [`Answer::Done`](super::Answer::Done) or
    /// [`Answer::Rejected`](super::Answer::Rejected).
    Change {
        /// Whom to answer.
        ticket: Ticket,
        /// Which job.
        job: JobNo,
        /// All of them.
        spec: Box<JobSpec>,
    },
    /// Random tokens, so that the Scheduler need not make any.
    Tokens(Vec<Token>),
    /// Stop a job, or one task of it. Answered with [`Answer::Done`](super::Answer::Done) once the stop is under way.
    Stop {
        /// Whom to answer.
        ticket: Ticket,
        /// Which job.
        job: JobNo,
        /// One task, or all.
        task: Option<TaskNo>,
        /// Why; `Cancelled` makes `Cancelled`, `Interrupted` makes `Stopped`.
        reason: StopReason,
        /// SIGKILL at once instead of asking.
        kill: bool,
    },
    /// The job's socket is bound.
    Bound {
        /// Whose.
        job: JobNo,
    },
    /// The job's socket cannot be bound: the job fails.
    BindFailed {
        /// Whose.
        job: JobNo,
        /// Stable code and text.
        code: &'static str,
        /// For people.
        text: String,
    },
    /// A trainer process runs.
    Spawned {
        /// Which.
        trainer: TrainerNo,
        /// Also its group.
        pid: i32,
        /// See [`Record::TrainerSpawned`](crate::record::Record::TrainerSpawned).
        start_ticks: u64,
        /// See [`Record::TrainerSpawned`](crate::record::Record::TrainerSpawned).
        boot_id: Arc<str>,
        /// Where its output goes.
        log: String,
    },
    /// A trainer process ended, one started by hand included, or could not be started
    /// ([`Exit::NotStarted`]).
    Exited {
        /// Which.
        trainer: TrainerNo,
        /// How.
        exit: Exit,
        /// The last lines of its output.
        log_tail: String,
        /// What is known beyond an exit code that is not 0, e.g. the first exception among the ranks.
        failure: Option<TrainerFailure>,
    },
    /// Nothing is left of a trainer that has ended, nor of what it started: the answer to
    /// [`Effect::Forget`](super::Effect::Forget).
    Gone {
        /// Which.
        trainer: TrainerNo,
    },
    /// A Hello; its connection awaits [`Effect::Welcome`](super::Effect::Welcome) or [`Effect::Refuse`](super::Effect::Refuse).
    Hello {
        /// On which connection.
        connection: ConnectionNo,
        /// Of the job whose socket it is.
        job: JobNo,
        /// What it says.
        hello: Box<Hello>,
        /// The peer's process.
        pid: i32,
    },
    /// A trainer that speaks no version of the protocol we speak was refused. If one of the job's own
    /// trainers then ends without a Hello, that was it, and the job fails at once.
    VersionMismatch {
        /// Of the job whose socket it is.
        job: JobNo,
        /// Both ranges, for people.
        text: String,
    },
    /// The trainer's code was given a delivery.
    Started {
        /// Fences with the delivery.
        connection: ConnectionNo,
        /// Which.
        delivery: DeliveryNo,
    },
    /// Rows were reported (they go to the metrics file and the subscribers without the Scheduler).
    Progress {
        /// Fences with the delivery.
        connection: ConnectionNo,
        /// Which.
        delivery: DeliveryNo,
    },
    /// A checkpoint.
    Checkpoint {
        /// Fences with the delivery.
        connection: ConnectionNo,
        /// What it says.
        checkpoint: Checkpoint,
    },
    /// A result.
    Result {
        /// Fences with the delivery.
        connection: ConnectionNo,
        /// What it says.
        result: TaskResult,
    },
    /// What a trainer left in the spool, because nobody acknowledged it. Answered with
    /// [`Effect::Unspool`](super::Effect::Unspool).
    Spooled {
        /// In whose folder it lay.
        job: JobNo,
        /// Of which delivery.
        delivery: DeliveryNo,
        /// In the order in which it was said.
        spooled: Vec<Spooled>,
    },
    /// Forwarded only for jobs with a stall timeout.
    Heartbeat {
        /// Fences with the delivery.
        connection: ConnectionNo,
        /// What it says.
        heartbeat: Heartbeat,
    },
    /// The trainer leaves on its own account: no more work for it.
    Bye {
        /// Which.
        connection: ConnectionNo,
        /// What it says.
        bye: Bye,
    },
    /// Nothing came for `recv_timeout`.
    Quiet {
        /// Which.
        connection: ConnectionNo,
    },
    /// Something came again.
    Heard {
        /// Which.
        connection: ConnectionNo,
    },
    /// The connection is gone.
    Disconnected {
        /// Which.
        connection: ConnectionNo,
        /// The code of the error that ended it; `None` for an end of file.
        code: Option<&'static str>,
    },
    /// Everything the connection's socket held is in: the answer to [`Effect::Drain`](super::Effect::Drain).
    Drained {
        /// Which.
        connection: ConnectionNo,
    },
    /// A job that has ended need not be remembered any more.
    Forget {
        /// Which.
        job: JobNo,
    },
    /// A deadline may have passed, see `poll_timeout`.
    Timeout,
}

/// What is kept until it is acknowledged.
#[derive(Debug, PartialEq)]
pub enum Spooled {
    /// A checkpoint.
    Checkpoint(Checkpoint),
    /// A result.
    Result(TaskResult),
}
