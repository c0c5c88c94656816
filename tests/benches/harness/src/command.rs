//! The dialogue between the benchmark and a contestant.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Cores, Work};

/// What a contestant is started with: its arguments, in this order.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The interpreter of its receiver.
    pub python: PathBuf,
    /// Where the two ends run.
    pub cores: Cores,
    /// `tests/benches/receivers`.
    pub receivers: PathBuf,
}

impl Setup {
    /// From `PYTHON CORES RECEIVERS`.
    pub fn from_arguments(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut arguments = arguments.into_iter();
        let mut next = |name| arguments.next().unwrap_or_else(|| panic!("the argument {name} is missing"));
        Self {
            python: next("PYTHON").into(),
            cores: Cores::from_name(&next("CORES")).expect("\"one core\" or \"two cores\""),
            receivers: next("RECEIVERS").into(),
        }
    }
}

/// What a contestant is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Tasks one after another, each after the answer to the one before.
    Transfers {
        /// Of the hyperparams, a multiple of 8.
        size_bytes: usize,
        count: usize,
        /// Before those that count.
        warm_up: usize,
        /// Produced where it is sent from, rather than on the heap.
        in_place: bool,
        work: Work,
    },
    /// Tasks as fast as they go, each answered, at most [`STREAM_WINDOW`](crate::STREAM_WINDOW) unanswered.
    Stream { size_bytes: usize, count: usize },
    /// What one task adds to the receiver's peak memory when it is only looked at.
    Memory { size_bytes: usize, in_place: bool },
}

/// The answer to the command of the same name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The receiver is connected.
    Ready,
    Transfers(Transfers),
    Stream {
        seconds: f64,
    },
    Memory {
        peak_growth_bytes: u64,
    },
}

/// In microseconds, one each transfer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transfers {
    /// From the bytes being produced until the receiver has read four fields and has a NumPy view.
    pub read_us: Vec<f64>,
    /// From the bytes being produced until the receiver has touched every page ([`Work::Sum`] only).
    pub touched_us: Vec<f64>,
    /// From asking for memory to produce the bytes in until the receiver has its view.
    pub total_us: Vec<f64>,
    /// From the bytes being produced until the answer is back.
    pub answered_us: Vec<f64>,
}
