//! What the orchestrator's messages do to a trainer.

use std::time::Instant;

use bytes::Bytes;

use super::in_hand::Stage;
use super::{Delivered, State, Terms, TrainerEvent, TrainerSession};
use crate::error::ProtocolError;
use crate::frame::Kind;
use crate::limits::{HELD_MAX, IN_HAND_MAX, PROTOCOL_VERSION};
use crate::message::{AckEntry, Deliver, MOVED, Place, Role, Slab, Stop, ToTrainer, Welcome};

impl TrainerSession {
    pub(super) fn receive(
        &mut self,
        now: Instant,
        kind: Kind,
        message: ToTrainer,
        task: Option<Bytes>,
    ) -> Result<(), ProtocolError> {
        match (&self.state, message) {
            (State::Detached | State::Over { .. }, _) => {}
            (_, ToTrainer::Refused(refused)) => {
                self.over(now, None, None);
                self.events.push_back(TrainerEvent::Refused(refused));
            }
            (State::AwaitWelcome { .. }, ToTrainer::Welcome(welcome)) => self.welcomed(now, welcome)?,
            (State::Greeting { .. } | State::AwaitWelcome { .. }, _) => {
                return Err(ProtocolError::HelloExpected { kind });
            }
            (State::Open { .. }, ToTrainer::Welcome(_)) => return Err(ProtocolError::HelloTwice { kind }),
            (State::Open { .. }, ToTrainer::Slab(slab)) => self.shared(slab),
            (State::Open { .. }, ToTrainer::Deliver(deliver)) => self.delivered(deliver, task)?,
            (State::Open { .. }, ToTrainer::Ack(entries)) => {
                entries.into_iter().for_each(|entry| self.acknowledged(entry));
            }
            (State::Open { .. }, ToTrainer::Stop(stop)) => self.stopped(stop),
            (State::Open { .. }, ToTrainer::Bye(bye)) => self.events.push_back(TrainerEvent::Bye(bye)),
        }
        Ok(())
    }

    fn welcomed(&mut self, now: Instant, welcome: Welcome) -> Result<(), ProtocolError> {
        if welcome.protocol != PROTOCOL_VERSION {
            return Err(ProtocolError::Version {
                ours: (PROTOCOL_VERSION, PROTOCOL_VERSION),
                theirs: (welcome.protocol, welcome.protocol),
            });
        }
        let State::AwaitWelcome { mut link } = std::mem::replace(&mut self.state, State::Detached) else {
            return Ok(());
        };
        link.handshake_done();
        link.set_recv_timeout(welcome.recv_timeout);
        let terms = Terms { heartbeat: welcome.heartbeat, orphan_timeout: welcome.orphan_timeout };
        self.state = State::Open { link, terms, heartbeat_at: now + terms.heartbeat, slab: None };
        self.orphaned_at = None;
        let dropped: Vec<_> =
            welcome.in_hand.iter().filter(|(_, keep)| !keep).map(|(delivery, _)| *delivery).collect();
        self.events.push_back(TrainerEvent::Welcomed(welcome));
        for delivery in dropped {
            self.outbox.drop_delivery(delivery);
            if self.in_hand.remove(delivery) {
                self.events.push_back(TrainerEvent::Dropped(delivery));
            }
        }
        // Who was told may be gone.
        if let Some(bye) = &self.leaving {
            self.outbox.push_bye(bye.clone());
        }
        Ok(())
    }

    fn shared(&mut self, shared: Slab) {
        if let State::Open { slab, .. } = &mut self.state {
            *slab = Some(shared);
        }
        self.events.push_back(TrainerEvent::Slab(shared));
    }

    fn delivered(&mut self, deliver: Deliver, inline: Option<Bytes>) -> Result<(), ProtocolError> {
        let delivery = deliver.delivery;
        let again = self.identity.role == Role::Replica && delivery <= self.newest;
        if again || self.in_hand.get_mut(delivery).is_some() {
            return Ok(());
        }
        self.newest = self.newest.max(delivery);
        if self.in_hand.len() >= IN_HAND_MAX {
            let (count, limit) = (IN_HAND_MAX + 1, IN_HAND_MAX);
            return Err(ProtocolError::TooMany { field: "the deliveries in hand", count, limit });
        }
        self.in_hand.push(delivery);
        let in_slab = matches!(deliver.place, Place::Slab { .. });
        match self.refusal(&deliver) {
            None => {
                if in_slab {
                    self.held.hold(delivery);
                }
                self.events.push_back(TrainerEvent::Delivered(Delivered { deliver, inline }));
            }
            Some(code) => {
                if in_slab {
                    self.held.never_looked_at(delivery);
                }
                self.give_back(delivery, code);
            }
        }
        Ok(())
    }

    /// Why a delivery goes back at once.
    fn refusal(&self, deliver: &Deliver) -> Option<&'static str> {
        if self.leaving.is_some() {
            return Some(CODE_LEAVING);
        }
        let Place::Slab { slab, offset } = deliver.place else { return None };
        match &self.state {
            State::Open { slab: Some(shared), .. } if shared.holds(slab, offset, deliver.task_size) => {
                (self.held.len() >= HELD_MAX).then_some(CODE_TOO_MANY_HELD)
            }
            _ => Some(CODE_BAD_RANGE),
        }
    }

    fn acknowledged(&mut self, entry: AckEntry) {
        if self.outbox.acknowledge(entry) {
            self.in_hand.remove_finished(entry.delivery, entry.seq);
            self.events.push_back(TrainerEvent::Acknowledged(entry));
        }
        let owes_nothing = !self.outbox.awaits_ack();
        if let Some(link) = self.link_mut()
            && owes_nothing
        {
            link.allow_silence();
        }
    }

    fn stopped(&mut self, stop: Stop) {
        match self.in_hand.get_mut(stop.delivery).map(|entry| &entry.stage) {
            Some(Stage::Running(_)) if stop.reason == MOVED => {}
            Some(Stage::Running(_)) => self.events.push_back(TrainerEvent::Stop(stop)),
            Some(Stage::Queued) => {
                let code = if stop.reason == MOVED { MOVED } else { CODE_STOPPED_BEFORE_START };
                self.give_back(stop.delivery, code);
                self.events.push_back(TrainerEvent::Dropped(stop.delivery));
            }
            // Its result is on its way, or it is not in hand.
            Some(Stage::Finished) | None => {}
        }
    }
}

/// A delivery was stopped before the trainer's code had it.
const CODE_STOPPED_BEFORE_START: &str = "stopped_before_start";

/// A delivery is not in the slab sent last, or not aligned there.
const CODE_BAD_RANGE: &str = "bad_range";

/// One more could not be listed in a Hello.
const CODE_TOO_MANY_HELD: &str = "too_many_held";

/// A delivery came to a trainer that had said Bye, or was waiting there.
pub(super) const CODE_LEAVING: &str = "trainer_leaving";
