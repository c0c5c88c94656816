//! Peers that send without end and never read.

use std::time::Duration;

use tokio::time::timeout;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{FromTrainer, Heartbeat, Report};
use trainwire_tests::{frames, result};

use crate::Arena;

#[tokio::test]
async fn a_flood_of_reports_and_heartbeats_is_read_in_bounded_memory() {
    let mut arena = Arena::new().await;
    let mut peer = arena.attach().await;
    let (deliver, _) = peer.delivered().await.expect("a task");
    let report = FromTrainer::Report(Report {
        delivery: deliver.delivery,
        names: (0..100).map(|number| format!("metric/{number}")).collect(),
        times_us: vec![1; 5],
        steps: None,
        epochs: None,
        values: vec![0.5; 500],
        thinned: 0,
    });
    let heartbeat = Heartbeat { running: Some(deliver.delivery), progress_age: Duration::ZERO };
    let burst = frames(&[report, FromTrainer::Heartbeat(heartbeat)]);
    peer.send(&[FromTrainer::Started(deliver.delivery)]).await;
    let before = resident_bytes();
    // Some 140 MB.
    for _ in 0..20_000 {
        peer.send_bytes(&burst).await.expect("the orchestrator reads on");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");
    peer.send(&[result(deliver.delivery, 1)]).await;
    drop(peer);
    arena.stands().await;
}

#[tokio::test]
async fn answers_nobody_reads_hold_up_only_who_asked_for_them() {
    let mut arena = Arena::new().await;
    let mut peer = arena.attach().await;
    let burst = frames(&vec![result(Delivery(u64::MAX), 1); 1_000]);
    let before = resident_bytes();
    let mut sent = 0;
    // Until the orchestrator reads no more, because it cannot answer.
    while sent < 400
        && timeout(Duration::from_secs(1), peer.send_bytes(&burst)).await.is_ok_and(|sent| sent.is_ok())
    {
        sent += 1;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes after {sent} bursts");
    assert!(sent < 400, "the orchestrator answered {sent} bursts into nothing");
    drop(peer);
    arena.stands().await;
}

/// Of this process, in which the orchestrator runs.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4_096
}

/// Far below what was sent; far above what a thousand buffered events take.
const GROWTH_BYTES_MAX: usize = 64 << 20;
