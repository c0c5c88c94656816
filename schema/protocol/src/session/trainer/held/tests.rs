#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::error::ProtocolError;
use crate::id::SlabId;
use crate::message::{AckEntry, AckKind, Bye, Deliver, Outcome, Place, Slab, ToTrainer};
use crate::session::testing::{decode_from_trainer, deliver, hello, to_trainer, welcome};
use crate::session::{Identity, OutboxLimits, TrainerEvent, TrainerSession};

struct End(Instant, TrainerSession);

impl End {
    fn open() -> Self {
        let hello = hello();
        let identity = Identity {
            job_id: hello.job_id,
            token: None,
            instance: hello.instance,
            role: hello.role,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: hello.version,
            can_dump_stacks: false,
        };
        let mut end = Self(Instant::now(), TrainerSession::new(identity, OutboxLimits::default()));
        assert_eq!(end.reconnect(&[]), []);
        end
    }

    /// Gives what the Hello says is held.
    fn reconnect(&mut self, keep: &[u64]) -> Vec<u64> {
        self.1.connected(self.0);
        let sent = self.sent();
        let [FromTrainer::Hello(hello)] = sent.as_slice() else { panic!("{sent:?}") };
        let in_hand = hello.in_hand.iter().map(|one| (one.delivery, keep.contains(&one.delivery.0)));
        let mut welcome = welcome();
        welcome.in_hand = in_hand.collect();
        self.receive(&ToTrainer::Welcome(welcome)).unwrap();
        hello.held.iter().map(|delivery| delivery.0).collect()
    }

    fn receive(&mut self, message: &ToTrainer) -> Result<(), ProtocolError> {
        self.1.handle_frame(self.0, &to_trainer(message).next().unwrap().unwrap())
    }

    /// Whether it reaches the shell.
    fn deliver(&mut self, delivery: u64, offset: u64) -> bool {
        while self.1.poll_event().is_some() {}
        self.receive(&ToTrainer::Deliver(in_slab(delivery, 1, offset))).unwrap();
        matches!(self.1.poll_event(), Some(TrainerEvent::Delivered(_)))
    }

    fn share(&mut self) {
        self.receive(&ToTrainer::Slab(SLAB)).unwrap();
    }

    fn sent(&mut self) -> Vec<FromTrainer> {
        let mut writer = FrameWriter::default();
        self.1.poll_transmit(self.0, &mut writer).unwrap();
        decode_from_trainer(&mut writer)
    }

    /// The frames of releases, and the codes of what goes back.
    fn gone(&mut self) -> (Vec<Vec<u64>>, Vec<String>) {
        let (mut released, mut returned) = (Vec::new(), Vec::new());
        for message in self.sent() {
            match message {
                FromTrainer::Release(deliveries) => {
                    released.push(deliveries.iter().map(|delivery| delivery.0).collect());
                }
                FromTrainer::Result(result) => {
                    let Outcome::Returned { code } = result.outcome else { panic!("{result:?}") };
                    returned.push(code);
                    let (delivery, seq) = (result.delivery, result.seq);
                    let entry = AckEntry { delivery, seq, kind: AckKind::Stored };
                    self.receive(&ToTrainer::Ack(vec![entry])).unwrap();
                }
                _ => {}
            }
        }
        (released, returned)
    }
}

fn in_slab(delivery: u64, slab: u64, offset: u64) -> Deliver {
    Deliver { task_size: 100, place: Place::Slab { slab: SlabId(slab), offset }, ..deliver(delivery) }
}

const SLAB: Slab = Slab { slab: SlabId(1), size: 1_000 };

#[test]
fn slab_range_outside_goes_back_and_the_connection_goes_on() {
    let mut end = End::open();
    assert!(!end.deliver(1, 0), "no slab on this connection");
    end.share();
    for (delivery, offset) in [(2, 4), (3, 904), (4, 1_000), (5, u64::MAX - 7)] {
        assert!(!end.deliver(delivery, offset), "{offset}");
    }
    end.receive(&ToTrainer::Deliver(in_slab(6, 2, 0))).unwrap();
    assert_eq!(end.1.poll_event(), None);
    assert_eq!(end.gone(), (vec![vec![1, 2, 3, 4, 5, 6]], vec!["bad_range".to_owned(); 6]));
    assert!(end.deliver(7, 896));
}

#[test]
fn slab_shared_anew_takes_the_place_of_the_one_before() {
    let mut end = End::open();
    end.share();
    assert!(end.deliver(1, 0));
    end.receive(&ToTrainer::Slab(Slab { slab: SlabId(2), size: 100 })).unwrap();
    assert!(!end.deliver(2, 0), "of the first slab");
    assert_eq!(end.reconnect(&[1]), [1]);
    assert!(!end.deliver(3, 0), "of an earlier connection");
}

#[test]
fn release_names_each_delivery_once_and_many_share_a_frame() {
    let mut end = End::open();
    end.share();
    for delivery in 1..=3 {
        assert!(end.deliver(delivery, 0));
    }
    for delivery in [3, 1, 3, 99] {
        end.1.release(Delivery(delivery));
    }
    assert_eq!(end.gone().0, [[3, 1]]);
    assert_eq!(end.gone().0, [[0_u64; 0]; 0]);
    end.1.release(Delivery(2));
    assert_eq!(end.gone().0, [[2]]);
}

#[test]
fn release_lost_with_its_connection_is_made_good_by_the_hello() {
    let mut end = End::open();
    end.share();
    assert!(end.deliver(1, 0) && end.deliver(2, 104));
    end.1.release(Delivery(1));
    end.sent(); // into the void
    end.1.disconnected(end.0);
    assert_eq!(end.reconnect(&[2]), [2]);
    assert_eq!(end.gone().0, [[0_u64; 0]; 0]);
    // Dropped, but looked at: that the orchestrator does not want it says nothing about its bytes.
    assert_eq!(end.reconnect(&[]), [2]);
    end.1.release(Delivery(2));
    assert_eq!(end.gone().0, [[2]]);
}

#[test]
fn held_by_a_hello_is_bounded() {
    let mut end = End::open();
    end.share();
    for delivery in 1..=HELD_MAX as u64 {
        assert!(end.deliver(delivery, 0));
        end.1.return_delivery(Delivery(delivery), "bad_task");
        assert_eq!(end.gone().1, ["bad_task"]);
    }
    assert!(!end.deliver(5_000, 0));
    assert_eq!(end.gone(), (vec![vec![5_000]], vec!["too_many_held".to_owned()]));
    assert_eq!(end.reconnect(&[]).len(), HELD_MAX);
}

#[test]
fn a_trainer_that_leaves_looks_at_nothing_more() {
    let mut end = End::open();
    end.share();
    end.1.bye(Bye { code: "exiting".to_owned(), text: String::new() });
    assert!(!end.deliver(1, 0));
    assert_eq!(end.gone(), (vec![vec![1]], vec!["trainer_leaving".to_owned()]));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Deliver,
    /// The oldest, the second oldest, …
    LetGo(usize),
    Transmit,
    /// What is sent now is lost with the connection.
    Break,
}

fn op() -> impl Strategy<Value = Op> {
    let let_go = (0..5_usize).prop_map(Op::LetGo);
    prop_oneof![4 => Just(Op::Deliver), 3 => let_go, 2 => Just(Op::Transmit), 1 => Just(Op::Break)]
}

proptest! {
    /// However releases and connections interleave, the orchestrator keeps what the trainer looks at, and
    /// in the end nothing else.
    #[test]
    fn release_never_comes_before_the_last_look(ops in prop::collection::vec(op(), 0..200)) {
        let mut end = End::open();
        end.share();
        // What the orchestrator may not write to, and what the trainer looks at.
        let (mut kept, mut looked_at) = (BTreeSet::new(), BTreeSet::new());
        let mut next = 1_u64;
        let transmit = |end: &mut End, kept: &mut BTreeSet<u64>| {
            for delivery in end.gone().0.into_iter().flatten() {
                prop_assert!(kept.remove(&delivery), "{delivery} is released once");
            }
            Ok(())
        };
        for op in ops {
            match op {
                Op::Deliver => {
                    kept.insert(next);
                    prop_assert!(end.deliver(next, 0));
                    looked_at.insert(next);
                    end.1.return_delivery(Delivery(next), "bad_task");
                    next += 1;
                }
                Op::LetGo(nth) => {
                    if let Some(delivery) = looked_at.iter().nth(nth).copied() {
                        looked_at.remove(&delivery);
                        end.1.release(Delivery(delivery));
                    }
                }
                Op::Transmit => transmit(&mut end, &mut kept)?,
                Op::Break => {
                    end.sent();
                    end.1.disconnected(end.0);
                    let held = end.reconnect(&[]);
                    kept.retain(|delivery| held.contains(delivery));
                    end.share();
                }
            }
            prop_assert!(looked_at.is_subset(&kept), "{looked_at:?} {kept:?}");
        }
        transmit(&mut end, &mut kept)?;
        prop_assert_eq!(looked_at, kept);
    }
}
