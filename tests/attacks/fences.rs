//! Words about deliveries that are over, or are somebody else's.

use trainwire::record::{Ending, Record};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckKind, Bye, Checkpoint, CheckpointRef, FromTrainer, Report, ToTrainer};
use trainwire_tests::{Heard, Peer, result};

use crate::Arena;

#[tokio::test]
async fn what_comes_for_a_delivery_that_is_over_changes_nothing_and_is_acknowledged() {
    let mut arena = Arena::with(1, |_| ()).await;
    let mut first = arena.attach().await;
    let (stale, _) = first.delivered().await.expect("a task");
    let bye = Bye { code: "exiting".to_owned(), text: String::new() };
    first.send(&[FromTrainer::Bye(bye)]).await;
    let mut second = arena.attach().await;
    let (fresh, _) = second.delivered().await.expect("the task again");
    assert!(fresh.delivery > stale.delivery);

    first.send(&[result(stale.delivery, 1)]).await;
    assert_eq!(acknowledged(&mut first).await, (stale.delivery, 1, AckKind::Superseded));
    second.send(&[result(fresh.delivery, 1), result(fresh.delivery, 1), result(stale.delivery, 5)]).await;
    assert_eq!(acknowledged(&mut second).await, (fresh.delivery, 1, AckKind::Stored));
    drop((first, second));

    assert!(arena.end().await.succeeded());
    let [Ending::Returned { .. }, Ending::Succeeded { .. }] = arena.watch.endings()[..] else {
        panic!("{:#?}", arena.watch.endings())
    };
    let superseded = |record: &&Record| matches!(record, Record::Superseded { delivery, .. } if *delivery == stale.delivery.0);
    assert!(arena.watch.records().any(|record| superseded(&record)));
}

#[tokio::test]
async fn nobody_ends_or_reports_what_another_one_works_on() {
    let mut arena = Arena::with(2, |_| ()).await;
    let (mut one, mut other) = (arena.attach().await, arena.attach().await);
    let (ours, _) = one.delivered().await.expect("a task");
    let (theirs, _) = other.delivered().await.expect("a task");
    let checkpoint = Checkpoint {
        delivery: ours.delivery,
        seq: 1,
        at: CheckpointRef { path: "/etc/passwd".to_owned(), step: None, epoch: None },
        metrics: Vec::new(),
    };
    let report = Report {
        delivery: ours.delivery,
        names: ["stolen".to_owned()].into(),
        times_us: vec![1],
        steps: None,
        epochs: None,
        values: vec![1.0],
        thinned: 0,
    };
    let foreign = [
        FromTrainer::Started(ours.delivery),
        FromTrainer::Report(report),
        FromTrainer::Checkpoint(checkpoint),
        result(ours.delivery, 2),
        result(Delivery(u64::MAX), 1),
    ];
    other.send(&foreign).await;
    for _ in 0..3 {
        let (delivery, _, kind) = acknowledged(&mut other).await;
        assert_ne!(delivery, theirs.delivery);
        assert_eq!(kind, AckKind::Superseded);
    }
    one.send(&[result(ours.delivery, 1)]).await;
    other.send(&[result(theirs.delivery, 1)]).await;
    assert_eq!(acknowledged(&mut one).await, (ours.delivery, 1, AckKind::Stored));
    assert_eq!(acknowledged(&mut other).await, (theirs.delivery, 1, AckKind::Stored));
    drop((one, other));
    assert!(arena.end().await.succeeded());
    assert!(!arena.watch.records().any(|record| matches!(record, Record::Checkpointed { .. })));
    let stolen = |event: &trainwire::Event| matches!(event.what, trainwire::What::Progress(_));
    assert!(!arena.watch.seen.iter().any(stolen));
}

/// The next acknowledgement, one entry at a time.
async fn acknowledged(peer: &mut Peer) -> (Delivery, u64, AckKind) {
    if peer.acks.is_empty() {
        loop {
            match peer.hear().await {
                Heard::Message(ToTrainer::Ack(entries), _) => {
                    peer.acks.extend(entries);
                    break;
                }
                Heard::Message(..) => {}
                Heard::End => panic!("the connection ended without an Ack"),
            }
        }
    }
    let entry = peer.acks.remove(0);
    (entry.delivery, entry.seq, entry.kind)
}
