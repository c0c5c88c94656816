//! Rows of metrics, in columns.

use std::sync::Arc;

use crate::error::ProtocolError;
use crate::id::Delivery;

/// Rows of metrics of one shape: the same names, all or none with a step, all or none with an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which delivery reports.
    pub delivery: Delivery,
    /// The columns of `values`. Reports of one shape that come one after the other share them.
    pub names: Arc<[String]>,
    /// One a row: microseconds since 1970-01-01T00:00:00Z.
    pub times_us: Vec<u64>,
    /// One a row, or none at all.
    pub steps: Option<Vec<i64>>,
    /// One a row, or none at all.
    pub epochs: Option<Vec<f64>>,
    /// `times_us.len() × names.len()`, row by row.
    pub values: Vec<f64>,
    /// Rows the sender left out since its last report of this delivery.
    pub thinned: u64,
}

/// One row of a [`Report`], read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportRow<'a> {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// The optimizer step, if it was given.
    pub step: Option<i64>,
    /// The epoch, if it was given.
    pub epoch: Option<f64>,
    /// Of the metrics, as many as `values`.
    pub names: &'a [String],
    /// In the order of `names`.
    pub values: &'a [f64],
}

impl Report {
    /// Its rows, in the order they were reported.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = ReportRow<'_>> {
        let width = self.names.len();
        self.times_us.iter().enumerate().map(move |(row, &time_us)| ReportRow {
            time_us,
            step: self.steps.as_ref().and_then(|steps| steps.get(row).copied()),
            epoch: self.epochs.as_ref().and_then(|epochs| epochs.get(row).copied()),
            names: &self.names,
            values: self.values.get(row * width..(row + 1) * width).unwrap_or_default(),
        })
    }

    /// Takes all rows out; names and memory stay for the next ones.
    pub(crate) fn forget_rows(&mut self) {
        self.times_us.clear();
        self.values.clear();
        self.steps.iter_mut().for_each(Vec::clear);
        self.epochs.iter_mut().for_each(Vec::clear);
        self.thinned = 0;
    }
}

impl<'a> ReportRow<'a> {
    /// Names and values.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = (&'a str, f64)> {
        self.names.iter().map(String::as_str).zip(self.values.iter().copied())
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.metrics().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The rule both ends hold a Report to: as many values as rows × names, and a step and an epoch for
/// every row or for none.
pub(super) fn check_shape(report: &Report) -> Result<(), ProtocolError> {
    let (names, times, values) = (report.names.len(), report.times_us.len(), report.values.len());
    let steps = report.steps.as_ref().map_or(0, Vec::len);
    let epochs = report.epochs.as_ref().map_or(0, Vec::len);
    let fits = |column: usize| column == 0 || column == times;
    if names.checked_mul(times) == Some(values) && fits(steps) && fits(epochs) {
        return Ok(());
    }
    Err(ProtocolError::BadReport { names, times, steps, epochs, values })
}
