//! The deliveries a trainer has in hand, in the order they came.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::id::Delivery;
use crate::message::{InHand, InHandState};

#[derive(Debug, Default)]
pub(super) struct Deliveries(VecDeque<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    delivery: Delivery,
    /// The highest sequence number used; of a finished delivery its result's.
    last_seq: u64,
    pub(super) stage: Stage,
}

/// How far a delivery is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Not given to the trainer's code.
    Queued,
    /// With the trainer's code.
    Running(Running),
    /// Its result waits for an Ack.
    Finished,
}

/// The clock of a delivery that is with the trainer's code.
#[derive(Debug)]
pub(super) struct Running {
    since: Instant,
    /// From here the age of the last progress counts; in the future while the code has said that it
    /// is busy.
    progress: Instant,
}

impl Deliveries {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, delivery: Delivery) {
        self.0.push_back(Entry { delivery, last_seq: 0, stage: Stage::Queued });
    }

    pub(super) fn get_mut(&mut self, delivery: Delivery) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| entry.delivery == delivery)
    }

    pub(super) fn running_mut(&mut self, delivery: Delivery) -> Option<&mut Running> {
        match &mut self.get_mut(delivery)?.stage {
            Stage::Running(running) => Some(running),
            Stage::Queued | Stage::Finished => None,
        }
    }

    /// The delivery the trainer's code works on.
    pub(super) fn current(&self) -> Option<(Delivery, &Running)> {
        self.0.iter().find_map(|entry| match &entry.stage {
            Stage::Running(running) => Some((entry.delivery, running)),
            Stage::Queued | Stage::Finished => None,
        })
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Running> {
        self.0.iter_mut().find_map(|entry| match &mut entry.stage {
            Stage::Running(running) => Some(running),
            Stage::Queued | Stage::Finished => None,
        })
    }

    pub(super) fn queued(&self) -> impl Iterator<Item = Delivery> {
        self.0.iter().filter(|entry| matches!(entry.stage, Stage::Queued)).map(|entry| entry.delivery)
    }

    /// Takes a delivery out; `false` if it is not in hand.
    pub(super) fn remove(&mut self, delivery: Delivery) -> bool {
        let at = self.0.iter().position(|entry| entry.delivery == delivery);
        at.and_then(|at| self.0.remove(at)).is_some()
    }

    /// Takes a delivery out if this is the number of its result.
    pub(super) fn remove_finished(&mut self, delivery: Delivery, seq: u64) {
        let finished = |entry: &mut Entry| matches!(entry.stage, Stage::Finished) && entry.last_seq == seq;
        if self.get_mut(delivery).is_some_and(finished) {
            self.remove(delivery);
        }
    }

    pub(super) fn remove_all_finished(&mut self) {
        self.0.retain(|entry| !matches!(entry.stage, Stage::Finished));
    }

    /// As a Hello lists them.
    pub(super) fn list(&self) -> Vec<InHand> {
        self.0
            .iter()
            .map(|entry| InHand {
                delivery: entry.delivery,
                last_seq: entry.last_seq,
                state: match entry.stage {
                    Stage::Queued => InHandState::Queued,
                    Stage::Running(_) => InHandState::Running,
                    Stage::Finished => InHandState::Finished,
                },
            })
            .collect()
    }
}

impl Entry {
    /// For the next checkpoint or result, if it comes to that.
    pub(super) fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    pub(super) fn use_seq(&mut self, seq: u64) {
        debug_assert!(seq > self.last_seq);
        self.last_seq = seq;
    }
}

impl Running {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, progress: now }
    }

    /// The code got on. What it said about being busy still holds.
    pub(super) fn tick(&mut self, now: Instant) {
        self.progress = self.progress.max(now);
    }

    /// The code will not be heard of for a while.
    pub(super) fn busy(&mut self, now: Instant, duration: Duration) {
        self.progress = now.checked_add(duration).map_or(self.progress, |until| self.progress.max(until));
    }

    pub(super) fn progress_age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.progress)
    }

    pub(super) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}
