//! Bytes from an end that means harm, and messages this end must not send.

use bytes::Bytes;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::limits::{
    METRICS_MAX, STRING_SIZE_BYTES_MAX, TRACEBACK_SIZE_BYTES_MAX, VERIFIER_DEPTH_MAX,
};
use trainwire_protocol::message::{
    Deliver, FromTrainer, Metric, MetricValue, Outcome, Place, Report, Role, TaskResult, ToTrainer,
    TrainerError,
};

use crate::messages::{Received, drain, reader, receive};
use crate::raw::{Field, frame, meta};

/// The code a stream of these bytes ends with.
fn code(stream: &[u8]) -> &'static str {
    let (_, error) = receive(stream, &[]);
    error.map_or("none", |error| error.code())
}

/// The error of one table in one frame.
fn error_of(kind: u8, fields: &[(u16, Field<'_>)]) -> ProtocolError {
    receive(&frame(kind, 0, &meta(fields), &[]), &[]).1.unwrap()
}

#[test]
fn no_length_is_believed_before_it_met_its_limit() {
    for length in [0, 3, 5, 12 + (1 << 20) + (64 << 10), u32::MAX, u32::MAX - 3] {
        let mut stream = length.to_le_bytes().to_vec();
        stream.extend([5, 0, 1, 0]);
        let mut reader = reader();
        reader.spare()[..8].copy_from_slice(&stream);
        reader.advance(8);
        assert_eq!(reader.next().unwrap_err().code(), "bad_length", "{length}");
        assert_eq!(reader.spare().len(), 4 << 10, "nothing was allocated for it");
    }
    assert_eq!(code(&[0xfc, 0xff, 0xff, 0xff, 5, 0, 0xff, 0xff]), "meta_too_large");
}

#[test]
fn only_a_deliver_has_room_for_a_task_and_only_at_the_end_that_takes_tasks() {
    let heartbeat = meta(&[(0, Field::Word(7))]);
    assert_eq!(code(&frame(12, 0, &heartbeat, &[0; 8])), "bad_length");
    let deliver = meta(&[(0, Field::Word(7)), (2, Field::Word(8))]);
    let stream = frame(5, 0, &deliver, &[7; 8]);
    assert_eq!(code(&stream), "none");
    let mut orchestrator = FrameReader::new(ReaderLimits { inline_task_size_bytes_max: 0 });
    orchestrator.spare()[..stream.len()].copy_from_slice(&stream);
    orchestrator.advance(stream.len());
    assert_eq!(orchestrator.next().unwrap_err().code(), "bad_length");
}

#[test]
fn the_task_has_the_announced_size_and_zeros_behind_it() {
    let deliver = |size| meta(&[(0, Field::Word(7)), (2, Field::Word(size))]);
    let mut task = [7; 16];
    task[13..].fill(0);
    assert_eq!(code(&frame(5, 0, &deliver(13), &task)), "none");
    for size in [0, 8, 12, 17, 24, u64::MAX, u64::MAX - 6] {
        assert_eq!(code(&frame(5, 0, &deliver(size), &task)), "bad_padding", "{size}");
    }
}

#[test]
fn the_descriptor_flag_and_the_place_agree() {
    let deliver = |place| meta(&[(0, Field::Word(7)), (2, Field::Word(0)), (3, Field::Byte(place))]);
    assert_eq!(code(&frame(5, 0, &deliver(0), &[])), "none");
    assert_eq!(code(&frame(5, 1, &deliver(1), &[])), "none");
    assert_eq!(code(&frame(5, 1, &deliver(0), &[])), "bad_flags");
    assert_eq!(code(&frame(5, 0, &deliver(1), &[])), "bad_flags");
    assert_eq!(code(&frame(5, 2, &deliver(0), &[])), "bad_flags");
    assert_eq!(code(&frame(12, 1, &meta(&[]), &[])), "bad_flags");
}

#[test]
fn one_metric_a_thousand_times_is_not_looked_at_a_thousand_times() {
    let bomb = Field::SameMetric { times: 1_000, name_size_bytes: 4_000 };
    let error = error_of(8, &[(0, Field::Word(7)), (1, Field::Word(1)), (2, Field::Text("p")), (5, bomb)]);
    assert_eq!(error.code(), "bad_meta");
    assert!(error.to_string().contains("Apparent size"), "{error}");
    // The same few times is honest, if wasteful.
    let fine = Field::SameMetric { times: 3, name_size_bytes: 4_000 };
    let fields = [(0, Field::Word(7)), (1, Field::Word(1)), (2, Field::Text("p")), (5, fine)];
    assert_eq!(code(&frame(8, 0, &meta(&fields), &[])), "none");
}

#[test]
fn every_prefix_of_a_meta_part_is_refused() {
    let whole = meta(&[(0, Field::Word(7)), (1, Field::Text("cancelled")), (2, Field::Word(30_000))]);
    assert_eq!(code(&frame(11, 0, &whole, &[])), "none");
    for words in 0..whole.len() / 8 {
        assert_eq!(code(&frame(11, 0, &whole[..words * 8], &[])), "bad_meta", "{words}");
    }
    const { assert!(VERIFIER_DEPTH_MAX >= 3, "the deepest message") };
}

#[test]
fn strings_and_lists_over_their_limits_are_named() {
    let long = "x".repeat(STRING_SIZE_BYTES_MAX + 1);
    let stop = error_of(11, &[(0, Field::Word(7)), (1, Field::Text(&long))]);
    let field = "Stop.reason";
    assert_eq!(
        stop,
        ProtocolError::StringTooLong { field, size_bytes: 4_097, limit_bytes: STRING_SIZE_BYTES_MAX }
    );
    let traceback = "x".repeat(TRACEBACK_SIZE_BYTES_MAX + 1);
    let error = [(0, Field::Text("ValueError")), (2, Field::Text(&traceback))];
    let result = [(0, Field::Word(7)), (1, Field::Word(1)), (2, Field::Byte(1)), (4, Field::Table(&error))];
    assert!(error_of(9, &result).to_string().starts_with("TrainerError.traceback has 32769 bytes"));
    let metrics = Field::SameMetric { times: METRICS_MAX + 1, name_size_bytes: 0 };
    let padding = "x".repeat(TRACEBACK_SIZE_BYTES_MAX);
    let error = [(0, Field::Text("ValueError")), (2, Field::Text(&padding))];
    let result = [
        (0, Field::Word(7)),
        (1, Field::Word(1)),
        (3, metrics),
        (4, Field::Table(&error)),
        (2, Field::Byte(1)),
    ];
    let error = error_of(9, &result);
    assert_eq!(
        error,
        ProtocolError::TooMany { field: "TaskResult.metrics", count: 1_025, limit: METRICS_MAX }
    );
}

#[test]
fn values_without_a_meaning_are_named() {
    let named = |kind, fields: &[(u16, Field<'_>)], text: &str| {
        let error = error_of(kind, fields);
        assert_eq!(error.code(), "bad_value");
        assert!(error.to_string().starts_with(text), "{error}");
    };
    let (delivery, seq) = (|| (0, Field::Word(7)), || (1, Field::Word(1)));
    named(6, &[], "Started.delivery is 0");
    named(9, &[delivery()], "TaskResult.seq is 0");
    named(9, &[delivery(), seq(), (2, Field::Byte(9))], "TaskResult.outcome has a value");
    named(9, &[delivery(), seq(), (2, Field::Byte(1))], "TaskResult.error is missing");
    named(9, &[delivery(), seq(), (2, Field::Byte(4))], "TaskResult.code is missing");
    named(5, &[delivery(), (3, Field::Byte(3))], "Deliver.place has a value");
    named(5, &[delivery(), (3, Field::Byte(2))], "Deliver.slab is 0");
    named(13, &[(0, Field::Words(&[7, 0]))], "Release.deliveries is 0");
    named(2, &[], "Welcome.heartbeat_ms must");
}

#[test]
fn columns_of_a_report_belong_together() {
    let report = |times: &[u64], steps: &[u64], values: &[u64]| {
        let fields = [
            (0, Field::Word(7)),
            (2, Field::Words(times)),
            (3, Field::Words(steps)),
            (5, Field::Words(values)),
        ];
        code(&frame(7, 0, &meta(&fields), &[]))
    };
    assert_eq!(report(&[1, 2], &[1, 2], &[]), "none");
    assert_eq!(report(&[1, 2], &[], &[]), "none");
    assert_eq!(report(&[1, 2], &[1], &[]), "bad_report");
    assert_eq!(report(&[], &[1], &[]), "bad_report");
    assert_eq!(report(&[1, 2], &[], &[1, 2]), "bad_report", "values of no column");
}

#[test]
fn a_hello_of_another_version_is_read_as_far_as_it_is_frozen() {
    let role_of_the_future = (7, Field::Byte(200));
    let fields = [
        (0, Field::Short(2)),
        (1, Field::Short(9)),
        (2, Field::Text("digits")),
        (5, Field::Instance([7; 16])),
        role_of_the_future,
    ];
    let (received, error) = receive(&frame(1, 0, &meta(&fields), &[]), &[]);
    assert_eq!(error, None);
    let [Received::FromTrainer(FromTrainer::Hello(hello))] = received.as_slice() else {
        panic!("{received:?}")
    };
    assert_eq!((hello.protocol_min, hello.protocol_max, hello.job_id.as_str()), (2, 9, "digits"));
    assert_eq!(hello.role, Role::Primary);
}

#[test]
fn texts_of_errors_are_shortened_where_they_matter_least() {
    let kind = "K".repeat(5_000);
    let text = format!("x{}", "é".repeat(4_000));
    let traceback = format!("{}\nValueError: the cause", "é".repeat(40_000));
    let error =
        TrainerError { kind, text: text.clone(), traceback: traceback.clone(), fatal: true, restarts: false };
    let result =
        TaskResult { delivery: Delivery(7), seq: 1, outcome: Outcome::Failed(error), metrics: vec![] };
    let mut writer = FrameWriter::default();
    writer.push_from_trainer(&FromTrainer::Result(result)).unwrap();
    let (received, _) = receive(&drain(&mut writer), &[]);
    let [Received::FromTrainer(FromTrainer::Result(result))] = received.as_slice() else {
        panic!("{received:?}")
    };
    let Outcome::Failed(error) = &result.outcome else { panic!("{result:?}") };
    assert_eq!(error.kind.len(), STRING_SIZE_BYTES_MAX);
    assert_eq!(error.text.len(), STRING_SIZE_BYTES_MAX - 1, "cut at a character's boundary");
    assert!(text.starts_with(&error.text));
    assert!(traceback.ends_with(&error.traceback) && error.traceback.len() > TRACEBACK_SIZE_BYTES_MAX - 2);
}

#[test]
fn what_the_other_end_would_refuse_is_not_sent() {
    let mut writer = FrameWriter::default();
    let metric = |name: &str, text: &str| Metric { name: name.into(), value: MetricValue::Text(text.into()) };
    let mut refused = |metrics, code| {
        let result = TaskResult { delivery: Delivery(7), seq: 1, outcome: Outcome::Succeeded, metrics };
        let error = writer.push_from_trainer(&FromTrainer::Result(result)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(writer.is_empty(), "nothing of it is left");
    };
    refused(vec![metric(&"x".repeat(5_000), "")], "unsendable");
    refused(vec![metric("x", ""); METRICS_MAX + 1], "unsendable");
    refused(vec![metric("x", &"y".repeat(4_000)); 20], "message_too_large");

    let report = Report {
        delivery: Delivery(7),
        names: ["loss".into()].into(),
        times_us: vec![1],
        steps: None,
        epochs: None,
        values: vec![],
        thinned: 0,
    };
    assert_eq!(writer.push_from_trainer(&FromTrainer::Report(report)).unwrap_err().code(), "unsendable");

    let deliver = Deliver::new(Delivery(7), 3, Place::Inline);
    let inline = |bytes: &'static [u8]| DeliverPayload::Inline(Bytes::from_static(bytes).into());
    assert_eq!(writer.push_deliver(&deliver, inline(b"four")).unwrap_err().code(), "wrong_task");
    let descriptor = DeliverPayload::Descriptor { token: 1 };
    assert_eq!(writer.push_deliver(&deliver, descriptor).unwrap_err().code(), "wrong_task");
    assert_eq!(writer.push_to_trainer(&ToTrainer::Deliver(deliver)).unwrap_err().code(), "wrong_task");
    assert!(writer.is_empty());
}
