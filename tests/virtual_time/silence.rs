//! What silence means: between frames, inside a frame, and for hours.

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckEntry, AckKind, Outcome};
use trainwire_protocol::session::{OrchestratorEvent, TrainerEvent};

use crate::pair::{Pair, ms, seconds};
use crate::pipe::Towards;

fn edges(events: Vec<OrchestratorEvent>) -> Vec<OrchestratorEvent> {
    events
        .into_iter()
        .filter(|event| matches!(event, OrchestratorEvent::Quiet | OrchestratorEvent::Heard))
        .collect()
}

fn running(pair: &mut Pair) {
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    assert!(pair.trainer.session.start(pair.now, Delivery(1)));
    pair.run_for(ms(5));
    pair.trainer_events();
    pair.orchestrator_events();
}

#[test]
fn heartbeats_keep_an_idle_connection_from_being_quiet() {
    let mut pair = Pair::open();
    pair.run_for(seconds(3_600));
    let events = pair.orchestrator_events();
    assert_eq!(events.len(), 3_600);
    assert!(events.iter().all(|event| matches!(event, OrchestratorEvent::Heartbeat(_))));
    assert_eq!(pair.trainer_events(), []);
}

#[test]
fn a_stopped_trainer_is_quiet_after_recv_timeout_and_heard_when_it_goes_on() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.run_for(ms(500));
    pair.trainer.frozen = true;
    pair.run_for(ms(4_400));
    assert_eq!(edges(pair.orchestrator_events()), []);
    pair.run_for(seconds(600));
    assert_eq!(edges(pair.orchestrator_events()), [OrchestratorEvent::Quiet]);
    pair.trainer.frozen = false;
    pair.run_for(seconds(60));
    assert_eq!(edges(pair.orchestrator_events()), [OrchestratorEvent::Heard]);
    assert!(pair.trainer.session.is_open());
}

#[test]
fn a_long_silence_of_the_trainers_code_shows_in_the_heartbeats() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.run_for(seconds(30));
    let age = |events: Vec<OrchestratorEvent>| match events.last() {
        Some(OrchestratorEvent::Heartbeat(heartbeat)) => heartbeat.progress_age,
        other => panic!("{other:?}"),
    };
    assert!(age(pair.orchestrator_events()) >= seconds(29));
    pair.trainer.session.busy(pair.now, seconds(60));
    pair.run_for(seconds(50));
    assert_eq!(age(pair.orchestrator_events()), seconds(0));
    pair.run_for(seconds(30));
    assert!(age(pair.orchestrator_events()) >= seconds(19));
}

#[test]
fn half_a_frame_and_silence_end_the_connection() {
    let mut pair = Pair::open();
    pair.inject(Towards::Orchestrator, &[52, 0, 0, 0, 12, 0, 6]);
    // Whatever follows belongs to the half frame: heartbeats must not save it.
    pair.trainer.frozen = true;
    pair.run_for(ms(4_990));
    assert_eq!(pair.orchestrator.errors, []);
    pair.run_for(ms(20));
    assert_eq!(pair.orchestrator.errors, [ProtocolError::FrameTimeout { after: seconds(5) }]);
}

#[test]
fn a_frame_that_trickles_has_no_more_time_than_one_that_stops() {
    let mut pair = Pair::open();
    pair.trainer.frozen = true;
    let mut bytes = vec![0xfc, 0xff, 0, 0, 9, 0, 0xff, 0x1f];
    bytes.resize(1_000, 0);
    let began = pair.now;
    for byte in bytes {
        if !pair.orchestrator.errors.is_empty() {
            break;
        }
        pair.inject(Towards::Orchestrator, &[byte]);
        pair.run_for(ms(100));
    }
    assert_eq!(pair.orchestrator.errors, [ProtocolError::FrameTimeout { after: seconds(5) }]);
    assert!(pair.now - began < ms(5_200));
    assert_eq!(edges(pair.orchestrator_events()), []);
}

#[test]
fn half_a_frame_from_the_orchestrator_ends_the_connection_too() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.inject(Towards::Trainer, &[52, 0, 0, 0, 11]);
    pair.run_for(seconds(6));
    assert_eq!(pair.trainer.errors, [ProtocolError::FrameTimeout { after: seconds(5) }]);
    assert!(!pair.is_connected());
    let events = pair.orchestrator_events();
    assert!(
        matches!(events.last(), Some(OrchestratorEvent::Bye(bye)) if bye.code == "frame_timeout"),
        "{events:?}"
    );
    pair.connect(None);
    pair.welcome(vec![(Delivery(1), true)]);
    let finished = pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new());
    assert_eq!(finished, Ok(Some(1)));
}

#[test]
fn a_stopped_orchestrator_is_quiet_for_whoever_waits_for_an_ack() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.orchestrator.frozen = true;
    pair.run_for(seconds(60));
    assert_eq!(pair.trainer_events(), [], "it owed nothing");
    pair.trainer.session.finish(pair.now, Delivery(1), Outcome::Succeeded, Vec::new()).unwrap();
    pair.run_for(seconds(60));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Quiet]);
    pair.orchestrator.frozen = false;
    pair.run_for(ms(10));
    let entry = AckEntry { delivery: Delivery(1), seq: 1, kind: AckKind::Stored };
    pair.orchestrator.session.ack(entry);
    pair.run_for(ms(10));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Heard, TrainerEvent::Acknowledged(entry)]);
}

#[test]
fn what_arrived_during_a_pause_of_the_orchestrator_arrived_in_time() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.orchestrator.frozen = true;
    pair.run_for(seconds(600));
    pair.orchestrator.frozen = false;
    pair.act();
    let events = pair.orchestrator_events();
    assert_eq!(events.len(), 600);
    assert_eq!(edges(events), []);
}

#[test]
fn a_trainer_without_an_orchestrator_is_orphaned_after_orphan_timeout() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.lose();
    pair.run_for(ms(599_990));
    assert_eq!(pair.trainer_events(), []);
    pair.run_for(ms(20));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Orphaned]);
    pair.run_for(seconds(6_000));
    assert_eq!(pair.trainer_events(), []);
}

#[test]
fn connections_without_a_welcome_do_not_put_the_orphan_timeout_off() {
    let mut pair = Pair::open();
    running(&mut pair);
    pair.lose();
    pair.orchestrator.frozen = true;
    for _ in 0..50 {
        pair.connect(None);
        pair.run_for(seconds(12));
        pair.lose();
    }
    pair.run_for(seconds(1));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Orphaned]);
}
