//! What is lost with a connection, and what is not.

use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckEntry, AckKind, CheckpointRef, InHand, InHandState, Outcome};
use trainwire_protocol::session::{OrchestratorEvent, Row, RowBuffer, RowLimits, Then, TrainerEvent};

use crate::pair::{Pair, ms, seconds};

fn ack(delivery: u64, seq: u64, kind: AckKind) -> AckEntry {
    AckEntry { delivery: Delivery(delivery), seq, kind }
}

fn results(events: &[OrchestratorEvent]) -> Vec<(u64, u64)> {
    let result = |event: &OrchestratorEvent| match event {
        OrchestratorEvent::Result(result) => Some((result.delivery.0, result.seq)),
        _ => None,
    };
    events.iter().filter_map(result).collect()
}

/// One delivery, finished; its result is under way.
fn finished() -> Pair {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.run_for(ms(5));
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.act();
    pair.trainer_events();
    pair.orchestrator_events();
    pair
}

/// A new connection's Hello; answered so that everything is kept.
fn reconnect(pair: &mut Pair) -> Vec<InHand> {
    pair.connect(None);
    pair.run_for(ms(3));
    let events = pair.orchestrator_events();
    let [OrchestratorEvent::Hello(hello)] = events.as_slice() else { panic!("{events:?}") };
    let in_hand = hello.in_hand.clone();
    let keep = in_hand.iter().map(|in_hand| (in_hand.delivery, true)).collect();
    pair.orchestrator.session.welcome(pair.now, crate::pair::welcome(keep));
    pair.run_for(ms(5));
    in_hand
}

#[test]
fn a_result_lost_with_the_connection_comes_again_and_is_acknowledged_once() {
    let mut pair = finished();
    let in_hand = reconnect(&mut pair);
    assert_eq!(in_hand, [InHand { delivery: Delivery(1), last_seq: 1, state: InHandState::Finished }]);
    assert_eq!(results(&pair.orchestrator_events()), [(1, 1)]);
    pair.trainer_events();
    pair.orchestrator.session.ack(ack(1, 1, AckKind::Stored));
    pair.run_for(seconds(10));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Acknowledged(ack(1, 1, AckKind::Stored))]);
    assert_eq!(results(&pair.orchestrator_events()), []);
    assert_eq!(reconnect(&mut pair), []);
}

#[test]
fn a_result_whose_ack_was_lost_comes_again_with_the_same_number() {
    let mut pair = finished();
    pair.run_for(ms(5));
    assert_eq!(results(&pair.orchestrator_events()), [(1, 1)]);
    pair.orchestrator.session.ack(ack(1, 1, AckKind::Stored));
    pair.act();
    reconnect(&mut pair);
    assert_eq!(results(&pair.orchestrator_events()), [(1, 1)]);
    // The orchestrator has it: the second time changes nothing, and says so.
    pair.orchestrator.session.ack(ack(1, 1, AckKind::Superseded));
    pair.run_for(ms(5));
    assert_eq!(
        pair.trainer_events().last(),
        Some(&TrainerEvent::Acknowledged(ack(1, 1, AckKind::Superseded)))
    );
    assert_eq!(pair.trainer.session.unacknowledged().count(), 0);
}

#[test]
fn a_second_ack_changes_nothing() {
    let mut pair = finished();
    for _ in 0..2 {
        pair.orchestrator.session.ack(ack(1, 1, AckKind::Stored));
        pair.run_for(ms(5));
    }
    pair.orchestrator.session.ack(ack(9, 4, AckKind::Superseded));
    pair.run_for(ms(5));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Acknowledged(ack(1, 1, AckKind::Stored))]);
    assert_eq!(pair.trainer.errors, []);
}

#[test]
fn a_deliver_lost_with_the_connection_is_missing_in_the_hello() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.deliver(2, 1);
    pair.act();
    let in_hand = reconnect(&mut pair);
    assert_eq!(in_hand, [InHand { delivery: Delivery(1), last_seq: 0, state: InHandState::Queued }]);
    // Handed out again, under another number.
    pair.deliver(3, 1);
    pair.run_for(ms(5));
    assert!(pair.trainer.session.start(pair.now, Delivery(1)));
    assert!(!pair.trainer.session.start(pair.now, Delivery(2)));
    assert!(pair.trainer.session.start(pair.now, Delivery(3)));
}

#[test]
fn a_welcome_drops_what_the_orchestrator_does_not_want() {
    let mut pair = Pair::open();
    for delivery in 1..=3 {
        pair.deliver(delivery, delivery);
    }
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.trainer.session.start(pair.now, Delivery(2));
    pair.connect(None);
    pair.orchestrator_events();
    pair.trainer_events();
    pair.run_for(ms(3));
    pair.orchestrator_events();
    let verdicts = vec![(Delivery(1), false), (Delivery(2), false), (Delivery(3), true)];
    pair.orchestrator.session.welcome(pair.now, crate::pair::welcome(verdicts));
    pair.run_for(ms(5));
    let dropped = [TrainerEvent::Dropped(Delivery(1)), TrainerEvent::Dropped(Delivery(2))];
    assert_eq!(pair.trainer_events()[1..], dropped);
    // The code that still runs the dropped one may end it: nothing comes of it.
    assert_eq!(pair.trainer.session.finish(pair.now, Delivery(2), Outcome::Stopped, Vec::new()), Ok(None));
    pair.run_for(seconds(2));
    assert_eq!(results(&pair.orchestrator_events()), []);
    assert!(pair.trainer.session.start(pair.now, Delivery(3)));
}

#[test]
fn work_goes_on_while_there_is_no_connection() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.deliver(2, 1);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.lose();
    let mut rows = RowBuffer::new(RowLimits::default());
    for time_us in 0..100_000 {
        rows.push_row(Delivery(1), Row { time_us, step: Some(1), epoch: None, metrics: &[("loss", 0.5)] });
        if rows.then(time_us, false) == Then::Send {
            pair.trainer.session.report(pair.now, &mut rows);
        }
    }
    pair.trainer.session.report(pair.now, &mut rows);
    let at = CheckpointRef { path: "epoch-1".to_owned(), step: None, epoch: None };
    pair.trainer.session.checkpoint(pair.now, Delivery(1), at, Vec::new()).unwrap();
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.trainer.session.start(pair.now, Delivery(2));
    pair.run_for(seconds(60));
    pair.orchestrator_events();
    let states: Vec<_> = reconnect(&mut pair).iter().map(|in_hand| in_hand.state).collect();
    assert_eq!(states, [InHandState::Finished, InHandState::Running]);
    pair.run_for(ms(50));
    let (mut rows, mut order) = (0, Vec::new());
    for event in pair.orchestrator_events() {
        match event {
            OrchestratorEvent::Report(report) => {
                rows += report.times_us.len() as u64 + report.thinned;
                order.push("rows");
            }
            OrchestratorEvent::Checkpoint(_) => order.push("checkpoint"),
            OrchestratorEvent::Result(_) => order.push("result"),
            OrchestratorEvent::Started(delivery) => panic!("the Hello has said that {delivery} is started"),
            _ => {}
        }
    }
    order.dedup();
    assert_eq!(order, ["rows", "checkpoint", "result"]);
    assert_eq!(rows, 100_000, "all of them, or counted");
}

#[test]
fn a_window_is_worked_off_in_order() {
    let mut pair = Pair::open();
    for delivery in 1..=64 {
        pair.deliver(delivery, delivery);
    }
    pair.run_for(ms(5));
    for delivery in 1..=64 {
        assert!(pair.trainer.session.start(pair.now, Delivery(delivery)));
        pair.trainer.session.finish(pair.now, Delivery(delivery), Outcome::Succeeded, Vec::new()).unwrap();
    }
    assert!(!pair.trainer.session.has_queued());
    pair.run_for(ms(5));
    let events = pair.orchestrator_events();
    assert_eq!(results(&events), (1..=64).map(|delivery| (delivery, 1)).collect::<Vec<_>>());
    for delivery in 1..=64 {
        pair.orchestrator.session.ack(ack(delivery, 1, AckKind::Stored));
    }
    pair.run_for(ms(5));
    assert_eq!(pair.trainer.session.unacknowledged().count(), 0);
}
