//! The facts a journal holds. A committed record is also the event everyone reads: there is no
//! second list of what happened.
//!
//! Records are JSON in the database, so that the ordinary `sqlite3` shell shows them. Their shapes
//! only grow: fields are added with a default, variants are added, nothing is renamed.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::job::{JobSpec, StopReason};
use crate::planted;

/// The place of a record in the journal, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first record.
    pub const START: Self = Self(0);
}

/// A job's number, from 1 on across the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobNo(pub u64);

/// A task's number, from 1 on across the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskNo(pub u64);

/// A trainer's number, from 1 on across the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrainerNo(pub u64);

/// The number of a delivery, from 1 on across the journal; see
/// [`trainwire_protocol::id::Delivery`].
pub type DeliveryNo = u64;

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A job came in with its limits. Synced before it is answered, together with its tasks.
    JobSubmitted {
        /// Number.
        job: JobNo,
        /// Command and limits.
        spec: Box<JobSpec>,
    },
    /// A task of a job: one of those it was submitted with, or, while it is open, one more. Synced before
    /// it is answered; its bytes lie beside the journal's records.
    TaskSubmitted {
        /// Number.
        task: TaskNo,
        /// Whose.
        job: JobNo,
        /// Unique in the job.
        task_id: String,
        /// For people.
        model_name: String,
        /// The epochs it will run.
        max_epochs: i32,
        /// Bytes of the buffer.
        size_bytes: u64,
    },
    /// An open job takes no more tasks: it was closed, stopped, or has failed. Synced before it is answered.
    JobClosed {
        /// Which.
        job: JobNo,
    },
    /// A trainer is about to be started: written before the fork, so that none runs unknown.
    TrainerSpawning {
        /// Number.
        trainer: TrainerNo,
        /// Whose.
        job: JobNo,
        /// What it will show at its first Hello, in hexadecimal.
        token: String,
        /// What it has for itself alone, e.g. GPUs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        slots: Vec<String>,
    },
    /// It runs.
    TrainerSpawned {
        /// Which.
        trainer: TrainerNo,
        /// The process that was started; also its group.
        pid: i32,
        /// Of `/proc/{pid}/stat`, in clock ticks since boot: with the boot id it tells the process
        /// from a later one of the same number.
        start_ticks: u64,
        /// Of `/proc/sys/kernel/random/boot_id`.
        boot_id: String,
        /// Where its output goes.
        log: String,
    },
    /// The first Hello bound the token, or a trainer started by hand joined. Synced before Welcome.
    TrainerBound {
        /// Number.
        trainer: TrainerNo,
        /// Whose.
        job: JobNo,
        /// Of the trainer's process, in hexadecimal.
        instance: String,
        /// The process that connected; under `uv run` or `bash -c` not the one that was started.
        pid: i32,
        /// Started by hand: no token, no respawn, signalled alone.
        attached: bool,
        /// Of one started by hand, as in `TrainerSpawned`; absent where it was gone already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_ticks: Option<u64>,
        /// The same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        /// How often the launcher of its group (torchrun) has started it anew. Above 0 the same trainer may
        /// have been bound before: what it has in hand is handed to it again.
        #[serde(default, skip_serializing_if = "is_zero")]
        restart: u32,
    },
    /// What is to be seen of a trainer changed, without consequence yet.
    TrainerNoticed {
        /// Which.
        trainer: TrainerNo,
        /// What.
        condition: Condition,
    },
    /// The trainer is gone.
    TrainerEnded {
        /// Which.
        trainer: TrainerNo,
        /// How.
        exit: Exit,
        /// It never said Hello although it should have; three in a row fail the job.
        start_failed: bool,
    },
    /// Nothing is left of a trainer that had slots, nor of what it started: they are free.
    SlotsFreed {
        /// Which.
        trainer: TrainerNo,
    },
    /// A task was handed to a trainer.
    Delivered {
        /// Number; fences everything that comes back.
        delivery: DeliveryNo,
        /// What.
        task: TaskNo,
        /// To whom.
        trainer: TrainerNo,
        /// 1, 2, …: as people count.
        attempt: u32,
        /// Where in the trainer's log its output begins, in bytes; absent where there is no log of ours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_from: Option<u64>,
    },
    /// The trainer's code has it: from here the attempt is charged.
    Started {
        /// Which.
        delivery: DeliveryNo,
    },
    /// A checkpoint is on disk. Synced before it is acknowledged.
    Checkpointed {
        /// Which.
        delivery: DeliveryNo,
        /// Unique in the delivery.
        seq: u64,
        /// File or folder.
        path: String,
        /// Optimizer step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<i64>,
        /// Epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<f64>,
        /// E.g. the loss it was taken at.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metrics: Metrics,
    },
    /// A delivery is being stopped, one rung further on the ladder.
    Stopping {
        /// Which.
        delivery: DeliveryNo,
        /// Why.
        reason: StopReason,
        /// How far.
        rung: Rung,
    },
    /// 30 seconds after SIGKILL the process is still there; its slot stays taken.
    Stuck {
        /// Which.
        delivery: DeliveryNo,
    },
    /// A delivery is over, and what that makes of its task. Synced before it is acknowledged.
    Ended {
        /// Which.
        delivery: DeliveryNo,
        /// Of the result; absent where none came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        /// What happened.
        ending: Ending,
        /// What becomes of the task.
        next: Next,
        /// Of one that did not succeed: the last that was heard of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_progress: Option<Box<LastProgress>>,
    },
    /// A task ended without a delivery: cancelled while it waited, or its job failed.
    Closed {
        /// Which.
        task: TaskNo,
        /// What becomes of it; never [`Next::Queued`].
        next: Next,
    },
    /// Something came for a delivery that is over; nothing was changed.
    Superseded {
        /// Which.
        delivery: DeliveryNo,
        /// Of the result or checkpoint.
        seq: u64,
    },
    /// A job that had ended is not remembered any more: what was recorded of it is deleted. The numbers are the
    /// highest that were given by then, so that none is given twice.
    JobForgotten {
        /// Which.
        job: JobNo,
        /// Of jobs.
        jobs: u64,
        /// Of tasks.
        tasks: u64,
        /// Of trainers.
        trainers: u64,
        /// Of deliveries.
        deliveries: u64,
    },
    /// A task that had ended dead or stopped is tried again, with new budgets; its job too, if it had ended.
    /// Synced before it is answered.
    Requeued {
        /// Which.
        task: TaskNo,
    },
    /// The limits of a job were changed. Synced before it is answered.
    LimitsChanged {
        /// Which.
        job: JobNo,
        /// All of them, as they are now.
        spec: Box<JobSpec>,
    },
    /// All tasks of a job that takes no more have ended, and its trainers are gone.
    JobEnded {
        /// Which.
        job: JobNo,
    },
}

impl Record {
    /// Whether it must be on the disk, and not only in the log, before anything follows from it. What is
    /// answered or acknowledged must survive a power cut; what only says how far something is need not.
    pub fn must_sync(&self) -> bool {
        if planted::is("result-not-synced") && matches!(self, Self::Ended { .. }) {
            return false;
        }
        match self {
            Self::JobSubmitted { .. }
            | Self::TaskSubmitted { .. }
            | Self::JobClosed { .. }
            | Self::TrainerBound { .. }
            | Self::Checkpointed { .. }
            | Self::Ended { .. }
            | Self::Closed { .. }
            | Self::Requeued { .. }
            | Self::LimitsChanged { .. }
            | Self::JobEnded { .. } => true,
            Self::TrainerSpawning { .. }
            | Self::TrainerSpawned { .. }
            | Self::TrainerNoticed { .. }
            | Self::TrainerEnded { .. }
            | Self::SlotsFreed { .. }
            | Self::Delivered { .. }
            | Self::Started { .. }
            | Self::Stopping { .. }
            | Self::Stuck { .. }
            | Self::JobForgotten { .. }
            | Self::Superseded { .. } => false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The last row of metrics an attempt reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastProgress {
    /// When: microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// Optimizer step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    /// The first 64 of its metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Metrics,
}

/// Named numbers and texts.
pub type Metrics = Vec<(String, Scalar)>;

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// Also integers and truth values. Not a number and the infinities are `null` in JSON.
    Number(#[serde(deserialize_with = "null_is_nan")] f64),
    /// E.g. a path.
    Text(String),
}

/// What is to be seen of a trainer, without consequence yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Heard again.
    Responsive,
    /// Nothing came for `recv_timeout`; the process exists.
    Unresponsive,
    /// Its connection is gone; the process exists.
    Detached,
}

/// How far the stop ladder has been climbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// A Stop message was sent.
    Asked,
    /// SIGTERM was sent to the group.
    Terminated,
    /// SIGKILL was sent to the group.
    Killed,
}

/// How a process ended, as far as it can be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Exit {
    /// It was never started.
    NotStarted {
        /// The operating system's words.
        error: String,
        /// Trying again cannot help: there is no such program, no such folder, the arguments are too long.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hopeless: bool,
    },
    /// It ended by itself.
    Code {
        /// 0 to 255.
        code: i32,
    },
    /// A signal ended it.
    Signal {
        /// Its number.
        signal: i32,
        /// A core file was written.
        core_dumped: bool,
        /// The kernel's out-of-memory killer sent it.
        out_of_memory: bool,
    },
    /// Not our child, and the kernel does not tell.
    Unknown,
}

/// What ended a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// The task is done.
    Succeeded {
        /// The result.
        #[serde(default)]
        metrics: Metrics,
    },
    /// The trainer's code failed: an exception, an exit code, no result. Charged to `max_failures`.
    Failed {
        /// What it said.
        error: TrainerFailure,
        /// How the process ended, where that is the evidence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
    },
    /// The trainer asked for another attempt. Charged to `max_failures`.
    Retry {
        /// What it said.
        error: TrainerFailure,
        /// Not before this.
        after: Option<Duration>,
    },
    /// The process died under it. Charged to `max_losses`.
    Crashed {
        /// How.
        exit: Exit,
    },
    /// Nothing was heard for `lost_timeout`; killed. Charged to `max_losses`.
    Lost,
    /// Heartbeats, but no progress for `stall_timeout`; stopped. Charged to `max_losses`.
    Stalled,
    /// The trainer saw a Stop and ended, or was made to. Charged to nothing.
    Stopped {
        /// Why.
        reason: StopReason,
        /// What there was of a result.
        #[serde(default)]
        metrics: Metrics,
        /// The rung it took.
        rung: Rung,
    },
    /// It never reached the trainer's code, or fell with another. Charged to nothing; ten in a row end the task.
    Returned {
        /// Stable, e.g. `descriptor_missing`, `trainer_gone`.
        code: String,
    },
}

/// A failure of the trainer's code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainerFailure {
    /// The exception's class, e.g. `ValueError`; `exit` where a code is all there is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its message.
    pub text: String,
    /// May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub traceback: String,
    /// The trainer asked not to be retried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fatal: bool,
}

/// What becomes of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "next", rename_all = "snake_case")]
pub enum Next {
    /// It waits for another delivery.
    Queued {
        /// At least this long.
        after: Duration,
    },
    /// Terminal: the result is in.
    Succeeded,
    /// Terminal: cancelled before or while it ran.
    Cancelled,
    /// Terminal: stopped while it ran, e.g. by an interrupt; may be queued again by hand.
    Stopped,
    /// Terminal: out of budget; a dead letter.
    Dead {
        /// In words, e.g. "failed once, max_failures is 1".
        cause: String,
        /// The last lines of the trainer's output.
        #[serde(default)]
        log_tail: String,
    },
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { error, .. } => write!(f, "not started: {error}"),
            Self::Code { code } => {
                write!(f, "exit code {code}")?;
                // 128 and the signal; a program may choose such a code itself.
                let signal = code.checked_sub(128).and_then(|signal| Signal::try_from(signal).ok());
                signal.map_or(Ok(()), |signal| {
                    write!(f, " (from a shell: its child was killed by {})", signal.as_str())
                })
            }
            Self::Signal { signal, core_dumped, out_of_memory } => {
                match Signal::try_from(*signal) {
                    Ok(known) => write!(f, "killed by {}", known.as_str())?,
                    Err(_) => write!(f, "killed by signal {signal}")?,
                }
                f.write_str(if *out_of_memory { " (out of memory)" } else { "" })?;
                f.write_str(if *core_dumped { " (core dumped)" } else { "" })
            }
            Self::Unknown => f.write_str("ended, how is unknown"),
        }
    }
}

impl fmt::Display for TrainerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.as_str(), self.text.as_str()) {
            (kind, "") => f.write_str(kind),
            // All there is.
            ("exit" | "", text) => f.write_str(text),
            (kind, text) => write!(f, "{kind}: {text}"),
        }
    }
}

fn null_is_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
