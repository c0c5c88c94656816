//! How processes and deliveries end, and what becomes of their tasks.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::{Metrics, Rung};
use crate::job::StopReason;

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

/// A moment by the clock of one boot of the machine, which nobody can set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// Of `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Since that boot, suspensions included.
    pub passed: Duration,
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
        cause: Box<str>,
        /// The last lines of the trainer's output.
        #[serde(default)]
        log_tail: Box<str>,
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
