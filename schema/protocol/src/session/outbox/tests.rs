#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use super::*;
use crate::message::{AckKind, TaskResult};
use crate::session::testing::{decode_from_trainer, ms};

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

#[test]
fn rows_wait_for_company_for_100_ms_since_the_last_flush() {
    let (start, mut outbox) = outbox(1_000);
    outbox.push_row(start, Delivery(1), row(1, &[("a", 1.0)]), true);
    assert_eq!(reports(&mut outbox, start).len(), 1);
    outbox.push_row(start + ms(30), Delivery(1), row(2, &[("a", 2.0)]), false);
    outbox.push_row(start + ms(60), Delivery(1), row(3, &[("a", 3.0)]), false);
    assert_eq!(outbox.poll_timeout(), Some(start + ms(100)));
    assert_eq!(reports(&mut outbox, start + ms(99)), []);
    assert_eq!(reports(&mut outbox, start + ms(100))[0].times_us, [2, 3]);
    outbox.push_row(start + ms(500), Delivery(1), row(4, &[("a", 4.0)]), false);
    assert_eq!(reports(&mut outbox, start + ms(500))[0].times_us, [4]);
    assert_eq!(outbox.poll_timeout(), None);
}

#[test]
fn a_half_full_outbox_is_flushed_at_once() {
    let (start, mut outbox) = outbox(8);
    outbox.last_flush = Some(start);
    for time_us in 1..=4 {
        outbox.push_row(start, Delivery(1), row(time_us, &[("a", 1.0)]), false);
        assert_eq!(reports(&mut outbox, start), []);
    }
    outbox.push_row(start, Delivery(1), row(5, &[("a", 1.0)]), false);
    assert_eq!(reports(&mut outbox, start)[0].times_us.len(), 5);
}

#[test]
fn rows_are_grouped_by_shape() {
    let (start, mut outbox) = outbox(1_000);
    for time_us in 0..10 {
        outbox.push_row(start, Delivery(1), row(time_us, &[("a", 1.0)]), false);
        outbox.push_row(start, Delivery(1), row(time_us, &[("b", 1.0)]), false);
        let with_epoch = Row { epoch: Some(0.5), ..row(time_us, &[("b", 1.0)]) };
        outbox.push_row(start, Delivery(1), with_epoch, false);
    }
    outbox.push_row(start, Delivery(2), row(1, &[("a", 1.0)]), true);
    let reports = reports(&mut outbox, start);
    assert_eq!(reports.iter().map(|report| report.times_us.len()).collect::<Vec<_>>(), [10, 10, 10, 1]);
}

#[test]
fn reporting_on_reuses_names_and_columns() {
    let (start, mut outbox) = outbox(1_000);
    let mut places = Vec::new();
    for round in 0..3 {
        for time_us in 0..100 {
            outbox.push_row(start, Delivery(1), row(time_us, &[("a", 1.0), ("b", 2.0)]), false);
        }
        let Some(FromTrainer::Report(report)) = outbox.ready.front() else { panic!("round {round}") };
        places.push((report.names[0].as_ptr(), report.times_us.as_ptr(), report.values.as_ptr()));
        assert_eq!(reports(&mut outbox, start + ms(1_000 * round)).len(), 1);
    }
    assert_eq!(places[1], places[0]);
    assert_eq!(places[2], places[0]);
}

#[test]
fn a_full_outbox_is_thinned_and_counted() {
    let (start, mut outbox) = outbox(100);
    for time_us in 0..10_000 {
        outbox.push_row(start, Delivery(1), row(time_us, &[("a", 1.0)]), false);
        assert!(outbox.rows.count <= 100);
    }
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
    let names: Vec<String> = (0..3_000).map(|n| format!("metric {n}")).collect();
    for name in &names {
        outbox.push_row(start, Delivery(1), row(1, &[(name, 1.0)]), false);
        assert!(outbox.rows.count <= 100);
    }
    outbox.push_unacknowledged(result(1, 1));
    let reports = reports(&mut outbox, start);
    let rows: u64 = reports.iter().map(|report| report.times_us.len() as u64 + report.thinned).sum();
    assert_eq!(rows, 3_000);
}

#[test]
fn rows_stay_where_they_can_be_thinned_while_the_socket_takes_nothing() {
    let (start, mut outbox) = outbox(100_000);
    outbox.limits.rows_size_bytes_max = 16 << 20;
    for time_us in 0..50_000 {
        outbox.push_row(start, Delivery(1), row(time_us, &[("a", 1.0)]), false);
    }
    let mut writer = FrameWriter::default();
    outbox.flush(start, &mut writer).unwrap();
    outbox.flush(start, &mut writer).unwrap();
    assert!(writer.len_bytes() < WRITER_SIZE_BYTES_MAX + (72 << 10));
    assert_eq!(outbox.poll_timeout(), None, "the socket says when to go on");
    let mut rows = 0;
    while !writer.is_empty() {
        for message in decode_from_trainer(&mut writer) {
            let FromTrainer::Report(report) = message else { panic!() };
            rows += report.times_us.len();
        }
        outbox.flush(start, &mut writer).unwrap();
    }
    assert_eq!(rows, 50_000);
}

#[test]
fn metrics_whose_names_are_too_long_are_left_out_and_counted() {
    let (start, mut outbox) = outbox(100);
    let long = "x".repeat(4_097);
    let left_out = outbox.push_row(start, Delivery(1), row(1, &[("a", 1.0), (&long, 2.0), ("b", 3.0)]), true);
    assert_eq!(left_out, 1);
    let reports = reports(&mut outbox, start);
    assert_eq!(
        (&reports[0].names[..], &reports[0].values[..]),
        (&["a".to_owned(), "b".to_owned()][..], &[1.0, 3.0][..])
    );
}

#[test]
fn a_row_of_many_metrics_leaves_in_several_reports() {
    let (start, mut outbox) = outbox(100);
    let names: Vec<String> = (0..2_000).map(|n| format!("{n:0100}")).collect();
    let metrics: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    outbox.push_row(start, Delivery(1), row(1, &metrics), true);
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
