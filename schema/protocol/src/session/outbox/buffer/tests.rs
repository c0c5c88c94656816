use std::time::Duration;

use super::super::pace::FLUSH_INTERVAL;
use super::*;

const MS: u64 = 1_000;

fn buffer(rows_max: usize) -> RowBuffer {
    RowBuffer::new(RowLimits { rows_max, ..RowLimits::default() })
}

fn row<'a>(time_us: u64, metrics: &'a [(&'a str, f64)]) -> Row<'a> {
    Row { time_us, step: Some(1), epoch: None, metrics }
}

/// Puts a row of one shape in.
fn put(buffer: &mut RowBuffer, time_us: u64) -> Then {
    buffer.push_row(Delivery(1), row(time_us, &[("a", 1.0)]));
    buffer.then(time_us, false)
}

fn taken(buffer: &mut RowBuffer) -> Vec<Report> {
    let mut reports = Vec::new();
    buffer.take(|report| {
        reports.push(report.clone());
        report.forget_rows();
    });
    assert!(buffer.is_empty());
    reports
}

fn times(buffer: &mut RowBuffer) -> Vec<u64> {
    taken(buffer).into_iter().flat_map(|report| report.times_us).collect()
}

const NOT_YET: Look = Look { take: false, again: None };

#[test]
fn rows_far_apart_are_sent_by_who_reports_them() {
    let mut buffer = buffer(1_000);
    for time_us in [5_000 * MS, 5_100 * MS, 5_200 * MS, 9_000 * MS] {
        assert_eq!(put(&mut buffer, time_us), Then::Send);
        assert_eq!(times(&mut buffer), [time_us]);
    }
    assert_eq!(buffer.watch(9_000 * MS), NOT_YET);
}

#[test]
fn rows_close_together_wait_for_the_watcher_who_comes_every_100_ms() {
    let mut buffer = buffer(1_000);
    assert_eq!(put(&mut buffer, 5_000 * MS), Then::Send);
    assert_eq!(times(&mut buffer), [5_000 * MS]);
    assert_eq!(put(&mut buffer, 5_030 * MS), Then::Wake);
    let in_70_ms = Look { take: false, again: Some(Duration::from_millis(70)) };
    assert_eq!(buffer.watch(5_030 * MS), in_70_ms);
    assert_eq!(put(&mut buffer, 5_060 * MS), Then::Nothing);
    let take = Look { take: true, again: Some(FLUSH_INTERVAL) };
    assert_eq!(buffer.watch(5_100 * MS), take);
    assert_eq!(times(&mut buffer), [5_030 * MS, 5_060 * MS]);
    // However late he is, nobody else does his work.
    assert_eq!(put(&mut buffer, 5_150 * MS), Then::Nothing);
    assert_eq!(put(&mut buffer, 5_250 * MS), Then::Nothing);
    assert_eq!(buffer.watch(5_260 * MS), take);
    assert_eq!(times(&mut buffer), [5_150 * MS, 5_250 * MS]);
    // He finds nothing and goes to sleep; the next row needs him no more.
    assert_eq!(buffer.watch(5_360 * MS), NOT_YET);
    assert_eq!(put(&mut buffer, 5_400 * MS), Then::Send);
}

#[test]
fn a_first_row_and_a_half_full_buffer_leave_at_once() {
    let mut buffer = buffer(8);
    assert_eq!(put(&mut buffer, 0), Then::Send);
    times(&mut buffer);
    assert_eq!(put(&mut buffer, 1), Then::Wake);
    buffer.push_row(Delivery(2), row(2, &[("a", 1.0)]));
    assert_eq!(buffer.then(2, true), Then::Send);
    times(&mut buffer);
    for time_us in 3..7 {
        assert_eq!(put(&mut buffer, time_us), Then::Nothing);
    }
    assert_eq!(put(&mut buffer, 7), Then::Send);
    // Somebody else is at the session: the watcher is woken, once.
    assert!(buffer.hurry() && !buffer.hurry());
    assert_eq!(put(&mut buffer, 8), Then::Nothing);
    assert!(buffer.watch(8).take);
    assert_eq!(times(&mut buffer).len(), 6);
}

#[test]
fn a_clock_set_back_delays_no_row() {
    let mut buffer = buffer(1_000);
    assert_eq!(put(&mut buffer, 5_000 * MS), Then::Send);
    times(&mut buffer);
    assert_eq!(put(&mut buffer, 1_000 * MS), Then::Send);
    times(&mut buffer);
    assert_eq!(put(&mut buffer, 1_001 * MS), Then::Wake);
    assert!(buffer.watch(10 * MS).take);
}

#[test]
fn a_buffer_nobody_empties_is_thinned_and_counted() {
    let mut buffer = buffer(100);
    for time_us in 0..10_000 {
        let _ = put(&mut buffer, time_us);
        assert!(buffer.size.count <= 100);
    }
    let reports = taken(&mut buffer);
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].times_us.first(), reports[0].times_us.last()), (Some(&0), Some(&9_999)));
    assert_eq!(reports[0].times_us.len() as u64 + reports[0].thinned, 10_000);
    assert_eq!(buffer.size, Size::default());
}

#[test]
fn too_many_shapes_are_bounded_and_counted_too() {
    let mut buffer = buffer(100);
    let names: Vec<String> = (0..3_000).map(|n| format!("metric {n}")).collect();
    for name in &names {
        buffer.push_row(Delivery(1), row(1, &[(name, 1.0)]));
        assert!(buffer.size.count <= 100);
    }
    let rows = taken(&mut buffer).iter().map(|report| report.times_us.len() as u64 + report.thinned).sum();
    assert_eq!(3_000_u64, rows);
    assert!(buffer.groups.len() <= SHAPES_MAX);
}

#[test]
fn a_place_is_good_for_its_shape_and_delivery() {
    let mut buffer = buffer(100);
    let of = |value| Numbers { time_us: 1, step: Some(1), epoch: None, values: [&[0.5], &[], value] };
    let shape = buffer.shape_of(Delivery(1), &row(0, &[("a", 0.0), ("b", 0.0)])).unwrap();
    assert!(buffer.push(shape, Delivery(1), of(&[2.0])));
    assert!(!buffer.push(shape, Delivery(2), of(&[2.0])));
    assert!(!buffer.push(shape, Delivery(1), of(&[2.0, 3.0])));
    assert!(!buffer.push(shape, Delivery(1), Numbers { step: None, ..of(&[2.0]) }));
    let other = buffer.shape_of(Delivery(2), &row(0, &[("a", 0.0), ("b", 0.0)])).unwrap();
    assert!(other != shape && buffer.push(other, Delivery(2), of(&[2.0])));
    assert_eq!(taken(&mut buffer).len(), 2);
    // Empty, it serves the next delivery.
    assert_eq!(buffer.shape_of(Delivery(3), &row(0, &[("a", 0.0), ("b", 0.0)])), Some(other));
    let wide = vec![("a", 1.0); 2_000];
    assert_eq!(buffer.shape_of(Delivery(1), &row(0, &wide)), None);
}

#[test]
fn metrics_whose_names_are_too_long_are_left_out_and_counted() {
    let mut buffer = buffer(100);
    let long = "x".repeat(4_097);
    assert_eq!(buffer.push_row(Delivery(1), row(1, &[("a", 1.0), (&long, 2.0), ("b", 3.0)])), 1);
    let reports = taken(&mut buffer);
    assert_eq!(reports[0].rows().next().unwrap().metrics().collect::<Vec<_>>(), [("a", 1.0), ("b", 3.0)]);
}
