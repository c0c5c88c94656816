//! Wrong first words.

use trainwire_protocol::id::{Delivery, Token};
use trainwire_protocol::message::{FromTrainer, Hello};
use trainwire_tests::hello;

use crate::Arena;

#[tokio::test]
async fn whoever_may_not_come_in_is_told_why() {
    let mut arena = Arena::new().await;
    let change = |change: fn(&mut Hello)| {
        let mut hello = hello("victim", None);
        change(&mut hello);
        vec![FromTrainer::Hello(hello)]
    };
    let cases = [
        ("hello_expected", vec![FromTrainer::Started(Delivery(1))]),
        ("protocol_version", change(|hello| (hello.protocol_min, hello.protocol_max) = (2, 9))),
        ("protocol_version", change(|hello| (hello.protocol_min, hello.protocol_max) = (0, 0))),
        ("wrong_job", vec![FromTrainer::Hello(hello("elsewhere", None))]),
        ("bad_token", change(|hello| hello.token = Some(Token([7; 16])))),
    ];
    for (code, messages) in cases {
        let mut peer = arena.connect();
        peer.send(&messages).await;
        let refused = peer.parting().await.expect("a word");
        assert_eq!(refused.code, code, "{}", refused.text);
        assert_eq!(
            (refused.protocol_min, refused.protocol_max),
            (1, 1),
            "any two versions can part in peace"
        );
        assert_eq!(refused.retry_later, code == "hello_expected", "{code}");
    }
    arena.stands().await;
}

#[tokio::test]
async fn a_second_hello_ends_the_connection() {
    let mut arena = Arena::new().await;
    let mut peer = arena.attach().await;
    peer.send(&[FromTrainer::Hello(hello("victim", None))]).await;
    assert_eq!(peer.parting_code().await, "hello_twice");
    arena.stands().await;
}

#[tokio::test]
async fn what_comes_before_the_welcome_does_not_count() {
    let mut arena = Arena::new().await;
    let mut peer = arena.connect();
    let hello = FromTrainer::Hello(hello("victim", None));
    peer.send(&[hello, trainwire_tests::result(Delivery(1), 1)]).await;
    assert_eq!(peer.parting_code().await, "hello_expected");
    arena.stands().await;
}

#[tokio::test]
async fn a_newer_connection_replaces_the_older_and_an_older_one_is_refused() {
    let mut arena = Arena::new().await;
    let first = hello("victim", None);
    let number = |connection| vec![FromTrainer::Hello(Hello { connection, ..first.clone() })];
    let mut one = arena.connect();
    one.send(&number(1)).await;
    one.welcome().await;
    let mut three = arena.connect();
    three.send(&number(3)).await;
    three.welcome().await;
    one.parting().await;
    for stale in [2, 3] {
        let mut late = arena.connect();
        late.send(&number(stale)).await;
        assert_eq!(late.parting_code().await, "stale_connection");
    }
    assert!(three.delivered().await.is_some(), "the one that counts goes on");
    drop(three);
    arena.stands().await;
}
