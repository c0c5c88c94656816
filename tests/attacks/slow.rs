//! Peers that take their time.

use std::time::Duration;

use trainwire::record::Record;
use trainwire_protocol::message::FromTrainer;
use trainwire_tests::{frames, hello, within};

use crate::Arena;

#[tokio::test]
async fn half_a_frame_and_silence_is_a_frame_timeout() {
    let mut arena = Arena::new().await;
    let bytes = frames(&[FromTrainer::Hello(hello("victim", None))]);
    for half in [1, 4, 8, 9, bytes.len() - 1] {
        let mut peer = arena.connect();
        peer.send_bytes(&bytes[..half]).await.expect("room for half a frame");
        assert_eq!(peer.parting_code().await, "frame_timeout", "{half} bytes");
    }
    let mut peer = arena.attach().await;
    peer.send_bytes(&[0x34]).await.expect("room for a byte");
    assert_eq!(peer.parting_code().await, "frame_timeout");
    arena.stands().await;
}

#[tokio::test]
async fn bytes_that_trickle_get_no_more_time_than_silence() {
    let mut arena = Arena::new().await;
    let mut peer = arena.connect();
    // Every byte in time after the one before it; all of them would take a minute.
    let bytes = frames(&[FromTrainer::Hello(hello("victim", None))]);
    for byte in bytes {
        if peer.send_bytes(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(peer.parting_code().await, "frame_timeout");
    arena.stands().await;
}

#[tokio::test]
async fn a_thousand_connections_that_say_nothing_keep_nobody_from_working() {
    let mut arena = Arena::with(3, |config| config.handshake_timeout = Duration::from_secs(2)).await;
    let mut silent = Vec::new();
    for _ in 0..count() {
        silent.push(arena.connect());
    }
    let mut honest = arena.attach().await;
    let (deliver, _) = honest.delivered().await.expect("a task");
    honest.send(&[FromTrainer::Started(deliver.delivery)]).await;
    for mut peer in silent {
        assert_eq!(peer.parting_code().await, "handshake_timeout");
    }
    drop(honest);
    arena.stands().await;
}

/// As many as this process may have, both ends being in it.
fn count() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("/proc");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let soft = files.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX);
    1_000.min((soft - 200) / 2)
}

#[tokio::test]
async fn a_trainer_that_takes_a_task_and_falls_silent_loses_it_to_another() {
    let mut arena = Arena::new().await;
    let mut silent = arena.attach().await;
    let (deliver, _) = silent.delivered().await.expect("a task");
    let ended = arena.watch.record(|record| match record {
        Record::Ended { delivery, .. } => Some(*delivery),
        _ => None,
    });
    assert_eq!(within(ended).await, deliver.delivery.0);
    arena.stands().await;
}
