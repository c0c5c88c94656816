//! Hello and its answer: deadlines, versions, and what may not come before them.

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::id::{Delivery, Instance, JobId};
use trainwire_protocol::message::{FromTrainer, Hello, InHandState, Refused};
use trainwire_protocol::session::{OrchestratorEvent, TrainerEvent};

use crate::bytes::bytes_of;
use crate::pair::{Pair, ms, seconds, welcome};
use crate::pipe::Towards;

fn refused(code: &str, retry_later: bool) -> Refused {
    Refused {
        code: code.to_owned(),
        text: "the words for people".to_owned(),
        retry_later,
        protocol_min: 1,
        protocol_max: 1,
    }
}

#[test]
fn a_trainer_that_says_nothing_is_told_why_it_has_to_go() {
    let mut pair = Pair::new();
    pair.trainer.frozen = true;
    pair.connect(None);
    pair.run_for(ms(9_999));
    assert_eq!(pair.orchestrator.errors, []);
    pair.run_for(ms(2));
    assert_eq!(pair.orchestrator.errors, [ProtocolError::HandshakeTimeout { after: seconds(10) }]);
    // It was only stopped: when it goes on it says Hello to nobody, and reads why.
    pair.trainer.frozen = false;
    pair.run_for(ms(10));
    let events = pair.trainer_events();
    assert!(
        matches!(&events[0], TrainerEvent::Refused(refused) if refused.code == "handshake_timeout"),
        "{events:?}"
    );
}

#[test]
fn an_orchestrator_that_answers_nothing_is_left_after_the_handshake_timeout() {
    let mut pair = Pair::new();
    pair.orchestrator.frozen = true;
    pair.connect(None);
    pair.run_for(seconds(11));
    assert_eq!(pair.trainer.errors, [ProtocolError::HandshakeTimeout { after: seconds(10) }]);
    pair.orchestrator.frozen = false;
    pair.connect(None);
    pair.welcome(Vec::new());
    assert!(pair.trainer.session.is_open());
}

#[test]
fn a_slow_decision_is_no_error_within_the_trainers_patience() {
    let mut pair = Pair::new();
    pair.connect(None);
    pair.run_for(seconds(9));
    assert!(matches!(pair.orchestrator_events().as_slice(), [OrchestratorEvent::Hello(_)]));
    pair.orchestrator.session.welcome(pair.now, welcome(Vec::new()));
    pair.run_for(ms(10));
    assert!(pair.trainer.session.is_open());
}

#[test]
fn another_version_is_refused_with_words_on_both_sides() {
    let mut pair = Pair::new();
    pair.trainer.frozen = true;
    pair.connect(None);
    let hello = Hello {
        protocol_min: 2,
        protocol_max: 3,
        version: "trainwire 9.0".to_owned(),
        ..Hello::new(JobId::new("digits").unwrap(), Instance(1))
    };
    let mut writer = FrameWriter::default();
    writer.push_from_trainer(&FromTrainer::Hello(hello)).unwrap();
    pair.inject(Towards::Orchestrator, &bytes_of(&mut writer));
    pair.run_for(ms(5));
    assert_eq!(pair.orchestrator_events(), []);
    let [error] = pair.orchestrator.errors.as_slice() else { panic!("{:?}", pair.orchestrator.errors) };
    assert_eq!(error.code(), "protocol_version");
    let words_here = error.to_string();
    pair.trainer.frozen = false;
    pair.run_for(ms(5));
    let events = pair.trainer_events();
    let [TrainerEvent::Refused(refused)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((refused.code.as_str(), refused.retry_later), ("protocol_version", false));
    for words in [&words_here, &refused.text] {
        assert!(words.contains("2 to 3") && words.contains("1 to 1"), "{words}");
    }
}

#[test]
fn refused_reaches_the_trainer_before_the_end_of_the_connection() {
    let mut pair = Pair::new();
    pair.connect(None);
    pair.run_for(ms(5));
    pair.orchestrator.session.refuse(refused("token_in_use", false));
    pair.run_for(ms(5));
    assert_eq!(pair.trainer_events(), [TrainerEvent::Refused(refused("token_in_use", false))]);
    assert!(!pair.is_connected());
    assert_eq!(pair.trainer.errors, []);
}

#[test]
fn a_newer_connection_replaces_the_older_one() {
    let mut pair = Pair::open();
    pair.deliver(1, 0);
    pair.run_for(ms(5));
    assert!(pair.trainer.session.start(pair.now, Delivery(1)));
    // The trainer's host thinks the old one is dead; the orchestrator has not noticed.
    pair.connect(None);
    pair.run_for(ms(5));
    let events = pair.orchestrator_events();
    let Some(OrchestratorEvent::Hello(hello)) = events.last() else { panic!("{events:?}") };
    assert_eq!(hello.connection, 2);
    assert_eq!((hello.in_hand[0].delivery, hello.in_hand[0].state), (Delivery(1), InHandState::Running));
}

#[test]
fn hostile_bytes_end_the_connection_with_their_code() {
    for (bytes, code) in [
        ([0xff, 0xff, 0xff, 0x7f, 12, 0, 0, 0], "bad_length"),
        ([4, 0, 0, 0, 99, 0, 0, 0], "unknown_kind"),
        ([4, 0, 0, 0, 12, 0x80, 0, 0], "bad_flags"),
        ([4, 0, 0, 0, 12, 0, 0, 0], "bad_meta"),
        ([4, 0, 0, 0, 5, 0, 0, 0], "wrong_direction"),
    ] {
        let mut pair = Pair::open();
        pair.inject(Towards::Orchestrator, &bytes);
        pair.run_for(ms(10));
        assert_eq!(pair.orchestrator.errors.iter().map(ProtocolError::code).collect::<Vec<_>>(), [code]);
        let events = pair.trainer_events();
        assert!(
            matches!(&events[..], [TrainerEvent::Refused(refused)] if refused.code == code),
            "{events:?}"
        );
        assert!(!pair.is_connected());
    }
}
