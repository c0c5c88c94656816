//! What the Scheduler decides: records, and effects that rest on them.

use trainwire_protocol::id::Token;
use trainwire_protocol::message::{AckEntry, Bye, Deliver, Refused, Stop, Welcome};

use super::input::{ConnectionNo, Ticket};
use crate::record::{DeliveryNo, JobNo, Record, TaskNo, TrainerNo};

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
        /// Also for its environment: what it has for itself alone.
        slots: Vec<String>,
        /// Script jobs: the task whose parameters go into the environment, and its attempt.
        script_task: Option<(TaskNo, u32)>,
    },
    /// Let the trainer in.
    Welcome {
        /// Whom.
        connection: ConnectionNo,
        /// With what.
        welcome: Box<Welcome>,
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
        deliver: Box<Deliver>,
    },
    /// Acknowledge.
    Ack {
        /// To whom.
        connection: ConnectionNo,
        /// What.
        entry: AckEntry,
    },
    /// What lay in the spool for this delivery is in the journal, or of no use: remove it.
    Unspool {
        /// In whose folder.
        job: JobNo,
        /// Of which delivery.
        delivery: DeliveryNo,
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
    /// The trainer is dead: kill what is left of everything it started; answered by
    /// [`Input::Gone`](super::Input::Gone).
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
    /// The tasks are in the journal.
    Added {
        /// How many were new.
        added: usize,
        /// How many were there already, with the same bytes.
        existing: usize,
    },
    /// The tasks wait again.
    Requeued {
        /// How many.
        tasks: usize,
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
