//! The limits of a job: the same names, units and defaults as keys of a spec and as flags.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde_json::{Map, Value};
use trainwire::job::JobSpec;
use trainwire::limits::IN_HAND_MAX;

use crate::duration;

/// What was said; the library's defaults hold for the rest.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Trainers at a time [default: 1]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=TRAINERS_MAX.into()))]
    trainers: Option<u32>,
    /// Tasks one trainer may hold while its recent tasks are short [default: 1]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=WINDOW_MAX.into()))]
    window: Option<u32>,
    /// Microseconds to poll for an answer before sleeping: faster with a core to spare for each end, slower without [default: 0]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(0..=POLL_US_MAX.into()))]
    poll_us: Option<u32>,
    /// GPUs, or other --slots, each trainer has for itself: named in CUDA_VISIBLE_DEVICES [default: 0]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(0..=SLOTS_MAX.into()))]
    gpus: Option<u32>,
    /// The same for what is no GPU; a key of specs alone.
    #[arg(skip)]
    slots: Option<u32>,
    /// Failures of the trainer's code (an exception, an exit code) after which a task is given up [default: 1]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    max_failures: Option<u32>,
    /// Attempts lost to crashes, silence and stalls after which a task is given up [default: 3]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    max_losses: Option<u32>,
    /// Silence after which a trainer is shown as unresponsive, and the time a frame may take [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    recv_timeout: Option<Duration>,
    /// From the start of a trainer until it connects [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    start_timeout: Option<Duration>,
    /// Time without progress after which a task is stopped and tried again [default: off]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    stall_timeout: Option<Duration>,
    /// Silence after which a trainer is killed and its task tried again [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    lost_timeout: Option<Duration>,
    /// From asking a trainer to stop until SIGTERM [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    stop_grace: Option<Duration>,
    /// From SIGTERM until SIGKILL [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    term_grace: Option<Duration>,
    /// How long a trainer goes on when trainwire is gone [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    orphan_timeout: Option<Duration>,
    /// The wait before a second attempt; it doubles with each further one [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_min: Option<Duration>,
    /// The longest wait between attempts [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_max: Option<Duration>,
    /// Whether a trainer is replaced after a failed task: a CUDA error stays in its process [default: true]
    #[arg(long, value_name = "BOOL")]
    pub(crate) replace_after_failure: Option<bool>,
}

/// A limit by its key in a spec.
pub(crate) enum Slot<'a> {
    /// From 1 up to the maximum.
    Count(&'a mut Option<u32>, u32),
    /// From 0 up to the maximum.
    Amount(&'a mut Option<u32>, u32),
    /// Whether nothing is allowed.
    Duration(&'a mut Option<Duration>, bool),
}

impl Limits {
    /// The limit of this name, if it is one.
    pub(crate) fn slot(&mut self, key: &str) -> Option<Slot<'_>> {
        Some(match key {
            "trainers" => Slot::Count(&mut self.trainers, TRAINERS_MAX),
            "window" => Slot::Count(&mut self.window, WINDOW_MAX),
            "poll_us" => Slot::Amount(&mut self.poll_us, POLL_US_MAX),
            "gpus" => Slot::Amount(&mut self.gpus, SLOTS_MAX),
            "slots" => Slot::Amount(&mut self.slots, SLOTS_MAX),
            "max_failures" => Slot::Count(&mut self.max_failures, u32::MAX),
            "max_losses" => Slot::Count(&mut self.max_losses, u32::MAX),
            "recv_timeout" => Slot::Duration(&mut self.recv_timeout, false),
            "start_timeout" => Slot::Duration(&mut self.start_timeout, false),
            "stall_timeout" => Slot::Duration(&mut self.stall_timeout, false),
            "lost_timeout" => Slot::Duration(&mut self.lost_timeout, false),
            "stop_grace" => Slot::Duration(&mut self.stop_grace, true),
            "term_grace" => Slot::Duration(&mut self.term_grace, true),
            "orphan_timeout" => Slot::Duration(&mut self.orphan_timeout, true),
            "backoff_min" => Slot::Duration(&mut self.backoff_min, true),
            "backoff_max" => Slot::Duration(&mut self.backoff_max, true),
            _ => return None,
        })
    }

    /// What was said, as a [`JobSpec`] is said in JSON: durations in milliseconds.
    pub(crate) fn said(mut self) -> Map<String, Value> {
        let keys = match serde_json::to_value(JobSpec::default()) {
            Ok(Value::Object(spec)) => spec,
            _ => Map::new(),
        };
        let replace =
            self.replace_after_failure.map(|said| ("replace_after_failure".to_owned(), said.into()));
        let said = keys.into_iter().filter_map(|(key, _)| {
            let value: Value = match self.slot(&key)? {
                Slot::Count(said, _) | Slot::Amount(said, _) => (*said)?.into(),
                Slot::Duration(said, _) => u64::try_from((*said)?.as_millis()).ok()?.into(),
            };
            Some((key, value))
        });
        said.chain(replace).collect()
    }

    /// Puts what was said into the job.
    pub(crate) fn apply_to(&self, spec: &mut JobSpec) {
        fn set<T: Copy>(place: &mut T, said: Option<T>) {
            if let Some(value) = said {
                *place = value;
            }
        }
        set(&mut spec.trainers, self.trainers);
        set(&mut spec.window, self.window);
        set(&mut spec.poll_us, self.poll_us);
        set(&mut spec.gpus, self.gpus);
        set(&mut spec.slots, self.slots);
        set(&mut spec.max_failures, self.max_failures);
        set(&mut spec.max_losses, self.max_losses);
        set(&mut spec.recv_timeout, self.recv_timeout);
        set(&mut spec.start_timeout, self.start_timeout);
        set(&mut spec.stall_timeout, self.stall_timeout.map(Some));
        set(&mut spec.lost_timeout, self.lost_timeout);
        set(&mut spec.stop_grace, self.stop_grace);
        set(&mut spec.term_grace, self.term_grace);
        set(&mut spec.orphan_timeout, self.orphan_timeout);
        set(&mut spec.backoff_min, self.backoff_min);
        set(&mut spec.backoff_max, self.backoff_max);
        set(&mut spec.replace_after_failure, self.replace_after_failure);
    }
}

/// Far more processes than one machine trains with; catches a slip of the finger.
const TRAINERS_MAX: u32 = 1_024;

/// More than one machine has; catches a slip of the finger.
const SLOTS_MAX: u32 = 1_024;

/// What the library takes.
const POLL_US_MAX: u32 = 1_000;

/// What a trainer lists in one Hello.
const WINDOW_MAX: u32 = 1_024;
const _: () = assert!(WINDOW_MAX as usize == IN_HAND_MAX);
