#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use bytes::Bytes;

use super::*;
use crate::id::SlabId;
use crate::message::{AckKind, Outcome, Place};
use crate::session::testing::{
    SECOND, decode_to_trainer, deliver, from_trainer, hello, ms, payload, welcome,
};

struct End {
    now: Instant,
    session: OrchestratorSession,
}

impl End {
    fn accepted() -> Self {
        let now = Instant::now();
        Self { now, session: OrchestratorSession::new(now, Timeouts::default()) }
    }

    fn open() -> Self {
        let mut end = Self::accepted();
        end.receive(&FromTrainer::Hello(hello())).unwrap();
        assert_eq!(end.session.poll_event(), Some(OrchestratorEvent::Hello(hello())));
        end.session.welcome(end.now, welcome());
        assert_eq!(end.sent(), [ToTrainer::Welcome(welcome())]);
        end
    }

    fn receive(&mut self, message: &FromTrainer) -> Result<(), ProtocolError> {
        let mut reader = from_trainer(message);
        self.session.handle_frame(self.now, &reader.next().unwrap().unwrap())
    }

    fn sent(&mut self) -> Vec<ToTrainer> {
        let mut writer = FrameWriter::default();
        self.session.poll_transmit(self.now, &mut writer).unwrap();
        decode_to_trainer(&mut writer)
    }

    fn parting_code(&mut self) -> String {
        match self.sent().as_slice() {
            [ToTrainer::Refused(refused)] => refused.code.clone(),
            other => panic!("expected one Refused, not {other:?}"),
        }
    }
}

fn stop(delivery: u64) -> Stop {
    Stop {
        delivery: Delivery(delivery),
        reason: "cancelled".to_owned(),
        time_left: 30 * SECOND,
        want_checkpoint: true,
        dump_stacks: false,
    }
}

fn ack(seq: u64) -> AckEntry {
    AckEntry { delivery: Delivery(1), seq, kind: AckKind::Stored }
}

fn order(messages: &[ToTrainer]) -> Vec<String> {
    let name = |message: &ToTrainer| match message {
        ToTrainer::Deliver(deliver) => format!("deliver {}", deliver.delivery),
        ToTrainer::Stop(stop) => format!("stop {}", stop.delivery),
        ToTrainer::Ack(entries) => format!("{} acks", entries.len()),
        ToTrainer::Bye(_) => "bye".to_owned(),
        other => panic!("{other:?}"),
    };
    messages.iter().map(name).collect()
}

#[test]
fn hello_first() {
    let mut end = End::accepted();
    let error = end.receive(&FromTrainer::Started(Delivery(1))).unwrap_err();
    assert_eq!(error.code(), "hello_expected");
    assert_eq!(end.parting_code(), "hello_expected");
    assert_eq!(end.session.poll_event(), None);
}

#[test]
fn hello_only_once() {
    let mut end = End::open();
    assert_eq!(end.receive(&FromTrainer::Hello(hello())).unwrap_err().code(), "hello_twice");
    assert_eq!(end.parting_code(), "hello_twice");
}

#[test]
fn nothing_counts_before_the_welcome() {
    let mut end = End::accepted();
    end.receive(&FromTrainer::Hello(hello())).unwrap();
    let result =
        TaskResult { delivery: Delivery(1), seq: 1, outcome: Outcome::Succeeded, metrics: Vec::new() };
    assert_eq!(end.receive(&FromTrainer::Result(result)).unwrap_err().code(), "hello_expected");
    assert_eq!(end.session.poll_event(), Some(OrchestratorEvent::Hello(hello())));
    assert_eq!(end.session.poll_event(), None);
    end.session.welcome(end.now, welcome());
    assert_eq!(end.parting_code(), "hello_expected");
}

#[test]
fn hello_version_has_words_on_both_sides() {
    let mut end = End::accepted();
    let from_the_future = Hello { protocol_min: 2, protocol_max: 4, ..hello() };
    let error = end.receive(&FromTrainer::Hello(from_the_future)).unwrap_err();
    assert_eq!(error, ProtocolError::Version { ours: (1, 1), theirs: (2, 4) });
    let sent = end.sent();
    let [ToTrainer::Refused(refused)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((refused.code.as_str(), refused.retry_later), ("protocol_version", false));
    assert_eq!((refused.protocol_min, refused.protocol_max), (1, 1));
    for text in [&refused.text, &error.to_string()] {
        assert!(text.contains("2 to 4") && text.contains("1 to 1"), "{text}");
    }
}

#[test]
fn hello_version_may_be_the_lowest_of_a_newer_trainer() {
    let mut end = End::accepted();
    end.receive(&FromTrainer::Hello(Hello { protocol_max: 9, ..hello() })).unwrap();
    assert!(matches!(end.session.poll_event(), Some(OrchestratorEvent::Hello(_))));
}

#[test]
fn after_an_error_a_connection_yields_nothing_more() {
    let mut end = End::open();
    end.receive(&FromTrainer::Hello(hello())).unwrap_err();
    assert_eq!(end.receive(&FromTrainer::Started(Delivery(1))).unwrap_err().code(), "hello_twice");
    end.session.handle_partial(end.now);
    end.session.deliver(deliver(1), payload());
    end.session.handle_timeout(end.now + 60 * SECOND).unwrap();
    assert_eq!(end.session.poll_event(), None);
    assert_eq!(end.session.poll_timeout(), None);
    assert_eq!(end.parting_code(), "hello_twice");
    assert_eq!(end.sent(), []);
    assert!(end.session.is_over());
}

#[test]
fn a_connection_without_hello_is_ended() {
    let mut end = End::accepted();
    assert_eq!(end.session.poll_timeout(), Some(end.now + 10 * SECOND));
    assert_eq!(end.session.handle_timeout(end.now + 10 * SECOND).unwrap_err().code(), "handshake_timeout");
    assert_eq!(end.parting_code(), "handshake_timeout");
}

#[test]
fn the_scheduler_may_take_its_time_for_the_welcome() {
    let mut end = End::accepted();
    end.receive(&FromTrainer::Hello(hello())).unwrap();
    assert_eq!(end.session.poll_timeout(), None);
    end.session.handle_timeout(end.now + 100 * SECOND).unwrap();
    assert_eq!(end.sent(), []);
}

#[test]
fn quiet_and_heard_are_edges() {
    let mut end = End::open();
    let start = end.now;
    end.session.handle_timeout(start + ms(4_999)).unwrap();
    assert_eq!(end.session.poll_event(), None);
    for second in [5, 6, 60] {
        end.session.handle_timeout(start + second * SECOND).unwrap();
    }
    assert_eq!(end.session.poll_event(), Some(OrchestratorEvent::Quiet));
    assert_eq!(end.session.poll_event(), None);
    end.now = start + 61 * SECOND;
    let heartbeat = Heartbeat { running: None, progress_age: SECOND };
    end.receive(&FromTrainer::Heartbeat(heartbeat)).unwrap();
    assert_eq!(end.session.poll_event(), Some(OrchestratorEvent::Heard));
    assert_eq!(end.session.poll_event(), Some(OrchestratorEvent::Heartbeat(heartbeat)));
}

#[test]
fn inside_a_frame_silence_is_the_end() {
    let mut end = End::open();
    end.session.handle_partial(end.now);
    assert_eq!(end.session.handle_timeout(end.now + 5 * SECOND).unwrap_err().code(), "frame_timeout");
}

#[test]
fn acks_share_a_frame_and_overtake_delivers_as_stops_do() {
    let mut end = End::open();
    end.session.deliver(deliver(2), payload());
    end.session.stop(stop(1));
    end.session.ack(ack(1));
    end.session.ack(ack(2));
    assert_eq!(order(&end.sent()), ["2 acks", "stop 1", "deliver 2"]);
    assert_eq!(end.sent(), []);
}

#[test]
fn a_stop_does_not_overtake_its_own_deliver() {
    let mut end = End::open();
    end.session.bye(Bye { code: "job_done".to_owned(), text: String::new() });
    end.session.deliver(deliver(2), payload());
    end.session.deliver(deliver(3), payload());
    end.session.stop(stop(2));
    assert_eq!(order(&end.sent()), ["deliver 2", "stop 2", "deliver 3", "bye"]);
}

#[test]
fn delivers_wait_for_room_and_acks_do_not() {
    let mut end = End::open();
    let task = vec![0; 64 << 10];
    let large = |delivery| Deliver { task_size: task.len() as u64, ..deliver(delivery) };
    for delivery in 1..=10 {
        end.session.deliver(large(delivery), DeliverPayload::Inline(Bytes::from(task.clone()).into()));
    }
    let mut writer = FrameWriter::default();
    end.session.poll_transmit(end.now, &mut writer).unwrap();
    let full = writer.len_bytes();
    assert!((256 << 10..5 * (66 << 10)).contains(&full), "{full}");
    end.session.poll_transmit(end.now, &mut writer).unwrap();
    assert_eq!(writer.len_bytes(), full);
    end.session.ack(ack(1));
    end.session.poll_transmit(end.now, &mut writer).unwrap();
    assert!(writer.len_bytes() > full);
    let mut all = order(&decode_to_trainer(&mut writer));
    all.extend(order(&end.sent()));
    all.extend(order(&end.sent()));
    assert_eq!(all.iter().filter(|name| name.starts_with("deliver")).count(), 10);
}

#[test]
fn refused_is_the_last_word() {
    let mut end = End::open();
    end.session.deliver(deliver(2), payload());
    let refused = Refused {
        code: "replaced".to_owned(),
        text: "a newer connection of this trainer took over".to_owned(),
        retry_later: false,
        protocol_min: 1,
        protocol_max: 1,
    };
    end.session.refuse(refused.clone());
    assert_eq!(end.sent(), [ToTrainer::Refused(refused)]);
    end.receive(&FromTrainer::Started(Delivery(1))).unwrap();
    assert_eq!(end.session.poll_event(), None);
}

#[test]
fn what_cannot_be_sent_ends_the_connection() {
    let mut end = End::open();
    end.session.deliver(Deliver { task_size: 1, ..deliver(2) }, payload());
    let error = end.session.poll_transmit(end.now, &mut FrameWriter::default()).unwrap_err();
    assert_eq!((error.code(), error.fault()), ("wrong_task", Fault::Caller));
    assert_eq!(end.sent(), []);
}

#[test]
fn slab_goes_ahead_of_what_is_in_it_with_its_descriptor() {
    let mut end = End::open();
    end.session.deliver(deliver(1), payload());
    end.session.share(SLAB, 7);
    end.session.deliver(in_slab(2, 1, 0), DeliverPayload::InSlab);
    let mut writer = FrameWriter::default();
    end.session.poll_transmit(end.now, &mut writer).unwrap();
    assert_eq!(writer.descriptor_at_front(), None);
    writer.advance(writer.bytes_until_descriptor());
    assert_eq!(writer.descriptor_at_front(), Some(7));
    let sent = decode_to_trainer(&mut writer);
    assert!(matches!(&sent[..], [ToTrainer::Slab(SLAB), ToTrainer::Deliver(_)]), "{sent:?}");
}

#[test]
fn slab_ranges_that_the_trainer_could_not_find_are_the_caller_s_mistake() {
    for (shared, wrong) in [(false, in_slab(1, 1, 0)), (true, in_slab(1, 2, 0)), (true, in_slab(1, 1, 1_000))]
    {
        let mut end = End::open();
        if shared {
            end.session.share(SLAB, 7);
        }
        end.session.deliver(wrong, DeliverPayload::InSlab);
        let error = end.session.poll_transmit(end.now, &mut FrameWriter::default()).unwrap_err();
        assert_eq!((error.code(), error.fault()), ("bad_range", Fault::Caller));
    }
}

#[test]
fn releases_are_handed_on_whatever_they_name() {
    let mut end = End::open();
    let released = vec![Delivery(3), Delivery(3), Delivery(99)];
    end.receive(&FromTrainer::Release(released.clone())).unwrap();
    assert_eq!(end.session.poll_event(), Some(OrchestratorEvent::Released(released)));
}

fn in_slab(delivery: u64, slab: u64, offset: u64) -> Deliver {
    Deliver { place: Place::Slab { slab: SlabId(slab), offset }, ..deliver(delivery) }
}

const SLAB: Slab = Slab { slab: SlabId(1), size: 1_000 };
