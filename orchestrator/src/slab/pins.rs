//! Whose views keep parts of a slab from being used again.
//!
//! A task's bytes in a slab may be overwritten when nobody can see them any more. In this process that
//! is when the last view of them is dropped, which the language sees to. Of a trainer it is known by
//! delivery, and a delivery's pin is simply one more view:
//!
//! ```text
//!   Deliver is sent ──► pinned ──► Release names it                     ──► gone
//!                              ──► a Hello does not list it as held     ──► gone
//!                              ──► the trainer's process group is gone  ──► gone
//! ```
//!
//! The end of a connection says nothing, nor does the end of a task or of a process whose children may
//! have its memory. Deliveries are numbered once and for ever, so that what comes late unpins nothing
//! else.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use trainwire_protocol::id::Delivery;

use crate::record::{DeliveryNo, TrainerNo};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    /// No inner map is empty.
    of: HashMap<TrainerNo, HashMap<DeliveryNo, Bytes>>,
}

impl Pins {
    /// The trainer is about to be sent this delivery.
    pub(crate) fn pin(&mut self, trainer: TrainerNo, delivery: DeliveryNo, bytes: Bytes) {
        self.of.entry(trainer).or_default().insert(delivery, bytes);
    }

    /// How many deliveries the trainer may still look at.
    pub(crate) fn count(&self, trainer: TrainerNo) -> usize {
        self.of.get(&trainer).map_or(0, HashMap::len)
    }

    /// The trainer says that nobody in it looks at these any more. Others' deliveries, and such as were
    /// never pinned, are passed over.
    pub(crate) fn release(&mut self, trainer: TrainerNo, deliveries: &[Delivery]) {
        let Some(pinned) = self.of.get_mut(&trainer) else { return };
        for delivery in deliveries {
            pinned.remove(&delivery.0);
        }
        self.drop_if_empty(trainer);
    }

    /// The trainer says, over a new connection, that these are all that somebody in it looks at.
    pub(crate) fn keep_only(&mut self, trainer: TrainerNo, held: &[Delivery]) {
        let Some(pinned) = self.of.get_mut(&trainer) else { return };
        let held: HashSet<DeliveryNo> = held.iter().map(|delivery| delivery.0).collect();
        pinned.retain(|delivery, _| held.contains(delivery));
        self.drop_if_empty(trainer);
    }

    /// None of the trainer's processes is left.
    pub(crate) fn all_gone(&mut self, trainer: TrainerNo) {
        self.of.remove(&trainer);
    }

    fn drop_if_empty(&mut self, trainer: TrainerNo) {
        if self.count(trainer) == 0 {
            self.of.remove(&trainer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_one_trainer_says_unpins_nothing_of_another() {
        let mut pins = Pins::default();
        let [one, two] = [TrainerNo(1), TrainerNo(2)];
        pins.pin(one, 1, Bytes::from_static(b"a"));
        pins.pin(two, 2, Bytes::from_static(b"b"));
        pins.release(one, &[Delivery(2), Delivery(3)]);
        pins.keep_only(one, &[Delivery(2), Delivery(1)]);
        assert_eq!((pins.count(one), pins.count(two)), (1, 1));
        pins.keep_only(two, &[]);
        assert_eq!((pins.count(one), pins.count(two)), (1, 0));
        pins.all_gone(one);
        pins.all_gone(two);
        assert!(pins.of.is_empty());
    }

    /// Views as the trainers have them; `None` for the connection's end, which must change nothing.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Deliver(usize),
        Drop(usize, u64),
        Release(usize),
        Hello(usize),
        Exit(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let trainer = || 0..3_usize;
        let step = prop_oneof![
            4 => trainer().prop_map(Step::Deliver),
            4 => (trainer(), 0..40_u64).prop_map(|(trainer, delivery)| Step::Drop(trainer, delivery)),
            2 => trainer().prop_map(Step::Release),
            1 => trainer().prop_map(Step::Hello),
            1 => trainer().prop_map(Step::Exit),
        ];
        prop::collection::vec(step, 0..100)
    }

    proptest! {
        #[test]
        fn nothing_a_trainer_looks_at_is_unpinned_and_in_the_end_nothing_is_pinned(steps in steps()) {
            let mut pins = Pins::default();
            let mut looked_at: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); 3];
            let mut unsaid: Vec<Vec<Delivery>> = vec![Vec::new(); 3];
            let mut delivered = 0;
            for step in steps {
                match step {
                    Step::Deliver(trainer) => {
                        pins.pin(TrainerNo(trainer as u64), delivered, Bytes::from_static(b"x"));
                        looked_at[trainer].insert(delivered);
                        delivered += 1;
                    }
                    Step::Drop(trainer, delivery) => {
                        if looked_at[trainer].remove(&delivery) {
                            unsaid[trainer].push(Delivery(delivery));
                        }
                    }
                    Step::Release(trainer) => {
                        pins.release(TrainerNo(trainer as u64), &unsaid[trainer]);
                        unsaid[trainer].truncate(1); // One is said twice.
                    }
                    Step::Hello(trainer) => {
                        let held: Vec<_> = looked_at[trainer].iter().copied().map(Delivery).collect();
                        pins.keep_only(TrainerNo(trainer as u64), &held);
                        prop_assert_eq!(pins.count(TrainerNo(trainer as u64)), held.len());
                    }
                    Step::Exit(trainer) => {
                        pins.all_gone(TrainerNo(trainer as u64));
                        looked_at[trainer].clear();
                    }
                }
                for (trainer, looked_at) in looked_at.iter().enumerate() {
                    let pinned = pins.of.get(&TrainerNo(trainer as u64));
                    prop_assert!(looked_at.iter().all(|delivery| pinned.is_some_and(|pinned| pinned.contains_key(delivery))));
                }
            }
            for trainer in 0..3 {
                pins.all_gone(TrainerNo(trainer as u64));
            }
            prop_assert!(pins.of.is_empty());
        }
    }
}
