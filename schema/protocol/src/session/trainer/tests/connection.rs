//! What a trainer makes of its connections.

use super::*;

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
fn replica_again() {
    let mut end = End::open();
    end.session.identity.role = Role::Replica;
    end.deliver(3);
    end.receive(&ToTrainer::Deliver(deliver(3))).unwrap();
    end.session.start(end.now, Delivery(3));
    end.finish(3);
    end.ack(3, 1);
    end.events();
    // It is not in hand any more; an orchestrator that was started anew cannot know.
    end.receive(&ToTrainer::Deliver(deliver(3))).unwrap();
    end.receive(&ToTrainer::Deliver(deliver(2))).unwrap();
    assert_eq!(end.events(), []);
    end.deliver(4);
}
