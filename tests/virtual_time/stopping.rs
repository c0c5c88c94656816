//! Stops, and what they meet on the way.

use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckEntry, AckKind, MOVED, Outcome, Stop, TaskResult};
use trainwire_protocol::session::{OrchestratorEvent, TrainerEvent};

use crate::pair::{Pair, ms, seconds};

fn stop(delivery: u64) -> Stop {
    Stop {
        delivery: Delivery(delivery),
        reason: "cancelled".to_owned(),
        time_left: seconds(30),
        want_checkpoint: true,
        dump_stacks: false,
    }
}

fn results(events: Vec<OrchestratorEvent>) -> Vec<(u64, Outcome)> {
    let result = |event| match event {
        OrchestratorEvent::Result(TaskResult { delivery, outcome, .. }) => Some((delivery.0, outcome)),
        _ => None,
    };
    events.into_iter().filter_map(result).collect()
}

fn returned() -> Outcome {
    Outcome::Returned { code: "stopped_before_start".to_owned() }
}

#[test]
fn stop_before_start() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.orchestrator.session.stop(stop(1));
    pair.run_for(ms(5));
    assert_eq!(results(pair.orchestrator_events()), [(1, returned())]);
    assert!(!pair.trainer.session.start(pair.now, Delivery(1)));
    assert_eq!(pair.trainer_events().last(), Some(&TrainerEvent::Dropped(Delivery(1))));
}

#[test]
fn stop_right_behind_its_deliver() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.orchestrator.session.stop(stop(1));
    pair.run_for(ms(5));
    assert_eq!(results(pair.orchestrator_events()), [(1, returned())]);
}

#[test]
fn stop_of_the_running_one() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.orchestrator.session.stop(stop(1));
    pair.run_for(ms(5));
    assert_eq!(pair.trainer_events().last(), Some(&TrainerEvent::Stop(stop(1))));
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Stopped, Vec::new()).unwrap();
    pair.run_for(ms(5));
    assert_eq!(results(pair.orchestrator_events()), [(1, Outcome::Stopped)]);
}

#[test]
fn stop_move() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.deliver(2, 0);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.trainer_events();
    for delivery in [1, 2, 3] {
        pair.orchestrator.session.stop(Stop { reason: MOVED.to_owned(), ..stop(delivery) });
    }
    pair.run_for(ms(5));
    let moved = Outcome::Returned { code: MOVED.to_owned() };
    assert_eq!(results(pair.orchestrator_events()), [(2, moved)]);
    assert_eq!(pair.trainer_events(), [TrainerEvent::Dropped(Delivery(2))], "who runs is not disturbed");
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.run_for(ms(5));
    assert_eq!(results(pair.orchestrator_events()), [(1, Outcome::Succeeded)]);
}

#[test]
fn stop_while_the_result_is_in_flight() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.run_for(ms(5));
    pair.trainer_events();
    // Both leave at the same instant and pass each other.
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.orchestrator.session.stop(stop(1));
    pair.run_for(ms(5));
    assert_eq!(results(pair.orchestrator_events()), [(1, Outcome::Succeeded)]);
    assert_eq!(pair.trainer_events(), [], "a result that is under way wins");
}

#[test]
fn stop_of_a_delivery_that_is_over_or_was_never_here() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.run_for(ms(5));
    pair.orchestrator.session.ack(AckEntry { delivery: Delivery(1), seq: 1, kind: AckKind::Stored });
    pair.deliver(2, 1);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(2));
    pair.trainer_events();
    pair.orchestrator.session.stop(stop(1));
    pair.orchestrator.session.stop(stop(77));
    pair.run_for(ms(5));
    assert_eq!(pair.trainer_events(), [], "a stop names one delivery and touches no other");
    assert!(pair.trainer.session.is_open());
}

#[test]
fn stop_of_a_queued_one_leaves_the_running_one_alone() {
    let mut pair = Pair::open();
    for delivery in 1..=3 {
        pair.deliver(delivery, delivery);
    }
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.orchestrator.session.stop(stop(2));
    pair.run_for(ms(5));
    assert_eq!(results(pair.orchestrator_events()), [(2, returned())]);
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    assert!(!pair.trainer.session.start(pair.now, Delivery(2)));
    assert!(pair.trainer.session.start(pair.now, Delivery(3)));
}

#[test]
fn stop_lost_with_its_connection_is_sent_again_by_whoever_wants_it() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    pair.trainer.session.start(pair.now, Delivery(1));
    pair.trainer_events();
    pair.orchestrator.session.stop(stop(1));
    pair.act();
    pair.connect(None);
    pair.orchestrator_events();
    pair.welcome(vec![(Delivery(1), true)]);
    pair.run_for(ms(5));
    assert_eq!(pair.trainer_events(), [], "the Stop went down with the connection");
    pair.orchestrator.session.stop(stop(1));
    pair.run_for(ms(5));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Stop(stop(1))]);
}
