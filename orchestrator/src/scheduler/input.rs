//! What goes into the Scheduler and what comes out.

use std::time::{Instant, SystemTime};

use trainwire_protocol::id::{JobId, Token};
use trainwire_protocol::message::{
    AckEntry, Bye, Checkpoint, Deliver, Heartbeat, Hello, Refused, Stop, TaskResult, Welcome,
};
use trainwire_protocol::task::VerifiedTask;

use crate::job::{JobSpec, StopReason};
use crate::record::{DeliveryNo, Exit, JobNo, Record, TaskNo, TrainerNo};

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
    /// A job with its tasks. Answered with [`Answer::Submitted`] or [`Answer::Rejected`].
    Submit {
        /// Whom to answer.
        ticket: Ticket,
        /// Command and limits; its id is a valid [`JobId`].
        spec: Box<JobSpec>,
        /// At least one.
        tasks: Vec<VerifiedTask>,
        /// That of the spec, checked.
        job_id: JobId,
    },
    /// Random tokens, so that the Scheduler need not make any.
    Tokens(Vec<Token>),
    /// Stop a job, or one task of it. Answered with [`Answer::Done`] once the stop is under way.
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
        /// See [`Record::TrainerSpawned`].
        start_ticks: u64,
        /// See [`Record::TrainerSpawned`].
        boot_id: String,
        /// Where its output goes.
        log: String,
    },
    /// A trainer process ended, or could not be started ([`Exit::NotStarted`]).
    Exited {
        /// Which.
        trainer: TrainerNo,
        /// How.
        exit: Exit,
        /// The last lines of its output.
        log_tail: String,
    },
    /// A Hello; its connection awaits [`Effect::Welcome`] or [`Effect::Refuse`].
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
    /// Everything the connection's socket held is in: the answer to [`Effect::Drain`].
    Drained {
        /// Which.
        connection: ConnectionNo,
    },
    /// A deadline may have passed, see `poll_timeout`.
    Timeout,
}

/// What the Scheduler decided.
#[derive(Debug, Default)]
pub struct Decision {
    /// To commit, in order.
    pub records: Vec<Record>,
    /// To perform, in order, after the records are committed.
    pub effects: Vec<Effect>,
}

/// What the driver does for the Scheduler. Each is harmless when its object is gone meanwhile.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Answer a request.
    Answer {
        /// Whom.
        ticket: Ticket,
        /// What.
        answer: Answer,
    },
    /// Bind the job's socket; answered by `Bound` or `BindFailed`.
    Bind {
        /// Whose.
        job: JobNo,
    },
    /// Close and remove the job's socket: the job has ended.
    Unbind {
        /// Whose.
        job: JobNo,
    },
    /// Start a trainer; answered by `Spawned`, or `Exited` with `NotStarted`.
    Spawn {
        /// Number.
        trainer: TrainerNo,
        /// Whose command.
        job: JobNo,
        /// For its environment.
        token: Token,
        /// Script jobs: the task whose parameters go into the environment, and its attempt.
        script_task: Option<(TaskNo, u32)>,
    },
    /// Let the trainer in.
    Welcome {
        /// Whom.
        connection: ConnectionNo,
        /// With what.
        welcome: Welcome,
    },
    /// Refuse it, then close.
    Refuse {
        /// Whom.
        connection: ConnectionNo,
        /// Why.
        refused: Refused,
    },
    /// Send a task. `place`, `task_size` and `work` are filled in by the driver.
    Deliver {
        /// To whom.
        connection: ConnectionNo,
        /// Which.
        task: TaskNo,
        /// With what.
        deliver: Deliver,
    },
    /// Acknowledge.
    Ack {
        /// To whom.
        connection: ConnectionNo,
        /// What.
        entry: AckEntry,
    },
    /// Ask for an end.
    Stop {
        /// Whom.
        connection: ConnectionNo,
        /// Of what.
        stop: Stop,
    },
    /// No more work.
    Bye {
        /// To whom.
        connection: ConnectionNo,
        /// Why.
        bye: Bye,
    },
    /// A newer connection took its place: close it.
    Close {
        /// Which.
        connection: ConnectionNo,
    },
    /// Read the socket until it would block, feed everything, then say `Drained`. For a connection
    /// that is gone `Drained` follows at once.
    Drain {
        /// Which.
        connection: ConnectionNo,
    },
    /// Signal the trainer's group, or the process alone where it was started by hand.
    Signal {
        /// Which.
        trainer: TrainerNo,
        /// With what.
        signal: Signal,
    },
    /// The trainer is dead: signal what is left of its own group, close its log.
    Forget {
        /// Which.
        trainer: TrainerNo,
    },
}

/// A signal of the stop ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The job is in the journal.
    Submitted {
        /// Its number.
        job: JobNo,
        /// The same id with the same bytes was there already.
        existing: bool,
    },
    /// It is not.
    Rejected {
        /// Stable, e.g. `job_conflict`.
        code: &'static str,
        /// For people.
        text: String,
    },
    /// Under way.
    Done,
}
