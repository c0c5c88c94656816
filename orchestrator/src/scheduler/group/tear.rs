//! A rank that fails: its error is the cause, if it was the first.

use std::time::Instant;

use trainwire_protocol::message::Outcome;

use crate::record::{DeliveryNo, Ending, Rung, TrainerFailure, TrainerNo};
use crate::scheduler::Scheduler;
use crate::scheduler::deadlines::Due;
use crate::scheduler::reports::failure;

/// A rank has failed.
#[derive(Debug)]
pub(super) struct Torn {
    pub(super) delivery: DeliveryNo,
    pub(super) ending: Ending,
    /// When the group is ended, if nothing else ends it.
    pub(super) due: Option<Instant>,
}

impl Scheduler {
    /// A rank has failed: keeps the first error, and gives the launcher time to draw its conclusions.
    pub(in crate::scheduler) fn tear(
        &mut self,
        now: Instant,
        trainer: TrainerNo,
        delivery: DeliveryNo,
        rank: u32,
        outcome: Outcome,
    ) {
        if self.held(trainer, delivery).is_none() {
            return;
        }
        let Some(spec) = self.spec_of(trainer) else { return };
        let patience = match will_restart(&outcome) {
            true => spec.start_timeout.saturating_add(spec.lost_timeout),
            false => spec.stop_grace,
        };
        let ending = match outcome {
            Outcome::Failed(error) => Ending::Failed { error: of_rank(rank, failure(error)), exit: None },
            Outcome::Retry { error, after } => Ending::Retry { error: of_rank(rank, failure(error)), after },
            Outcome::Succeeded | Outcome::Stopped | Outcome::Returned { .. } => return,
        };
        let due = self.deadlines.arm(now, patience, Due::Torn(trainer));
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let group = live.group.get_or_insert_default();
        match &mut group.torn {
            // The first error stays; there is as much time as any of them asks for.
            Some(torn) if torn.delivery == delivery => {
                let earlier = if torn.due < due { std::mem::replace(&mut torn.due, due) } else { due };
                if let Some(at) = earlier.filter(|_| earlier != torn.due) {
                    self.deadlines.disarm(at, Due::Torn(trainer));
                }
            }
            torn => *torn = Some(Torn { delivery, ending, due }),
        }
    }

    /// Its ranks have had time enough to end or to be started anew.
    pub(in crate::scheduler) fn torn_due(&mut self, now: Instant, trainer: TrainerNo) {
        let torn = self.trainers.get(&trainer).and_then(|live| live.group.as_ref()?.torn.as_ref());
        let Some(Torn { delivery, due: Some(due), .. }) = torn else { return };
        if *due <= now && self.held(trainer, *delivery).is_some() {
            self.climb(now, trainer, Rung::Terminated);
        }
    }

    /// Whether a rank has failed at what the trainer has in hand.
    pub(in crate::scheduler) fn is_torn(&self, trainer: TrainerNo) -> bool {
        let live = self.trainers.get(&trainer);
        live.is_some_and(|live| live.group.as_ref().is_some_and(|group| group.torn.is_some()))
    }

    pub(super) fn forget_tear(&mut self, trainer: TrainerNo) {
        let group = self.trainers.get_mut(&trainer).and_then(|live| live.group.as_mut());
        if let Some(Torn { due: Some(at), .. }) = group.and_then(|group| group.torn.take()) {
            self.deadlines.disarm(at, Due::Torn(trainer));
        }
    }
}

/// Whether a rank that failed expects to be started anew.
pub(in crate::scheduler) fn will_restart(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(error) if error.restarts && !error.fatal)
}

fn of_rank(rank: u32, mut error: TrainerFailure) -> TrainerFailure {
    if rank > 0 {
        error.text = format!("rank {rank}: {}", error.text);
    }
    error
}
