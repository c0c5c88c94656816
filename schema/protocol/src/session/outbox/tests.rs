#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use super::*;
use crate::message::{AckKind, TaskResult};
use crate::session::testing::decode_from_trainer;

fn outbox(rows_max: usize) -> (Instant, Outbox) {
    (Instant::now(), Outbox::new(OutboxLimits { rows_max, ..OutboxLimits::default() }))
}

fn row<'a>(time_us: u64, metrics: &'a [(&'a str, f64)]) -> Row<'a> {
    Row { time_us, step: Some(1), epoch: None, metrics }
}

fn sent(outbox: &mut Outbox, now: Instant) -> Vec<FromTrainer> {
    let mut writer = FrameWriter::default();
    outbox.flush(now, &mut writer).unwrap();
    decode_from_trainer(&mut writer)
}

fn reports(outbox: &mut Outbox, now: Instant) -> Vec<Report> {
    let report = |message| match message {
        FromTrainer::Report(report) => Some(report),
        _ => None,
    };
    sent(outbox, now).into_iter().filter_map(report).collect()
}

fn result(delivery: u64, seq: u64) -> FromTrainer {
    FromTrainer::Result(TaskResult {
        delivery: Delivery(delivery),
        seq,
        outcome: Outcome::Succeeded,
        metrics: Vec::new(),
    })
}

/// A trainer that reports, as fast as it can, to a session whose writer takes nothing.
fn push(outbox: &mut Outbox, rows: &mut RowBuffer, row: Row<'_>) {
    rows.push_row(Delivery(1), row);
    if rows.then(row.time_us, false) == Then::Send {
        take(outbox, rows);
    }
}

fn take(outbox: &mut Outbox, rows: &mut RowBuffer) {
    rows.take(|report| outbox.push_rows(report));
}

fn rows() -> RowBuffer {
    RowBuffer::new(RowLimits::default())
}

#[test]
fn rows_are_grouped_by_shape() {
    let (start, mut outbox) = outbox(1_000);
    let mut rows = rows();
    for time_us in 0..10 {
        rows.push_row(Delivery(1), row(time_us, &[("a", 1.0)]));
        rows.push_row(Delivery(1), row(time_us, &[("b", 1.0)]));
        let with_epoch = Row { epoch: Some(0.5), ..row(time_us, &[("b", 1.0)]) };
        rows.push_row(Delivery(1), with_epoch);
        if time_us == 5 {
            take(&mut outbox, &mut rows);
        }
    }
    rows.push_row(Delivery(2), row(1, &[("a", 1.0)]));
    take(&mut outbox, &mut rows);
    let reports = reports(&mut outbox, start);
    assert_eq!(reports.iter().map(|report| report.times_us.len()).collect::<Vec<_>>(), [10, 10, 10, 1]);
}

#[test]
fn reporting_on_reuses_columns() {
    let (start, mut outbox) = outbox(1_000);
    let mut rows = rows();
    let mut places = Vec::new();
    for round in 0..4 {
        for time_us in 0..100 {
            rows.push_row(Delivery(1), row(time_us, &[("a", 1.0), ("b", 2.0)]));
        }
        take(&mut outbox, &mut rows);
        let Some(FromTrainer::Report(report)) = outbox.ready.front() else { panic!("round {round}") };
        places.push((report.names.as_ptr(), report.times_us.as_ptr(), report.values.as_ptr()));
        assert_eq!(reports(&mut outbox, start).len(), 1);
    }
    // Two reports change places: one is filled while the other one is sent.
    assert_eq!(places[2], places[0]);
    assert_eq!(places[3], places[1]);
}

#[test]
fn a_full_outbox_is_thinned_and_counted() {
    let (start, mut outbox) = outbox(100);
    let mut rows = RowBuffer::new(RowLimits { rows_max: 20, ..RowLimits::default() });
    for time_us in 0..10_000 {
        push(&mut outbox, &mut rows, row(time_us, &[("a", 1.0)]));
        assert!(outbox.rows.count <= 100);
    }
    take(&mut outbox, &mut rows);
    let reports = reports(&mut outbox, start);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].times_us.first(), Some(&0));
    assert_eq!(reports[0].times_us.last(), Some(&9_999));
    assert_eq!(reports[0].times_us.len() as u64 + reports[0].thinned, 10_000);
    assert_eq!(outbox.rows, Size::default());
}

#[test]
fn too_many_shapes_are_bounded_and_counted_too() {
    let (start, mut outbox) = outbox(100);
    let mut rows = RowBuffer::new(RowLimits { rows_max: 20, ..RowLimits::default() });
    let names: Vec<String> = (0..3_000).map(|n| format!("metric {n}")).collect();
    for name in &names {
        push(&mut outbox, &mut rows, row(1, &[(name, 1.0)]));
        assert!(outbox.rows.count <= 100);
    }
    take(&mut outbox, &mut rows);
    outbox.push_unacknowledged(result(1, 1));
    let reports = reports(&mut outbox, start);
    let rows: u64 = reports.iter().map(|report| report.times_us.len() as u64 + report.thinned).sum();
    assert_eq!(rows, 3_000);
}

#[test]
fn rows_stay_where_they_can_be_thinned_while_the_socket_takes_nothing() {
    let (start, mut outbox) = outbox(100_000);
    outbox.limits.rows_size_bytes_max = 16 << 20;
    let mut rows = rows();
    for time_us in 0..50_000 {
        push(&mut outbox, &mut rows, row(time_us, &[("a", 1.0)]));
    }
    take(&mut outbox, &mut rows);
    let mut writer = FrameWriter::default();
    outbox.flush(start, &mut writer).unwrap();
    outbox.flush(start, &mut writer).unwrap();
    assert!(writer.len_bytes() < WRITER_SIZE_BYTES_MAX + (72 << 10));
    assert_eq!(outbox.poll_timeout(), None, "the socket says when to go on");
    let mut times = Vec::new();
    while !writer.is_empty() {
        for message in decode_from_trainer(&mut writer) {
            let FromTrainer::Report(report) = message else { panic!() };
            assert_eq!(report.thinned, 0);
            times.extend(report.times_us);
        }
        outbox.flush(start, &mut writer).unwrap();
    }
    assert!(times.into_iter().eq(0..50_000));
}

#[test]
fn a_row_of_many_metrics_leaves_in_several_reports() {
    let (start, mut outbox) = outbox(100);
    let names: Vec<String> = (0..2_000).map(|n| format!("{n:0100}")).collect();
    let metrics: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let mut rows = rows();
    rows.push_row(Delivery(1), row(1, &metrics));
    take(&mut outbox, &mut rows);
    let reports = reports(&mut outbox, start);
    assert_eq!(reports.iter().map(|report| report.names.len()).sum::<usize>(), 2_000);
    assert_eq!(outbox.rows, Size::default());
}

#[test]
fn what_waits_goes_first_after_a_rewind() {
    let (start, mut outbox) = outbox(100);
    outbox.push_unacknowledged(result(1, 1));
    assert_eq!(sent(&mut outbox, start), [result(1, 1)]);
    outbox.push_started(start, Delivery(2), true);
    outbox.push_unacknowledged(result(2, 1));
    outbox.rewind();
    assert_eq!(sent(&mut outbox, start), [result(1, 1), result(2, 1)]);
    let entry = |delivery| AckEntry { delivery: Delivery(delivery), seq: 1, kind: AckKind::Superseded };
    assert!(outbox.acknowledge(entry(2)) && outbox.acknowledge(entry(1)) && !outbox.acknowledge(entry(1)));
    assert_eq!(outbox.unacknowledged, Size::default());
    assert!(!outbox.awaits_ack());
}
