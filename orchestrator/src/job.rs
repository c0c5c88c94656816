//! What a scheduler submits: a job with its limits, and its tasks.

mod check;
mod millis;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::template::{NAMES as PLACEHOLDERS, placeholders};
pub use check::{SLAB_SIZE_BYTES_MAX, SLAB_SIZE_BYTES_MIN, SpecError};

/// Why a delivery is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody cancelled the task or job.
    Cancelled,
    /// Somebody interrupted the run; checkpoints are worth the time.
    Interrupted,
    /// No progress for `stall_timeout`.
    Stalled,
    /// Nothing heard for `lost_timeout`.
    Lost,
    /// What it has reported is not worth its time: the search goes on without it.
    Pruned,
}

/// What of a job survives its orchestrator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// Everything: tasks are on the disk, fsynced, before their submission is answered. Of those above
    /// 64 KiB that means a file each, written at the speed of the disk.
    #[default]
    Durable,
    /// Everything but the bytes of tasks above 64 KiB, which stay in memory alone: a submission waits for
    /// no disk. They are lost when the orchestrator ends before such a task does; the journal knows which
    /// they are, and a later orchestrator ends them as `payload_lost` instead of running them.
    Volatile,
}

/// A job as it lies in the journal: the command and its limits, without the tasks.
///
/// Durations are in whole milliseconds in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JobSpec {
    /// See [`trainwire_protocol::id::JobId`].
    pub job_id: String,
    /// Program and arguments; empty for a job that only trainers started by hand work off.
    pub command: Vec<String>,
    /// Added to the orchestrator's own environment.
    pub environment: BTreeMap<String, String>,
    /// Where the command runs; the orchestrator's own folder unless set.
    pub working_dir: Option<PathBuf>,
    /// Trainers at a time. Default 1.
    pub trainers: u32,
    /// Deliveries one trainer may hold while its recent tasks are short. Default 1.
    pub window: u32,
    /// Microseconds for which both ends look at the socket again and again before they sleep, when an
    /// answer is due: the trainer in `next()` and `finish()`, the orchestrator after a task was sent.
    /// Default 0: they sleep at once. At most 1,000.
    ///
    /// Waking a sleeper is most of a short task's round trip across cores; with a core to spare for each
    /// end, polling takes it away. Where both ends share a core it hurts: who polls keeps the other off
    /// it, so that a round trip takes about twice this time. The cores burn CPU time meanwhile.
    pub poll_us: u32,
    /// The command need not know trainwire: each process is started for one task, whose parameters
    /// stand in `TRAINWIRE_PARAMS` as JSON, and its exit code is the outcome unless it connects. In its
    /// arguments `{name}` stands for a parameter, or for one of [`PLACEHOLDERS`]; such a process gets no
    /// further task, even if it connects. [`placeholders`] has the rules.
    pub script: bool,
    /// Lets trainers started by hand join without a token. Default: only where `command` is empty.
    ///
    /// Without a command one that has nothing to do stays until the job is done: no other can be started
    /// for a task that comes back.
    pub attach: bool,
    /// Tasks may come as long as it is open: see [`JobHandle::submit`](crate::JobHandle::submit). It ends
    /// after [`JobHandle::close`](crate::JobHandle::close), once all its tasks have.
    pub open: bool,
    /// Whether large tasks are written to the disk. Default yes. Without meaning where the journal is in
    /// memory.
    pub durability: Durability,
    /// Bytes of memory its large tasks share and use again, instead of sealed memory of each one's own;
    /// `None`, the default, for none. It spares the cost of fresh pages, which is what large tasks cost, and
    /// asks trainers to trust the orchestrator. Tasks that find no room in it, and those for trainers started
    /// by hand or that left the process group they were started in, travel in sealed memory all the same.
    /// A view that a trainer keeps takes room until it is dropped, and until the trainer's end where it was
    /// alive at a fork.
    pub slab: Option<u64>,
    /// GPUs each trainer has for itself: that many of the orchestrator's [slots](crate::Config::slots), named in
    /// `CUDA_VISIBLE_DEVICES` and `TRAINWIRE_SLOTS`. They go to the next trainer when nothing is left of this
    /// one. Default 0: it takes none, and sees what the orchestrator sees. Trainers started by hand get none.
    pub gpus: u32,
    /// As [`gpus`](Self::gpus), for slots that are no GPUs: `CUDA_VISIBLE_DEVICES` stays as it is. A job has
    /// the one or the other. Default 0.
    pub slots: u32,
    /// Drain a trainer after a failed task and start another. Default true: a CUDA error sticks.
    pub replace_after_failure: bool,
    /// Failures of the trainer's code after which a task is dead. Default 1: no retry.
    pub max_failures: u32,
    /// Deliveries lost to crashes, silence and stalls after which a task is dead. Default 3.
    pub max_losses: u32,
    /// Silence after which a trainer is shown as unresponsive, and the time a frame may take. Default 5 s.
    #[serde(with = "millis")]
    pub recv_timeout: Duration,
    /// From start to Hello. Default 60 s.
    #[serde(with = "millis")]
    pub start_timeout: Duration,
    /// Heartbeats without progress after which a task is stopped; `None`, the default, for never.
    #[serde(with = "millis::option")]
    pub stall_timeout: Option<Duration>,
    /// Silence after which a trainer is killed. Default 60 s.
    #[serde(with = "millis")]
    pub lost_timeout: Duration,
    /// From a Stop message to SIGTERM. Default 30 s.
    #[serde(with = "millis")]
    pub stop_grace: Duration,
    /// From SIGTERM to SIGKILL. Default 5 s.
    #[serde(with = "millis")]
    pub term_grace: Duration,
    /// How long a trainer goes on without an orchestrator. Default 10 min.
    #[serde(with = "millis")]
    pub orphan_timeout: Duration,
    /// The wait before a second attempt; it doubles with each further one. Default 1 s.
    #[serde(with = "millis")]
    pub backoff_min: Duration,
    /// The longest wait between attempts. Default 60 s.
    #[serde(with = "millis")]
    pub backoff_max: Duration,
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            job_id: String::new(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            working_dir: None,
            trainers: 1,
            window: 1,
            poll_us: 0,
            script: false,
            attach: false,
            open: false,
            durability: Durability::Durable,
            slab: None,
            gpus: 0,
            slots: 0,
            replace_after_failure: true,
            max_failures: 1,
            max_losses: 3,
            recv_timeout: Duration::from_secs(5),
            start_timeout: Duration::from_secs(60),
            stall_timeout: None,
            lost_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(30),
            term_grace: Duration::from_secs(5),
            orphan_timeout: Duration::from_secs(600),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}

impl JobSpec {
    /// Whether it is the same job as `other`, with other limits at most.
    pub(crate) fn differs_in_limits_alone(&self, other: &Self) -> bool {
        let limits = self.clone();
        let same = Self {
            trainers: limits.trainers,
            window: limits.window,
            poll_us: limits.poll_us,
            gpus: limits.gpus,
            slots: limits.slots,
            replace_after_failure: limits.replace_after_failure,
            max_failures: limits.max_failures,
            max_losses: limits.max_losses,
            recv_timeout: limits.recv_timeout,
            start_timeout: limits.start_timeout,
            stall_timeout: limits.stall_timeout,
            lost_timeout: limits.lost_timeout,
            stop_grace: limits.stop_grace,
            term_grace: limits.term_grace,
            orphan_timeout: limits.orphan_timeout,
            backoff_min: limits.backoff_min,
            backoff_max: limits.backoff_max,
            ..other.clone()
        };
        same == *self
    }

    /// Whether the command's arguments say for which task a process is.
    pub(crate) fn is_template(&self) -> bool {
        let mut arguments = self.command.iter().skip(1);
        self.script && arguments.any(|argument| placeholders(argument).next().is_some())
    }
}
