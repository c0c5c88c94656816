//! The facts a journal holds. A committed record is also the event everyone reads: there is no
//! second list of what happened.
//!
//! Records are JSON in the database, so that the ordinary `sqlite3` shell shows them. Their shapes
//! only grow: fields are added with a default, variants are added, nothing is renamed.

mod ending;
mod metrics;
mod number;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::{JobSpec, StopReason};
use crate::planted;

pub use ending::{Ending, Exit, Next, TrainerFailure, Uptime};
pub use metrics::{LastProgress, Metrics, Scalar};
pub use number::{DeliveryNo, JobNo, Seq, TaskNo, TrainerNo};

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
        spec: Arc<JobSpec>,
    },
    /// A task of a job: one of those it was submitted with, or, while it is open, one more. Synced before
    /// it is answered; its bytes lie beside the journal's records.
    TaskSubmitted {
        /// Number.
        task: TaskNo,
        /// Whose.
        job: JobNo,
        /// Unique in the job.
        task_id: Arc<str>,
        /// For people.
        model_name: Arc<str>,
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
        boot_id: Arc<str>,
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
        instance: Arc<str>,
        /// The process that connected; under `uv run` or `bash -c` not the one that was started.
        pid: i32,
        /// Started by hand: no token, no respawn, signalled alone.
        attached: bool,
        /// Of one started by hand, as in `TrainerSpawned`; absent where it was gone already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_ticks: Option<u64>,
        /// The same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<Arc<str>>,
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
        path: Box<str>,
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
        /// What happened. Elsewhere: it is several times as large as the other records.
        ending: Box<Ending>,
        /// What becomes of the task.
        next: Next,
        /// Of one that did not succeed: the last that was heard of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_progress: Option<Box<LastProgress>>,
        /// Of one that is tried again after a wait: when that began, by the clock that nobody sets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits_since: Option<Box<Uptime>>,
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
        spec: Arc<JobSpec>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
