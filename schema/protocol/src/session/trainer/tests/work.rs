//! What a trainer makes of its deliveries.

use super::*;

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
fn bye_is_said_again_on_a_new_connection() {
    let mut end = End::open();
    end.run(1);
    let bye = Bye { code: "exiting".to_owned(), text: String::new() };
    end.session.bye(bye.clone());
    assert_eq!(end.sent(), [FromTrainer::Bye(bye.clone())]);
    end.session.disconnected(end.now);
    end.reconnect(welcome());
    assert_eq!(end.sent(), [FromTrainer::Bye(bye)]);
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
fn rows_leave_before_the_result_of_their_delivery() {
    let mut end = End::open();
    end.run(1);
    end.report(1);
    end.finish(1);
    let sent = end.sent();
    assert!(matches!(sent.as_slice(), [FromTrainer::Report(_), FromTrainer::Result(_)]), "{sent:?}");
    end.report(1);
    assert_eq!(end.session.poll_timeout(), Some(end.now + SECOND), "after its result nothing is reported");
}
