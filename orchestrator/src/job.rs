//! What a scheduler submits: a job with its limits, and its tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// The command need not know trainwire: each process is started for one task, whose parameters
    /// stand in `TRAINWIRE_PARAMS` as JSON, and its exit code is the outcome unless it connects.
    pub script: bool,
    /// Lets trainers started by hand join without a token. Default: only where `command` is empty.
    pub attach: bool,
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
    #[serde(with = "millis_option")]
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
            script: false,
            attach: false,
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

mod millis {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(from)?))
    }
}

mod millis_option {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::millis::serialize(value, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}
