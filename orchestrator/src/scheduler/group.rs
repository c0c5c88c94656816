//! Groups: several processes that work on each delivery together, the ranks of a distributed training.
//!
//! ```text
//!   torchrun, started as the trainer
//!     ├─ rank 0   the primary: this *is* the trainer, for all other files
//!     ├─ rank 1   replicas: the same token, the same deliveries, with the same checkpoint;
//!     └─ rank 2   what they say changes nothing durable
//! ```
//!
//! A rank that fails is news, though: ranks work in lockstep, so the others fail or hang after it. The first
//! error is kept, and is what the delivery's end is called, whoever brings that about: the primary's own
//! failure, the death of the launcher, or, where all hang, this Scheduler. Unless the launcher starts the
//! ranks anew: then the new rank 0 is the same trainer, and the attempt goes on.
//!
//! Replicas are not watched for silence: the primary makes no progress without them.

mod join;
mod tear;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use trainwire_protocol::id::{Delivery, Instance};
use trainwire_protocol::message::{AckEntry, AckKind, CheckpointRef, Outcome, Stop, TaskResult};

use super::Scheduler;
use super::deadlines::Due;
use super::decision::Effect;
use super::input::ConnectionNo;
use super::ladder::bye;
use super::state::{TaskState, TrainerState};
use crate::record::{DeliveryNo, Ending, Rung, TrainerNo};

use tear::Torn;
pub(super) use tear::will_restart;

/// Of one trainer.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// By rank, from 1 on.
    replicas: BTreeMap<u32, Replica>,
    /// The checkpoint that went along with each delivery the primary has: all ranks begin alike.
    handed: BTreeMap<DeliveryNo, Option<Arc<CheckpointRef>>>,
    torn: Option<Torn>,
    /// The first rank whose connection ended while it was at work.
    silent: Option<u32>,
}

#[derive(Debug)]
struct Replica {
    instance: Instance,
    /// See [`Hello::restart`](trainwire_protocol::message::Hello::restart).
    restart: u32,
    connection: Option<ConnectionNo>,
    connection_number: u32,
    deliveries: BTreeMap<DeliveryNo, Part>,
}

/// How far a replica is with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Sent,
    Started,
    Done,
}

impl Group {
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionNo> {
        self.replicas.values().filter_map(|replica| replica.connection)
    }

    /// Those of replicas whose code has the delivery.
    pub(super) fn at_work(&self, delivery: DeliveryNo) -> impl Iterator<Item = ConnectionNo> {
        let at_work =
            move |replica: &&Replica| replica.deliveries.get(&delivery).copied() == Some(Part::Started);
        self.replicas.values().filter(at_work).filter_map(|replica| replica.connection)
    }

    /// The primary was given a delivery, once more perhaps.
    pub(super) fn hand(&mut self, delivery: DeliveryNo, checkpoint: Option<Arc<CheckpointRef>>) {
        self.handed.insert(delivery, checkpoint);
    }

    pub(super) fn falls_silent(&mut self, rank: u32) {
        self.silent.get_or_insert(rank);
    }

    /// What a delivery's end is called, given what its ranks have said and left unsaid.
    pub(super) fn explain(&self, delivery: DeliveryNo, state: TaskState, ending: Ending) -> Ending {
        // Whoever is stopped may fall over another; why it was stopped says more.
        if matches!(state, TaskState::Stopping { .. } | TaskState::Stuck { .. }) {
            return ending;
        }
        let torn =
            self.torn.as_ref().filter(|torn| torn.delivery == delivery).map(|torn| torn.ending.clone());
        match (ending, torn) {
            (ending @ (Ending::Succeeded { .. } | Ending::Stopped { .. }), _) => ending,
            (Ending::Failed { exit, .. }, Some(Ending::Failed { error, .. })) => {
                Ending::Failed { error, exit }
            }
            (_, Some(torn)) => torn,
            (Ending::Failed { mut error, exit }, None) => {
                if let Some(rank) = self.silent {
                    error.text = format!("rank {rank} ended without a word; then: {}", error.text);
                }
                Ending::Failed { error, exit }
            }
            (ending, None) => ending,
        }
    }
}

impl Scheduler {
    /// Sends replicas what their primary has and they have not.
    pub(super) fn hand_to_replicas(&mut self, trainer: TrainerNo) {
        let Some(live) = self.trainers.get(&trainer).filter(|live| live.connection.is_some()) else { return };
        let (Some(group), Some(bound)) = (&live.group, self.restart_of(trainer)) else { return };
        let mut missing = Vec::new();
        for (rank, replica) in &group.replicas {
            let Some(connection) = replica.connection.filter(|_| replica.restart == bound) else { continue };
            for (delivery, task) in self.in_hand(trainer) {
                if !replica.deliveries.contains_key(&delivery) {
                    let handed = group.handed.get(&delivery).cloned();
                    // After a restart of ours nobody knows any more what went along.
                    let checkpoint = handed.unwrap_or_else(|| task.checkpoint.clone());
                    missing.push((*rank, connection, delivery, checkpoint));
                }
            }
        }
        for (rank, connection, delivery, checkpoint) in missing {
            let Some(&delivered) = self.state.delivery(delivery) else { continue };
            self.deliver(connection, delivered, delivery, checkpoint.as_deref());
            self.set_part(trainer, rank, delivery, Part::Sent);
        }
    }

    pub(super) fn replica_started(&mut self, now: Instant, connection: ConnectionNo, delivery: DeliveryNo) {
        let Some((trainer, rank)) = self.replicas.get(&connection).copied() else { return };
        self.set_part(trainer, rank, delivery, Part::Started);
        self.ask_over(now, trainer, connection, delivery);
    }

    /// A replica has done with a delivery: acknowledged, and without consequence unless it has failed.
    pub(super) fn replica_result(&mut self, now: Instant, connection: ConnectionNo, result: TaskResult) {
        let Some((trainer, rank)) = self.replicas.get(&connection).copied() else { return };
        let TaskResult { delivery, seq, outcome, .. } = result;
        let entry = AckEntry { delivery, seq, kind: AckKind::Superseded };
        self.effect(Effect::Ack { connection, entry });
        if !self.set_part(trainer, rank, delivery.0, Part::Done) {
            return;
        }
        match outcome {
            Outcome::Failed(_) | Outcome::Retry { .. } => self.tear(now, trainer, delivery.0, rank, outcome),
            // It could not read the task; without it the others wait in vain.
            Outcome::Returned { code } if !HARMLESS.contains(&code.as_str()) => {
                self.climb(now, trainer, Rung::Killed);
            }
            Outcome::Returned { .. } | Outcome::Succeeded | Outcome::Stopped => {}
        }
    }

    pub(super) fn replica_disconnected(&mut self, connection: ConnectionNo) {
        let Some((trainer, rank)) = self.replicas.remove(&connection) else { return };
        let group = self.trainers.get_mut(&trainer).and_then(|live| live.group.as_mut());
        let Some(group) = group else { return };
        let Some(replica) = group.replicas.get_mut(&rank) else { return };
        replica.connection = None;
        if replica.deliveries.values().any(|part| *part == Part::Started) {
            group.falls_silent(rank);
        }
    }

    /// A delivery is over, and was begun by the primary or not.
    pub(super) fn part_replicas(
        &mut self,
        now: Instant,
        trainer: TrainerNo,
        delivery: DeliveryNo,
        begun: bool,
    ) {
        let Some(group) = self.trainers.get_mut(&trainer).and_then(|live| live.group.as_mut()) else {
            return;
        };
        group.handed.remove(&delivery);
        group.silent = None;
        let torn = group.torn.as_ref().is_some_and(|torn| torn.delivery == delivery);
        let mut astray = false;
        for replica in group.replicas.values_mut() {
            let part = replica.deliveries.remove(&delivery);
            astray |= part == Some(Part::Started) && !begun;
            // It has it in its queue: it should not begin.
            if let (Some(Part::Sent), Some(connection)) = (part, replica.connection) {
                let stop = Stop {
                    delivery: Delivery(delivery),
                    reason: "superseded".to_owned(),
                    time_left: std::time::Duration::ZERO,
                    want_checkpoint: false,
                    dump_stacks: false,
                };
                self.out.effects.push(Effect::Stop { connection, stop });
            }
        }
        if torn {
            self.forget_tear(trainer);
        }
        // It works on what the primary never will, and would meet it in another task.
        if astray {
            self.climb(now, trainer, Rung::Killed);
        }
    }

    pub(super) fn bye_to_replicas(&mut self, trainer: TrainerNo, code: &str) {
        let group = self.trainers.get(&trainer).and_then(|live| live.group.as_ref());
        let connections: Vec<_> = group.into_iter().flat_map(|group| group.connections()).collect();
        for connection in connections {
            self.effect(Effect::Bye { connection, bye: bye(code) });
        }
    }

    /// The trainer is gone.
    pub(super) fn disband(&mut self, trainer: TrainerNo, group: Option<Box<Group>>) {
        let Some(group) = group else { return };
        if let Some(Torn { due: Some(at), .. }) = group.torn {
            self.deadlines.disarm(at, Due::Torn(trainer));
        }
        for connection in group.connections() {
            self.replicas.remove(&connection);
            self.effect(Effect::Close { connection });
        }
    }

    /// `false` where the replica does not have the delivery.
    fn set_part(&mut self, trainer: TrainerNo, rank: u32, delivery: DeliveryNo, part: Part) -> bool {
        let held = self.held(trainer, delivery).is_some();
        let group = self.trainers.get_mut(&trainer).and_then(|live| live.group.as_mut());
        let Some(replica) = group.and_then(|group| group.replicas.get_mut(&rank)).filter(|_| held) else {
            return false;
        };
        replica.deliveries.insert(delivery, part);
        true
    }

    /// The restart its primary has said Hello after; `None` before the first Hello.
    fn restart_of(&self, trainer: TrainerNo) -> Option<u32> {
        match self.state.trainer(trainer)?.state {
            TrainerState::Bound { restart, .. } => Some(restart),
            TrainerState::Spawning { .. } | TrainerState::Ended { .. } => None,
        }
    }
}

/// Codes with which a replica gives back what its primary gives back too.
const HARMLESS: [&str; 2] = ["trainer_leaving", "stopped_before_start"];
