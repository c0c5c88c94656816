//! The last row of metrics of each attempt, kept small: evidence in case it does not succeed.

use std::sync::Arc;

use trainwire_protocol::message::Report;

use crate::record::{LastProgress, Scalar};

/// See the module.
pub(super) struct LastRow {
    /// Shared with the reports of the same shape.
    names: Arc<[String]>,
    values: Box<[f64]>,
    time_us: u64,
    step: Option<i64>,
    epoch: Option<f64>,
}

impl LastRow {
    pub(super) fn of(report: &Report) -> Option<Self> {
        let row = report.rows().last()?;
        Some(Self {
            names: Arc::clone(&report.names),
            values: row.values.iter().take(METRICS_MAX).copied().collect(),
            time_us: row.time_us,
            step: row.step,
            epoch: row.epoch,
        })
    }
}

impl From<LastRow> for LastProgress {
    fn from(row: LastRow) -> Self {
        let values = row.values.iter().map(|value| Scalar::Number(*value));
        let metrics = row.names.iter().cloned().zip(values).collect();
        Self { time_us: row.time_us, step: row.step, epoch: row.epoch, metrics }
    }
}

/// Bounds what one attempt adds to the journal.
const METRICS_MAX: usize = 64;
