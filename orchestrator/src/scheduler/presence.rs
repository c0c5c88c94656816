//! Trainers that fall silent, lose their connection, or leave.

use std::mem;
use std::time::{Duration, Instant};

use trainwire_protocol::message::Bye;

use super::deadlines::Due;
use super::input::ConnectionNo;
use super::live::{Death, Service};
use super::{Scheduler, Trainer};
use crate::planted;
use crate::record::{Condition, Ending, Record, TrainerNo};

impl Scheduler {
    /// The trainer takes no more work; what its code was not given comes back.
    pub(super) fn trainer_leaves(&mut self, now: Instant, connection: ConnectionNo, bye: &Bye) {
        let Some(trainer) = self.trainer_of(connection) else { return };
        let unstarted: Vec<_> = self
            .in_hand(trainer)
            .filter_map(|(delivery, task)| (!task.state.is_started()).then_some(delivery))
            .collect();
        self.drain(now, trainer);
        for delivery in unstarted {
            self.conclude(now, delivery, None, Ending::Returned { code: bye.code.clone() }, "");
        }
        self.settle_of(now, trainer);
    }

    pub(super) fn quiet(&mut self, now: Instant, connection: ConnectionNo) {
        let Some(trainer) = self.trainer_of(connection) else { return };
        self.shut(trainer);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if mem::replace(&mut live.quiet, true) {
            return;
        }
        let silent_for = self.spec_of(trainer).map(|spec| spec.recv_timeout).unwrap_or_default();
        self.record(Record::TrainerNoticed { trainer, condition: Condition::Unresponsive });
        self.arm_lost(now, trainer, silent_for);
    }

    pub(super) fn heard(&mut self, now: Instant, connection: ConnectionNo) {
        let Some(trainer) = self.trainer_of(connection) else { return };
        self.hear(trainer);
        self.refill(now, trainer);
        self.settle_of(now, trainer);
    }

    pub(super) fn hear(&mut self, trainer: TrainerNo) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let was_lost = live.lost_at.take();
        live.quiet = false;
        if let Some(at) = was_lost {
            self.deadlines.disarm(at, Due::Lost(trainer));
            self.record(Record::TrainerNoticed { trainer, condition: Condition::Responsive });
        }
    }

    pub(super) fn disconnected(&mut self, now: Instant, connection: ConnectionNo) {
        let Some(trainer) = self.connections.remove(&connection) else {
            return self.replica_disconnected(connection);
        };
        self.shut(trainer);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        live.connection = None;
        live.group.iter_mut().for_each(|group| group.falls_silent(0));
        let (draining, attached) = (
            live.service == Service::Draining,
            self.state.trainer(trainer).is_some_and(Trainer::is_attached),
        );
        // The end of the stream came after everything that was in it.
        self.happen_awaited(now, trainer);
        if !self.trainers.contains_key(&trainer) {
            return;
        }
        if draining && attached && self.in_hand(trainer).next().is_none() {
            return self.bury(now, trainer, Death::unknown());
        }
        if !draining {
            self.record(Record::TrainerNoticed { trainer, condition: Condition::Detached });
        }
        if planted::is("redelivered-without-proof") {
            let held: Vec<_> = self.in_hand(trainer).map(|(delivery, _)| delivery).collect();
            for delivery in held {
                self.conclude(now, delivery, None, Ending::Returned { code: "planted".to_owned() }, "");
            }
        }
        self.arm_lost(now, trainer, Duration::ZERO);
    }

    /// Arms the loss of a trainer that has been silent for so long already. The primary of a group may be
    /// on its way up again, and has as long for that as for a start.
    pub(super) fn arm_lost(&mut self, now: Instant, trainer: TrainerNo, silent_for: Duration) {
        let Some(spec) = self.spec_of(trainer) else { return };
        let (lost_timeout, start_timeout) = (spec.lost_timeout, spec.start_timeout);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let starts_anew = live.group.is_some() && live.connection.is_none();
        let patience = if starts_anew { lost_timeout.saturating_add(start_timeout) } else { lost_timeout };
        let left = patience.saturating_sub(silent_for);
        if live.lost_at.is_none() {
            live.lost_at = self.deadlines.arm(now, left, Due::Lost(trainer));
        }
    }
}
