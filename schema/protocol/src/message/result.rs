//! What is kept until it is acknowledged, and the acknowledgement.

use std::time::Duration;

use crate::id::Delivery;

use super::CheckpointRef;

/// See [`FromTrainer::Checkpoint`](super::FromTrainer::Checkpoint).
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

/// See [`FromTrainer::Result`](super::FromTrainer::Result).
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
