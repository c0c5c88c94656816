#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use super::*;
use crate::message::{
    AckKind, FromTrainer, Heartbeat, InHand, InHandState, Outcome, TaskResult, ToTrainer, TrainerError,
};
use crate::session::outbox::Row;
use crate::session::testing::{SECOND, decode_from_trainer, deliver, hello, ms, to_trainer, welcome};

struct End {
    now: Instant,
    session: TrainerSession,
}

impl End {
    fn detached() -> Self {
        let identity = Identity {
            job_id: hello().job_id,
            token: None,
            instance: hello().instance,
            role: Role::Primary,
            rank: 0,
            version: hello().version,
            can_dump_stacks: false,
        };
        Self { now: Instant::now(), session: TrainerSession::new(identity, OutboxLimits::default()) }
    }

    fn open() -> Self {
        let mut end = Self::detached();
        end.reconnect(welcome());
        end
    }

    /// Connects, and returns the Hello's list.
    fn reconnect(&mut self, welcome: Welcome) -> Vec<InHand> {
        self.session.connected(self.now);
        let sent = self.sent();
        let [FromTrainer::Hello(hello)] = sent.as_slice() else { panic!("{sent:?}") };
        let in_hand = hello.in_hand.clone();
        assert_eq!(self.sent(), [], "nothing follows before the Welcome");
        self.receive(&ToTrainer::Welcome(welcome.clone())).unwrap();
        assert_eq!(self.session.poll_event(), Some(TrainerEvent::Welcomed(welcome)));
        in_hand
    }

    fn receive(&mut self, message: &ToTrainer) -> Result<(), ProtocolError> {
        let mut reader = to_trainer(message);
        self.session.handle_frame(self.now, &reader.next().unwrap().unwrap())
    }

    fn sent(&mut self) -> Vec<FromTrainer> {
        let mut writer = FrameWriter::default();
        self.session.poll_transmit(self.now, &mut writer).unwrap();
        decode_from_trainer(&mut writer)
    }

    fn events(&mut self) -> Vec<TrainerEvent> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn deliver(&mut self, delivery: u64) {
        self.receive(&ToTrainer::Deliver(deliver(delivery))).unwrap();
        assert!(matches!(self.events().as_slice(), [TrainerEvent::Delivered(_)]));
    }

    fn run(&mut self, delivery: u64) {
        self.deliver(delivery);
        assert!(self.session.start(self.now, Delivery(delivery)));
        assert_eq!(self.sent(), [FromTrainer::Started(Delivery(delivery))]);
    }

    fn finish(&mut self, delivery: u64) -> Option<u64> {
        self.session.finish(self.now, Delivery(delivery), Outcome::Succeeded, Vec::new()).unwrap()
    }

    fn report(&mut self, delivery: u64) {
        let row = Row { time_us: 1, step: None, epoch: None, metrics: &[("loss", 0.5)] };
        assert_eq!(self.session.report(self.now, Delivery(delivery), row), 0);
    }

    fn ack(&mut self, delivery: u64, seq: u64) -> AckEntry {
        let entry = AckEntry { delivery: Delivery(delivery), seq, kind: AckKind::Stored };
        self.receive(&ToTrainer::Ack(vec![entry])).unwrap();
        entry
    }
}

fn succeeded(delivery: u64, seq: u64) -> FromTrainer {
    result(delivery, seq, Outcome::Succeeded)
}

fn result(delivery: u64, seq: u64, outcome: Outcome) -> FromTrainer {
    FromTrainer::Result(TaskResult { delivery: Delivery(delivery), seq, outcome, metrics: Vec::new() })
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

fn heartbeat(running: u64, progress_age: Duration) -> FromTrainer {
    FromTrainer::Heartbeat(Heartbeat { running: Some(Delivery(running)), progress_age })
}

#[test]
fn only_a_welcome_or_refused_answers_a_hello() {
    let mut end = End::detached();
    end.session.connected(end.now);
    end.sent();
    assert_eq!(end.receive(&ToTrainer::Stop(stop(1))).unwrap_err().code(), "hello_expected");
    assert!(matches!(end.sent().as_slice(), [FromTrainer::Bye(bye)] if bye.code == "hello_expected"));
    assert_eq!(end.receive(&ToTrainer::Welcome(welcome())).unwrap_err().code(), "hello_expected");
    assert_eq!(end.events(), []);
}

#[test]
fn a_welcome_comes_only_once() {
    let mut end = End::open();
    assert_eq!(end.receive(&ToTrainer::Welcome(welcome())).unwrap_err().code(), "hello_twice");
}

#[test]
fn a_welcome_to_another_version_is_an_error() {
    let mut end = End::detached();
    end.session.connected(end.now);
    end.sent();
    let error = end.receive(&ToTrainer::Welcome(Welcome { protocol: 3, ..welcome() })).unwrap_err();
    assert_eq!(error, ProtocolError::Version { ours: (1, 1), theirs: (3, 3) });
}

#[test]
fn a_welcome_has_a_deadline() {
    let mut end = End::detached();
    end.session.connected(end.now);
    end.sent();
    assert_eq!(end.session.poll_timeout(), Some(end.now + 10 * SECOND));
    assert_eq!(end.session.handle_timeout(end.now + 10 * SECOND).unwrap_err().code(), "handshake_timeout");
}

#[test]
fn a_deliver_for_a_delivery_in_hand_is_ignored() {
    let mut end = End::open();
    end.run(1);
    end.receive(&ToTrainer::Deliver(deliver(1))).unwrap();
    end.finish(1);
    end.receive(&ToTrainer::Deliver(deliver(1))).unwrap();
    assert_eq!(end.events(), []);
}

#[test]
fn more_deliveries_than_a_hello_can_list_are_an_error() {
    let mut end = End::open();
    for delivery in 1..=1_024 {
        end.deliver(delivery);
    }
    assert_eq!(end.receive(&ToTrainer::Deliver(deliver(2_000))).unwrap_err().code(), "too_many_entries");
}

#[test]
fn heartbeats_say_how_old_the_last_progress_is() {
    let mut end = End::open();
    assert_eq!(end.session.poll_timeout(), Some(end.now + SECOND));
    end.now += SECOND;
    let idle = FromTrainer::Heartbeat(Heartbeat { running: None, progress_age: Duration::ZERO });
    assert_eq!(end.sent(), [idle]);
    end.run(1);
    end.now += SECOND;
    assert_eq!(end.sent(), [heartbeat(1, SECOND)]);
    end.session.tick(end.now);
    end.now += 3 * SECOND;
    assert_eq!(end.sent(), [heartbeat(1, 3 * SECOND)]);
    end.session.busy(end.now, 10 * SECOND);
    end.now += 9 * SECOND;
    end.session.tick(end.now);
    assert_eq!(end.sent(), [heartbeat(1, Duration::ZERO)]);
    end.now += 3 * SECOND;
    assert_eq!(end.sent(), [heartbeat(1, 2 * SECOND)]);
}

#[test]
fn heartbeats_do_not_pile_up_before_a_socket_that_takes_nothing() {
    let mut end = End::open();
    let mut writer = FrameWriter::default();
    for _ in 0..10 {
        end.now += SECOND;
        end.session.poll_transmit(end.now, &mut writer).unwrap();
    }
    assert_eq!(decode_from_trainer(&mut writer).len(), 1);
}

#[test]
fn started_leaves_at_once_unless_tasks_are_short() {
    let mut end = End::open();
    end.run(1);
    end.now += ms(50);
    end.finish(1);
    assert_eq!(end.sent(), [succeeded(1, 1)]);
    end.deliver(2);
    end.session.start(end.now, Delivery(2));
    assert_eq!(end.sent(), []);
    assert_eq!(end.session.poll_timeout(), Some(end.now + ms(100)));
    end.now += ms(100);
    assert_eq!(end.sent(), [FromTrainer::Started(Delivery(2))]);
    end.now += ms(100);
    end.finish(2);
    end.sent();
    end.run(3);
}

#[test]
fn a_result_says_that_its_delivery_was_started() {
    let mut end = End::open();
    end.run(1);
    end.finish(1);
    end.deliver(2);
    end.session.start(end.now, Delivery(2));
    end.finish(2);
    assert_eq!(end.sent(), [succeeded(1, 1), succeeded(2, 1)]);
}

#[test]
fn a_stop_before_the_start_is_answered_at_once() {
    let mut end = End::open();
    end.deliver(1);
    end.receive(&ToTrainer::Stop(stop(1))).unwrap();
    assert_eq!(end.events(), [TrainerEvent::Dropped(Delivery(1))]);
    let returned = Outcome::Returned { code: "stopped_before_start".to_owned() };
    assert_eq!(end.sent(), [result(1, 1, returned)]);
    assert!(!end.session.start(end.now, Delivery(1)));
}

#[test]
fn a_stop_reaches_the_running_delivery_only() {
    let mut end = End::open();
    end.run(1);
    end.receive(&ToTrainer::Stop(stop(9))).unwrap();
    assert_eq!(end.events(), []);
    end.receive(&ToTrainer::Stop(stop(1))).unwrap();
    assert_eq!(end.events(), [TrainerEvent::Stop(stop(1))]);
    end.finish(1);
    end.receive(&ToTrainer::Stop(stop(1))).unwrap();
    assert_eq!(end.events(), []);
    assert_eq!(end.sent(), [succeeded(1, 1)]);
}

#[test]
fn an_ack_frees_once() {
    let mut end = End::open();
    end.run(1);
    assert_eq!(end.finish(1), Some(1));
    assert_eq!(end.finish(1), None);
    end.sent();
    assert!(end.session.is_unacknowledged(Delivery(1), 1));
    let entry = end.ack(1, 1);
    assert!(!end.session.is_unacknowledged(Delivery(1), 1));
    end.ack(1, 1);
    end.ack(8, 1);
    assert_eq!(end.events(), [TrainerEvent::Acknowledged(entry)]);
    assert_eq!(end.reconnect(welcome()), []);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_the_welcome() {
    let mut end = End::open();
    end.run(1);
    let at = crate::message::CheckpointRef { path: "epoch-1".to_owned(), step: None, epoch: Some(1.0) };
    assert_eq!(end.session.checkpoint(end.now, Delivery(1), at, Vec::new()), Ok(Some(1)));
    assert_eq!(end.finish(1), Some(2));
    let sent = end.sent();
    assert_eq!(sent.len(), 2);
    end.session.disconnected(end.now);
    assert_eq!(end.sent(), []);
    let in_hand = end.reconnect(welcome());
    assert_eq!(in_hand, [InHand { delivery: Delivery(1), last_seq: 2, state: InHandState::Finished }]);
    assert_eq!(end.sent(), sent);
}

#[test]
fn a_started_that_was_lost_is_in_the_hello() {
    let mut end = End::open();
    end.deliver(1);
    end.deliver(2);
    end.session.start(end.now, Delivery(1));
    let in_hand = end.reconnect(welcome());
    assert_eq!(in_hand[0].state, InHandState::Running);
    assert_eq!(in_hand[1].state, InHandState::Queued);
    assert_eq!(end.sent(), []);
}

#[test]
fn what_the_welcome_drops_is_gone() {
    let mut end = End::open();
    end.run(1);
    end.report(1);
    end.deliver(2);
    end.session.disconnected(end.now);
    end.finish(1);
    let drop_first = Welcome { in_hand: vec![(Delivery(1), false), (Delivery(2), true)], ..welcome() };
    assert_eq!(end.reconnect(drop_first).len(), 2);
    assert_eq!(end.events(), [TrainerEvent::Dropped(Delivery(1))]);
    assert_eq!(end.sent(), []);
    assert_eq!(end.session.unacknowledged().count(), 0);
    assert_eq!(end.finish(1), None);
    assert!(end.session.start(end.now, Delivery(2)));
}

#[test]
fn without_an_orchestrator_a_trainer_is_orphaned_once() {
    let mut end = End::open();
    let start = end.now;
    end.session.disconnected(start);
    end.now = start + 300 * SECOND;
    end.session.connected(end.now);
    end.session.disconnected(end.now);
    assert_eq!(end.session.poll_timeout(), Some(start + 600 * SECOND));
    end.session.handle_timeout(start + 600 * SECOND).unwrap();
    end.session.handle_timeout(start + 700 * SECOND).unwrap();
    assert_eq!(end.events(), [TrainerEvent::Orphaned]);
    end.reconnect(welcome());
}

#[test]
fn a_welcome_ends_the_orphan_timeout() {
    let mut end = End::open();
    end.session.disconnected(end.now);
    end.reconnect(welcome());
    end.session.handle_timeout(end.now + 700 * SECOND).unwrap();
    assert!(!end.events().contains(&TrainerEvent::Orphaned));
}

#[test]
fn an_orchestrator_is_quiet_only_while_it_owes_an_ack() {
    let mut end = End::open();
    end.session.handle_timeout(end.now + 60 * SECOND).unwrap();
    assert_eq!(end.events(), []);
    end.run(1);
    end.finish(1);
    end.sent();
    end.session.handle_timeout(end.now + 5 * SECOND).unwrap();
    assert_eq!(end.events(), [TrainerEvent::Quiet]);
    let entry = end.ack(1, 1);
    assert_eq!(end.events(), [TrainerEvent::Heard, TrainerEvent::Acknowledged(entry)]);
    end.session.handle_timeout(end.now + 60 * SECOND).unwrap();
    assert_eq!(end.events(), []);
}

#[test]
fn a_full_outbox_takes_no_more_work() {
    let mut end = End::open();
    end.session.outbox = Outbox::new(OutboxLimits { unacknowledged_max: 2, ..OutboxLimits::default() });
    for delivery in 1..=2 {
        assert!(end.session.may_take_more());
        end.deliver(delivery);
        end.session.start(end.now, Delivery(delivery));
        end.finish(delivery);
    }
    assert!(!end.session.may_take_more());
    end.sent();
    end.ack(1, 1);
    assert!(end.session.may_take_more());
}

#[test]
fn bye_gives_back_what_is_queued_and_what_still_comes() {
    let mut end = End::open();
    end.run(1);
    end.deliver(2);
    end.session.bye(Bye { code: "exiting".to_owned(), text: String::new() });
    end.receive(&ToTrainer::Deliver(deliver(3))).unwrap();
    assert_eq!(end.events(), [TrainerEvent::Dropped(Delivery(2))]);
    let returned = || Outcome::Returned { code: "trainer_leaving".to_owned() };
    let sent = end.sent();
    assert_eq!(sent[0], result(2, 1, returned()));
    assert!(matches!(sent[1], FromTrainer::Bye(_)));
    assert_eq!(sent[2], result(3, 1, returned()));
    assert!(end.finish(1).is_some());
}

#[test]
fn a_result_that_fits_no_frame_is_refused_while_its_delivery_goes_on() {
    let mut end = End::open();
    end.run(1);
    let name = "x".repeat(5_000);
    let metric = crate::message::Metric { name, value: crate::message::MetricValue::Number(1.0) };
    let error = end.session.finish(end.now, Delivery(1), Outcome::Succeeded, vec![metric]).unwrap_err();
    assert_eq!((error.code(), error.fault()), ("unsendable", crate::error::Fault::Caller));
    assert_eq!(end.finish(1), Some(1));
}

#[test]
fn a_long_traceback_is_shortened_and_sent() {
    let mut end = End::open();
    end.run(1);
    let error =
        TrainerError { kind: "E".to_owned(), traceback: "x".repeat(100_000), ..TrainerError::default() };
    end.session.finish(end.now, Delivery(1), Outcome::Failed(error), Vec::new()).unwrap();
    assert_eq!(end.sent().len(), 1);
}

#[test]
fn the_spool_takes_what_no_ack_has_named() {
    let mut end = End::open();
    end.run(1);
    end.finish(1);
    end.sent();
    end.deliver(2);
    end.session.return_delivery(Delivery(2), "descriptor_missing");
    assert_eq!(end.session.unacknowledged().count(), 2);
    end.session.forget_unacknowledged();
    assert_eq!(end.session.unacknowledged().count(), 0);
    assert_eq!(end.reconnect(welcome()), []);
}

#[test]
fn refused_is_the_end_of_the_connection() {
    let mut end = End::open();
    let refused = Refused {
        code: "replaced".to_owned(),
        text: String::new(),
        retry_later: false,
        protocol_min: 1,
        protocol_max: 1,
    };
    end.receive(&ToTrainer::Refused(refused.clone())).unwrap();
    assert_eq!(end.events(), [TrainerEvent::Refused(refused)]);
    end.receive(&ToTrainer::Stop(stop(1))).unwrap();
    assert_eq!((end.sent(), end.events()), (vec![], vec![]));
    assert!(!end.session.is_open());
}

#[test]
fn rows_leave_before_the_result_of_their_delivery() {
    let mut end = End::open();
    end.run(1);
    end.report(1);
    assert_eq!(end.sent().len(), 1, "the first at once");
    end.report(1);
    assert_eq!(end.sent(), []);
    end.finish(1);
    let sent = end.sent();
    assert!(matches!(sent.as_slice(), [FromTrainer::Report(_), FromTrainer::Result(_)]), "{sent:?}");
    end.report(1);
    assert_eq!(end.session.poll_timeout(), Some(end.now + SECOND), "after its result nothing is reported");
}
