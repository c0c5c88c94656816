//! What the messages of an outbox weigh.

use std::ops::{AddAssign, SubAssign};

use crate::message::{FromTrainer, Metric, MetricValue, Outcome};

/// A number of things and the memory they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn exceeds(self, count: usize, bytes: usize) -> bool {
        self.count > count || self.bytes > bytes
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.count -= other.count;
        self.bytes -= other.bytes;
    }
}

/// About the memory a result or checkpoint takes, and at least what it takes in a frame.
pub(in crate::session) fn size_in_memory_bytes(message: &FromTrainer) -> usize {
    unacknowledged_size(message).bytes
}

/// Nothing for messages that are not kept.
pub(super) fn unacknowledged_size(message: &FromTrainer) -> Size {
    let (metrics, texts) = match message {
        FromTrainer::Checkpoint(checkpoint) => (&checkpoint.metrics, checkpoint.at.path.len()),
        FromTrainer::Result(result) => (
            &result.metrics,
            match &result.outcome {
                Outcome::Failed(error) | Outcome::Retry { error, .. } => {
                    error.kind.len() + error.text.len() + error.traceback.len()
                }
                Outcome::Returned { code } => code.len(),
                Outcome::Succeeded | Outcome::Stopped => 0,
            },
        ),
        _ => return Size::default(),
    };
    Size {
        count: 1,
        bytes: size_of::<FromTrainer>() + texts + metrics.iter().map(metric_size_bytes).sum::<usize>(),
    }
}

fn metric_size_bytes(metric: &Metric) -> usize {
    let text = match &metric.value {
        MetricValue::Number(_) => 0,
        MetricValue::Text(text) => text.len(),
    };
    size_of::<Metric>() + metric.name.len() + text
}
