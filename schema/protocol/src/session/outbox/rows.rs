//! Rows of metrics on their way into Report frames: one [`Report`] a shape, its columns reused.

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

/// Whether the row can be appended to this report.
pub(super) fn has_shape_of(report: &Report, row: &Row<'_>) -> bool {
    report.names.len() == row.metrics.len()
        && report.steps.is_some() == row.step.is_some()
        && report.epochs.is_some() == row.epoch.is_some()
        && report.names.iter().zip(row.metrics).all(|(name, (wanted, _))| name == wanted)
}

/// An empty report of the row's shape, made out of `spare` if there is one.
pub(super) fn with_shape_of(row: &Row<'_>, delivery: Delivery, spare: Option<Report>) -> Report {
    let mut report = spare.unwrap_or_else(|| without_rows(delivery, 0));
    report.delivery = delivery;
    if !has_shape_of(&report, row) {
        report.names.clear();
        report.names.extend(row.metrics.iter().map(|(name, _)| (*name).to_owned()));
        report.steps = row.step.map(|_| Vec::new());
        report.epochs = row.epoch.map(|_| Vec::new());
    }
    report
}

/// A report that only says that rows were left out.
pub(super) fn without_rows(delivery: Delivery, thinned: u64) -> Report {
    Report {
        delivery,
        names: Vec::new(),
        times_us: Vec::new(),
        steps: None,
        epochs: None,
        values: Vec::new(),
        thinned,
    }
}

/// Appends a row of the report's shape and says by how much the report grew.
pub(super) fn push(report: &mut Report, row: &Row<'_>) -> Size {
    debug_assert!(has_shape_of(report, row));
    report.times_us.push(row.time_us);
    if let (Some(steps), Some(step)) = (&mut report.steps, row.step) {
        steps.push(step);
    }
    if let (Some(epochs), Some(epoch)) = (&mut report.epochs, row.epoch) {
        epochs.push(epoch);
    }
    report.values.extend(row.metrics.iter().map(|(_, value)| *value));
    Size { count: 1, bytes: row_size_bytes(row.metrics.len()) }
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

/// Takes the rows that fit one frame off the front; `None` if all of them do.
pub(super) fn split_frame_off(report: &mut Report) -> Option<Report> {
    let rows = (REPORT_SIZE_BYTES_MAX - shape_size_bytes(report)) / row_size_bytes(report.names.len());
    if report.times_us.len() <= rows {
        return None;
    }
    Some(Report {
        delivery: report.delivery,
        names: report.names.clone(),
        times_us: report.times_us.drain(..rows).collect(),
        steps: report.steps.as_mut().map(|steps| steps.drain(..rows).collect()),
        epochs: report.epochs.as_mut().map(|epochs| epochs.drain(..rows).collect()),
        values: report.values.drain(..rows * report.names.len()).collect(),
        thinned: std::mem::take(&mut report.thinned),
    })
}

/// Takes all rows out; names and memory stay for the next ones.
pub(super) fn clear(report: &mut Report) {
    report.times_us.clear();
    report.values.clear();
    report.steps.iter_mut().for_each(Vec::clear);
    report.epochs.iter_mut().for_each(Vec::clear);
    report.thinned = 0;
}

/// What a report weighs in the outbox and, at most, in a frame's meta part.
pub(super) fn size(report: &Report) -> Size {
    let rows = report.times_us.len();
    Size { count: rows, bytes: shape_size_bytes(report) + rows * row_size_bytes(report.names.len()) }
}

type Metrics<'a> = &'a [(&'a str, f64)];

/// The first metrics that fit one report together, and the rest.
///
/// A metric whose name is longer than [`STRING_SIZE_BYTES_MAX`] fits none: see [`is_nameable`].
pub(super) fn split_metrics<'a>(metrics: Metrics<'a>) -> (Metrics<'a>, Metrics<'a>) {
    let mut size_bytes = SHAPE_SIZE_BYTES + row_size_bytes(0);
    let fitting = metrics
        .iter()
        .take(METRICS_MAX)
        .take_while(|(name, _)| {
            size_bytes += name_size_bytes(name) + size_of::<f64>();
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

fn shape_size_bytes(report: &Report) -> usize {
    SHAPE_SIZE_BYTES + report.names.iter().map(|name| name_size_bytes(name)).sum::<usize>()
}

/// A FlatBuffers string: offset, length, NUL and padding come to 12 bytes at most.
fn name_size_bytes(name: &str) -> usize {
    name.len() + 12
}

/// Time, step and epoch at most, and the values.
fn row_size_bytes(metrics: usize) -> usize {
    (3 + metrics) * size_of::<f64>()
}

/// A Report's table, vtable and vector headers, generously.
const SHAPE_SIZE_BYTES: usize = 192;

/// The meta part of a frame less its padding.
const REPORT_SIZE_BYTES_MAX: usize = META_SIZE_BYTES_MAX - 8;

const _: () = assert!(
    SHAPE_SIZE_BYTES + STRING_SIZE_BYTES_MAX + 12 + 4 * 8 <= REPORT_SIZE_BYTES_MAX,
    "a row of one metric fits a frame, whatever its name, so that splitting a row comes to an end"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn report_of(rows: u64) -> Report {
        let mut report: Option<Report> = None;
        for time_us in 0..rows {
            let metrics = [("a", time_us as f64), ("b", -(time_us as f64))];
            let row = Row { time_us, step: Some(time_us as i64), epoch: None, metrics: &metrics };
            push(report.get_or_insert_with(|| with_shape_of(&row, Delivery(1), None)), &row);
        }
        report.unwrap()
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
    fn a_report_larger_than_a_frame_is_split() {
        let mut report = report_of(5_000);
        report.thinned = 3;
        let whole = report.clone();
        let mut joined = split_frame_off(&mut report).unwrap();
        assert!(size(&joined).bytes <= META_SIZE_BYTES_MAX);
        while let Some(part) = split_frame_off(&mut report) {
            assert_eq!(part.thinned, 0);
            joined.times_us.extend(part.times_us);
            joined.steps.as_mut().unwrap().extend(part.steps.unwrap());
            joined.values.extend(part.values);
        }
        joined.times_us.extend(report.times_us);
        joined.steps.as_mut().unwrap().extend(report.steps.unwrap());
        joined.values.extend(report.values);
        assert_eq!(joined, whole);
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
