//! Arbitrary messages, and how tests send and receive them.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Delivery, Instance, JobId, SlabId, Token};
use trainwire_protocol::limits::INLINE_TASK_SIZE_BYTES_MAX;
use trainwire_protocol::message::{
    AckEntry, AckKind, Bye, Checkpoint, CheckpointRef, Deliver, FromTrainer, Heartbeat, Hello, InHand,
    InHandState, Metric, MetricValue, Outcome, Place, Refused, Report, Role, Slab, Stop, TaskResult,
    ToTrainer, TrainerError, Welcome,
};

/// A message and what goes with it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    FromTrainer(FromTrainer),
    ToTrainer(ToTrainer),
    Inline(Deliver, Bytes),
    Flagged(Deliver, u64),
    InSlab(Deliver),
    Slab(Slab, u64),
}

/// What a reader makes of one frame. Compared by its debug text, because metrics may be NaN.
#[derive(Clone, Debug)]
pub(crate) enum Received {
    FromTrainer(FromTrainer),
    ToTrainer(ToTrainer, Option<Bytes>),
}

pub(crate) fn push(writer: &mut FrameWriter, sent: &Sent) {
    match sent {
        Sent::FromTrainer(message) => writer.push_from_trainer(message),
        Sent::ToTrainer(message) => writer.push_to_trainer(message),
        Sent::Inline(deliver, task) => {
            writer.push_deliver(deliver, DeliverPayload::Inline(task.clone().into()))
        }
        Sent::Flagged(deliver, token) => {
            writer.push_deliver(deliver, DeliverPayload::Descriptor { token: *token })
        }
        Sent::InSlab(deliver) => writer.push_deliver(deliver, DeliverPayload::InSlab),
        Sent::Slab(slab, token) => writer.push_slab(slab, *token),
    }
    .unwrap();
}

/// What the other end should get.
pub(crate) fn expected(sent: &Sent) -> Received {
    match sent {
        Sent::FromTrainer(message) => Received::FromTrainer(message.clone()),
        Sent::ToTrainer(message) => Received::ToTrainer(message.clone(), None),
        Sent::Inline(deliver, task) => {
            Received::ToTrainer(ToTrainer::Deliver(deliver.clone()), Some(task.clone()))
        }
        Sent::Flagged(deliver, _) | Sent::InSlab(deliver) => {
            Received::ToTrainer(ToTrainer::Deliver(deliver.clone()), None)
        }
        Sent::Slab(slab, _) => Received::ToTrainer(ToTrainer::Slab(*slab), None),
    }
}

/// Everything the writer holds, at once.
pub(crate) fn drain(writer: &mut FrameWriter) -> Vec<u8> {
    let mut stream = Vec::new();
    while !writer.is_empty() {
        let slices = writer.io_slices();
        let size_bytes = slices.iter().map(|slice| slice.len()).sum();
        slices.iter().for_each(|slice| stream.extend_from_slice(slice));
        writer.advance(size_bytes);
    }
    stream
}

pub(crate) fn stream_of(sent: &[Sent]) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    sent.iter().for_each(|sent| push(&mut writer, sent));
    drain(&mut writer)
}

pub(crate) fn reader() -> FrameReader {
    FrameReader::new(ReaderLimits { inline_task_size_bytes_max: INLINE_TASK_SIZE_BYTES_MAX })
}

/// What comes of a stream, cut as the sizes say (and in one piece after the last of them).
pub(crate) fn receive(stream: &[u8], cuts: &[usize]) -> (Vec<Received>, Option<ProtocolError>) {
    let mut reader = reader();
    let mut received = Vec::new();
    let mut left = stream;
    let mut cuts = cuts.iter();
    loop {
        if let Some(error) = take_all(&mut reader, &mut received) {
            return (received, Some(error));
        }
        if left.is_empty() {
            return (received, None);
        }
        let spare = reader.spare();
        let n = cuts.next().map_or(usize::MAX, |cut| *cut.max(&1)).min(left.len()).min(spare.len());
        let (now, later) = left.split_at(n);
        spare[..n].copy_from_slice(now);
        reader.advance(n);
        left = later;
    }
}

fn take_all(reader: &mut FrameReader, received: &mut Vec<Received>) -> Option<ProtocolError> {
    loop {
        match reader.next() {
            Ok(Some(frame)) => match frame.decode_from_trainer() {
                Ok(message) => received.push(Received::FromTrainer(message)),
                Err(ProtocolError::WrongDirection { .. }) => match frame.decode_to_trainer() {
                    Ok((message, task)) => received.push(Received::ToTrainer(message, task)),
                    Err(error) => return Some(error),
                },
                Err(error) => return Some(error),
            },
            Ok(None) => return None,
            Err(error) => {
                assert_eq!(reader.next().unwrap_err(), error, "errors stay");
                return Some(error);
            }
        }
    }
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_/.-]{1,12}", "\\PC{0,40}", Just("é".repeat(2_000))]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![1..100_u64, 1..=u64::MAX].prop_map(Delivery)
}

fn slab_id() -> impl Strategy<Value = SlabId> {
    (1..=u64::MAX).prop_map(SlabId)
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![0..100_000_u64, any::<u64>()].prop_map(Duration::from_millis)
}

fn short_duration() -> impl Strategy<Value = Duration> {
    (1..=u32::MAX).prop_map(|ms| Duration::from_millis(ms.into()))
}

pub(crate) fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-1_000..1_000).prop_map(f64::from)
    ]
}

fn metrics() -> impl Strategy<Value = Vec<Metric>> {
    let value = prop_oneof![number().prop_map(MetricValue::Number), text().prop_map(MetricValue::Text)];
    vec((text(), value).prop_map(|(name, value)| Metric { name, value }), 0..5)
}

fn checkpoint_ref() -> impl Strategy<Value = CheckpointRef> {
    (text(), option::of(any::<i64>()), option::of(number())).prop_map(|(path, step, epoch)| CheckpointRef {
        path,
        step,
        epoch,
    })
}

fn trainer_error() -> impl Strategy<Value = TrainerError> {
    (text(), text(), text(), any::<bool>(), any::<bool>()).prop_map(
        |(kind, text, traceback, fatal, restarts)| TrainerError { kind, text, traceback, fatal, restarts },
    )
}

fn report() -> impl Strategy<Value = Report> {
    (delivery(), vec(text(), 0..4), 0..6_usize, any::<u64>()).prop_flat_map(
        |(delivery, names, rows, thinned)| {
            let column = move |present: bool| if present && rows > 0 { rows..=rows } else { 0..=0 };
            let values = vec(number(), names.len() * rows);
            (any::<(bool, bool)>(), vec(any::<u64>(), rows), values).prop_flat_map(
                move |((steps, epochs), times, values)| {
                    let names = names.clone();
                    (vec(any::<i64>(), column(steps)), vec(number(), column(epochs))).prop_map(
                        move |(steps, epochs)| Report {
                            delivery,
                            names: names.clone().into(),
                            times_us: times.clone(),
                            steps: (!steps.is_empty()).then_some(steps),
                            epochs: (!epochs.is_empty()).then_some(epochs),
                            values: values.clone(),
                            thinned,
                        },
                    )
                },
            )
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let in_hand = (delivery(), any::<u64>(), 0..3_u8).prop_map(|(delivery, last_seq, state)| InHand {
        delivery,
        last_seq,
        state: [InHandState::Queued, InHandState::Running, InHandState::Finished][usize::from(state)],
    });
    let numbers = (0..=1_u16, 1..=u16::MAX, any::<u128>(), any::<u32>(), any::<[u32; 3]>());
    let flags = (any::<bool>(), any::<bool>(), vec(delivery(), 0..4));
    ("[a-z0-9]{1,20}", text(), option::of(any::<[u8; 16]>()), numbers, vec(in_hand, 0..4), flags).prop_map(
        |(
            job_id,
            version,
            token,
            (min, max, instance, connection, [rank, world_size, restart]),
            in_hand,
            (replica, can_dump_stacks, held),
        )| Hello {
            protocol_min: min,
            protocol_max: max,
            job_id: JobId::new(&job_id).unwrap(),
            version,
            token: token.map(Token),
            instance: Instance(instance),
            connection,
            role: if replica { Role::Replica } else { Role::Primary },
            rank,
            world_size,
            restart,
            in_hand,
            can_dump_stacks,
            held,
        },
    )
}

fn bye() -> impl Strategy<Value = Bye> {
    (text(), text()).prop_map(|(code, text)| Bye { code, text })
}

fn result() -> impl Strategy<Value = TaskResult> {
    let outcome = prop_oneof![
        Just(Outcome::Succeeded),
        trainer_error().prop_map(Outcome::Failed),
        Just(Outcome::Stopped),
        (trainer_error(), option::of(duration())).prop_map(|(error, after)| Outcome::Retry { error, after }),
        text().prop_map(|code| Outcome::Returned { code }),
    ];
    (delivery(), 1..=u64::MAX, outcome, metrics()).prop_map(|(delivery, seq, outcome, metrics)| TaskResult {
        delivery,
        seq,
        outcome,
        metrics,
    })
}

pub(crate) fn from_trainer() -> impl Strategy<Value = FromTrainer> {
    prop_oneof![
        hello().prop_map(FromTrainer::Hello),
        delivery().prop_map(FromTrainer::Started),
        report().prop_map(FromTrainer::Report),
        (delivery(), 1..=u64::MAX, checkpoint_ref(), metrics()).prop_map(|(delivery, seq, at, metrics)| {
            FromTrainer::Checkpoint(Checkpoint { delivery, seq, at, metrics })
        }),
        result().prop_map(FromTrainer::Result),
        (option::of(delivery()), duration())
            .prop_map(|(running, progress_age)| FromTrainer::Heartbeat(Heartbeat { running, progress_age })),
        vec(delivery(), 0..5).prop_map(FromTrainer::Release),
        bye().prop_map(FromTrainer::Bye),
    ]
}

fn deliver() -> impl Strategy<Value = Deliver> {
    let texts = (option::of(text()), option::of(text()));
    (delivery(), any::<u32>(), texts, option::of(checkpoint_ref()), option::of(duration())).prop_map(
        |(delivery, attempt, (work, traceparent), last_checkpoint, time_left)| Deliver {
            delivery,
            attempt,
            task_size: 0,
            place: Place::Inline,
            work,
            last_checkpoint,
            traceparent,
            time_left,
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let durations = (short_duration(), short_duration(), duration());
    ((any::<u16>(), any::<u32>()), durations, option::of(text()), vec((delivery(), any::<bool>()), 0..4))
        .prop_map(|((protocol, poll_us), (heartbeat, recv_timeout, orphan_timeout), spool, in_hand)| {
            Welcome {
                protocol,
                heartbeat,
                recv_timeout,
                orphan_timeout,
                spool,
                in_hand,
                poll: Duration::from_micros(poll_us.into()),
            }
        })
}

pub(crate) fn sent_to_trainer() -> impl Strategy<Value = Sent> {
    let ack = (delivery(), any::<u64>(), any::<bool>()).prop_map(|(delivery, seq, stored)| AckEntry {
        delivery,
        seq,
        kind: if stored { AckKind::Stored } else { AckKind::Superseded },
    });
    let refused = (text(), text(), any::<bool>(), any::<u16>(), any::<u16>()).prop_map(
        |(code, text, retry_later, protocol_min, protocol_max)| Refused {
            code,
            text,
            retry_later,
            protocol_min,
            protocol_max,
        },
    );
    let stop = (delivery(), text(), duration(), any::<bool>(), any::<bool>()).prop_map(
        |(delivery, reason, time_left, want_checkpoint, dump_stacks)| Stop {
            delivery,
            reason,
            time_left,
            want_checkpoint,
            dump_stacks,
        },
    );
    let task = prop_oneof![vec(any::<u8>(), 0..300), (0..70_000_usize).prop_map(|size| vec![7; size])];
    prop_oneof![
        welcome().prop_map(|welcome| Sent::ToTrainer(ToTrainer::Welcome(welcome))),
        refused.prop_map(|refused| Sent::ToTrainer(ToTrainer::Refused(refused))),
        vec(ack, 0..5).prop_map(|entries| Sent::ToTrainer(ToTrainer::Ack(entries))),
        stop.prop_map(|stop| Sent::ToTrainer(ToTrainer::Stop(stop))),
        (deliver(), task).prop_map(|(deliver, task)| {
            Sent::Inline(Deliver { task_size: task.len() as u64, ..deliver }, task.into())
        }),
        (deliver(), any::<u64>(), any::<u64>()).prop_map(|(deliver, task_size, token)| {
            Sent::Flagged(Deliver { task_size, place: Place::Descriptor, ..deliver }, token)
        }),
        (deliver(), any::<u64>(), slab_id(), any::<u64>()).prop_map(|(deliver, task_size, slab, offset)| {
            Sent::InSlab(Deliver { task_size, place: Place::Slab { slab, offset }, ..deliver })
        }),
        (slab_id(), any::<u64>(), any::<u64>())
            .prop_map(|(slab, size, token)| Sent::Slab(Slab { slab, size }, token)),
    ]
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    // Boxed, or the generators of all messages lie on the stack together.
    prop_oneof![from_trainer().prop_map(Sent::FromTrainer).boxed(), sent_to_trainer().boxed()]
}
