//! Dialogues with random damage, the same damage in every run.

use trainwire_protocol::message::{Bye, Checkpoint, CheckpointRef, FromTrainer, Heartbeat, Report};
use trainwire_tests::{Heard, frames, hello, result};

use crate::Arena;

#[tokio::test]
async fn damaged_hellos_end_nothing_but_their_connection() {
    let mut arena = Arena::with(TASKS, |_| ()).await;
    let mut random = Random(1);
    for _ in 0..ROUNDS {
        let mut bytes = frames(&[FromTrainer::Hello(hello("victim", None))]);
        random.damage(&mut bytes);
        let mut peer = arena.connect();
        // It may have been closed in the middle.
        let _ = peer.send_bytes(&bytes).await;
        peer.end().await;
        peer.parting().await;
    }
    arena.survives().await;
}

#[tokio::test]
async fn damaged_dialogues_end_nothing_but_their_connection() {
    let mut arena = Arena::with(TASKS, |_| ()).await;
    let mut random = Random(2);
    for _ in 0..ROUNDS {
        let mut peer = arena.connect();
        peer.send(&[FromTrainer::Hello(hello("victim", None))]).await;
        // Unless another one's loss has just taken its process along.
        if let Heard::Message(..) = peer.hear().await {
            let mut bytes = dialogue(random.next() % 1_000);
            random.damage(&mut bytes);
            let _ = peer.send_bytes(&bytes).await;
            peer.end().await;
            peer.parting().await;
        }
    }
    arena.survives().await;
}

/// Everything a trainer says of one delivery.
fn dialogue(delivery: u64) -> Vec<u8> {
    let delivery = trainwire_protocol::id::Delivery(delivery);
    let report = Report {
        delivery,
        names: ["loss".to_owned(), "accuracy".to_owned()].into(),
        times_us: vec![1, 2],
        steps: Some(vec![1, 2]),
        epochs: Some(vec![0.5, 1.0]),
        values: vec![0.1, 0.2, 0.3, 0.4],
        thinned: 0,
    };
    let at = CheckpointRef { path: "/tmp/epoch-1.pt".to_owned(), step: Some(1), epoch: Some(1.0) };
    frames(&[
        FromTrainer::Started(delivery),
        FromTrainer::Report(report),
        FromTrainer::Heartbeat(Heartbeat {
            running: Some(delivery),
            progress_age: std::time::Duration::ZERO,
        }),
        FromTrainer::Checkpoint(Checkpoint { delivery, seq: 1, at, metrics: Vec::new() }),
        result(delivery, 2),
        FromTrainer::Bye(Bye { code: "exiting".to_owned(), text: String::new() }),
    ])
}

/// Steele, Lea and Flood's splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a 64-bit machine, or fewer random bits")]
    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }

    /// One to four changes: a bit, a byte, a stretch left out, doubled or made up.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][self.below(6)],
                2 => drop(bytes.drain(at..end)),
                3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                4 => bytes[at..end].iter_mut().for_each(|byte| *byte = self.next().to_le_bytes()[0]),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                return;
            }
        }
    }
}

/// Connections a test.
const ROUNDS: usize = 3_000;

/// Some peers live through their damage and are handed tasks, which come back when they are gone.
const TASKS: usize = 1_000;
