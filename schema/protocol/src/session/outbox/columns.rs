//! Rows of metrics in columns: a [`Report`] that grows, is thinned, and leaves frame by frame.

use std::ops::Range;
use std::sync::Arc;

use super::size::Size;
use crate::id::Delivery;
use crate::limits::{META_SIZE_BYTES_MAX, METRICS_MAX, STRING_SIZE_BYTES_MAX};
use crate::message::Report;

/// One call of `report()`. Its metrics are borrowed: of a shape seen before, nothing but the
/// numbers is copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// The optimizer step.
    pub step: Option<i64>,
    /// The epoch.
    pub epoch: Option<f64>,
    /// Names and values; the names are the row's shape, in this order.
    pub metrics: &'a [(&'a str, f64)],
}

/// Whether rows of the one can be appended to the other.
pub(super) fn same_shape(one: &Report, other: &Report) -> bool {
    one.steps.is_some() == other.steps.is_some()
        && one.epochs.is_some() == other.epochs.is_some()
        && (Arc::ptr_eq(&one.names, &other.names) || one.names == other.names)
}

/// Whether the row can be appended to this report.
pub(super) fn has_shape_of(report: &Report, row: &Row<'_>) -> bool {
    report.names.len() == row.metrics.len()
        && report.steps.is_some() == row.step.is_some()
        && report.epochs.is_some() == row.epoch.is_some()
        && report.names.iter().zip(row.metrics).all(|(name, (wanted, _))| name == wanted)
}

/// An empty report of the row's shape.
pub(super) fn with_shape_of(row: &Row<'_>, delivery: Delivery) -> Report {
    Report {
        names: row.metrics.iter().map(|(name, _)| (*name).to_owned()).collect(),
        steps: row.step.map(|_| Vec::new()),
        epochs: row.epoch.map(|_| Vec::new()),
        ..without_rows(delivery, 0)
    }
}

/// A report that only says that rows were left out.
pub(super) fn without_rows(delivery: Delivery, thinned: u64) -> Report {
    Report {
        delivery,
        names: Arc::default(),
        times_us: Vec::new(),
        steps: None,
        epochs: None,
        values: Vec::new(),
        thinned,
    }
}

/// Moves all rows of one report behind those of another of the same shape; `from` keeps its memory.
pub(super) fn append(to: &mut Report, from: &mut Report) {
    debug_assert!(same_shape(to, from));
    to.times_us.append(&mut from.times_us);
    if let (Some(to), Some(from)) = (&mut to.steps, &mut from.steps) {
        to.append(from);
    }
    if let (Some(to), Some(from)) = (&mut to.epochs, &mut from.epochs) {
        to.append(from);
    }
    to.values.append(&mut from.values);
    to.thinned += std::mem::take(&mut from.thinned);
}

/// Leaves out every other row between the first and the last, and counts them.
pub(super) fn thin(report: &mut Report) {
    let rows = report.times_us.len();
    let stays = |row: usize| row.is_multiple_of(2) || row + 1 == rows;
    let left_out = (0..rows).filter(|row| !stays(*row)).count();
    if left_out == 0 {
        return;
    }
    retain_rows(&mut report.times_us, 1, stays);
    if let Some(steps) = &mut report.steps {
        retain_rows(steps, 1, stays);
    }
    if let Some(epochs) = &mut report.epochs {
        retain_rows(epochs, 1, stays);
    }
    retain_rows(&mut report.values, report.names.len(), stays);
    report.thinned += left_out as u64;
}

/// How many of its rows fit one frame; at least one.
pub(super) fn rows_per_frame(report: &Report) -> usize {
    let room = REPORT_SIZE_BYTES_MAX.saturating_sub(shape_size_bytes(report));
    (room / row_size_bytes(report)).max(1)
}

/// Takes the first rows out, and what was said about rows before them.
pub(super) fn remove_first(report: &mut Report, rows: usize) {
    let Range { start, end } = 0..rows.min(report.times_us.len());
    report.times_us.drain(start..end);
    report.steps.iter_mut().for_each(|steps| drop(steps.drain(start..end)));
    report.epochs.iter_mut().for_each(|epochs| drop(epochs.drain(start..end)));
    report.values.drain(start..end * report.names.len());
    report.thinned = 0;
}

/// Whether it has nothing to say.
pub(super) fn is_empty(report: &Report) -> bool {
    report.times_us.is_empty() && report.thinned == 0
}

/// What a report weighs in the outbox and, at most, in a frame's meta part.
pub(super) fn size(report: &Report) -> Size {
    let rows = report.times_us.len();
    Size { count: rows, bytes: shape_size_bytes(report) + rows * row_size_bytes(report) }
}

/// The memory its columns hold, used or not.
pub(super) fn capacity_bytes(report: &Report) -> usize {
    let steps = report.steps.as_ref().map_or(0, Vec::capacity);
    let epochs = report.epochs.as_ref().map_or(0, Vec::capacity);
    (report.times_us.capacity() + steps + epochs + report.values.capacity()) * NUMBER_SIZE_BYTES
}

/// One more row of it.
pub(super) fn row_size_bytes(report: &Report) -> usize {
    let columns = 1 + usize::from(report.steps.is_some()) + usize::from(report.epochs.is_some());
    (columns + report.names.len()) * NUMBER_SIZE_BYTES
}

/// A report without rows.
pub(super) fn shape_size_bytes(report: &Report) -> usize {
    SHAPE_SIZE_BYTES + report.names.iter().map(|name| name_size_bytes(name)).sum::<usize>()
}

type Metrics<'a> = &'a [(&'a str, f64)];

/// The first metrics that fit one report together, and the rest.
///
/// A metric whose name is longer than [`STRING_SIZE_BYTES_MAX`] fits none: see [`is_nameable`].
pub(super) fn split_metrics<'a>(metrics: Metrics<'a>) -> (Metrics<'a>, Metrics<'a>) {
    let mut size_bytes = SHAPE_SIZE_BYTES + 3 * NUMBER_SIZE_BYTES;
    let fitting = metrics
        .iter()
        .take(METRICS_MAX)
        .take_while(|(name, _)| {
            size_bytes += name_size_bytes(name) + NUMBER_SIZE_BYTES;
            size_bytes <= REPORT_SIZE_BYTES_MAX
        })
        .count();
    metrics.split_at(fitting)
}

/// Whether a metric's name may travel.
pub(super) fn is_nameable(name: &str) -> bool {
    name.len() <= STRING_SIZE_BYTES_MAX
}

fn retain_rows<T: Copy>(column: &mut Vec<T>, width: usize, stays: impl Fn(usize) -> bool) {
    let mut at = 0;
    column.retain(|_| {
        let row = at / width;
        at += 1;
        stays(row)
    });
}

/// A FlatBuffers string: offset, length, NUL and padding come to 12 bytes at most.
fn name_size_bytes(name: &str) -> usize {
    name.len() + 12
}

/// Times, steps, epochs and values alike.
const NUMBER_SIZE_BYTES: usize = 8;

/// A Report's table, vtable and vector headers, generously.
const SHAPE_SIZE_BYTES: usize = 192;

/// The meta part of a frame less its padding.
const REPORT_SIZE_BYTES_MAX: usize = META_SIZE_BYTES_MAX - 8;

const _: () = assert!(
    SHAPE_SIZE_BYTES + STRING_SIZE_BYTES_MAX + 12 + 4 * NUMBER_SIZE_BYTES <= REPORT_SIZE_BYTES_MAX,
    "a row of one metric fits a frame, whatever its name, so that splitting a row comes to an end"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn report_of(rows: u64) -> Report {
        Report {
            names: ["a".to_owned(), "b".to_owned()].into(),
            times_us: (0..rows).collect(),
            steps: Some((0..rows as i64).collect()),
            values: (0..rows).flat_map(|row| [row as f64, -(row as f64)]).collect(),
            ..without_rows(Delivery(1), 0)
        }
    }

    #[test]
    fn thinning_keeps_first_and_last_and_counts() {
        let mut report = report_of(8);
        thin(&mut report);
        assert_eq!(report.times_us, [0, 2, 4, 6, 7]);
        assert_eq!(report.steps, Some(vec![0, 2, 4, 6, 7]));
        assert_eq!(report.values, [0., 0., 2., -2., 4., -4., 6., -6., 7., -7.]);
        assert_eq!(report.thinned, 3);
        thin(&mut report);
        assert_eq!(report.times_us, [0, 4, 7]);
        assert_eq!(report.thinned, 5);
        thin(&mut report);
        assert_eq!(report.times_us, [0, 7]);
        thin(&mut report);
        assert_eq!(report.thinned, 6);
    }

    #[test]
    fn first_rows_go_and_the_rest_stays() {
        let mut report = report_of(4);
        report.thinned = 3;
        remove_first(&mut report, 1);
        assert_eq!(report.times_us, [1, 2, 3]);
        assert_eq!(report.steps, Some(vec![1, 2, 3]));
        assert_eq!(report.values, [1., -1., 2., -2., 3., -3.]);
        assert_eq!(report.thinned, 0);
        let mut whole = report_of(1);
        append(&mut whole, &mut report);
        assert_eq!(whole, report_of(4));
        assert!(is_empty(&report));
    }

    #[test]
    fn a_row_larger_than_a_frame_is_split_by_its_metrics() {
        let names: Vec<String> = (0..1_500).map(|n| format!("{n:0100}")).collect();
        let metrics: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
        let (mut rest, mut seen) = (metrics.as_slice(), 0);
        while !rest.is_empty() {
            let (part, left) = split_metrics(rest);
            assert!(!part.is_empty() && part.len() <= METRICS_MAX);
            seen += part.len();
            rest = left;
        }
        assert_eq!(seen, 1_500);
    }
}
