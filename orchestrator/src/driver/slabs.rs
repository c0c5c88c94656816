//! Tasks in a slab: who may read them there, and when nobody does any more.

use std::collections::HashMap;
use std::sync::Arc;

use nix::unistd::{Pid, getpgid};
use tokio::task::spawn_blocking;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::limits::HELD_MAX;
use trainwire_protocol::message::{Deliver, Outcome, Stop, TaskResult};

use super::{Driver, Message, TrainerSlot};
use crate::payload::Payload;
use crate::record::{DeliveryNo, TrainerNo};
use crate::scheduler::{ConnectionNo, Input};
use crate::slab::{JobSlab, Pins};

/// What the driver knows of all jobs' slabs.
#[derive(Default)]
pub(super) struct Slabs {
    /// Of the job that is being submitted.
    pub(super) arriving: Option<Arc<JobSlab>>,
    pins: Pins,
    /// Deliveries whose tasks are being copied, for whom, and what to say after them.
    copying: HashMap<(ConnectionNo, DeliveryNo), Option<Stop>>,
}

impl Driver {
    pub(super) fn deliver_in_slab(
        &mut self,
        connection: ConnectionNo,
        mut deliver: Deliver,
        payload: Payload,
    ) {
        match self.scheduler.trainer_of(connection) {
            Some(trainer) if self.may_read_slab(trainer, connection) => {
                self.slabs.pins.pin(trainer, deliver.delivery.0, payload.task().as_bytes().to_bytes());
                return self.command(connection, |connection, _| connection.deliver(deliver, payload));
            }
            Some(_) => {}
            None if self.scheduler.is_replica(connection) => {}
            // The connection was replaced: nothing is sent over it any more.
            None => return,
        }
        self.slabs.copying.insert((connection, deliver.delivery.0), None);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let copied = spawn_blocking(move || payload.sealed_copy()).await;
            let copy = match copied {
                Ok(Ok(copy)) => Ok(copy),
                Ok(Err(error)) => {
                    tracing::warn!(code = error.code(), %error, "a task was not sent");
                    Err(error.code())
                }
                // The runtime is shutting down.
                Err(_) => return,
            };
            if let Ok(copy) = &copy {
                deliver.place = copy.place();
            }
            // Nobody listens once the driver has ended.
            let _ = sender.send(Message::Copied { connection, deliver: Box::new(deliver), copy }).await;
        });
    }

    /// Only processes of whose end there will be a proof, and those that hold too many not.
    fn may_read_slab(&self, trainer: TrainerNo, connection: ConnectionNo) -> bool {
        let Some(TrainerSlot::Started { process, .. }) = self.trainers.get(&trainer) else { return false };
        let pid = self.connections.get(&connection).map(|connection| Pid::from_raw(connection.pid()));
        let group_of_peer = pid.and_then(|pid| getpgid(Some(pid)).ok());
        group_of_peer.is_some_and(|group| process.group() == Some(group.as_raw()))
            && self.slabs.pins.count(trainer) < HELD_MAX
    }

    /// Where there was no memory for the copy the delivery is over, as if the trainer had had none.
    pub(super) fn copied(
        &mut self,
        connection: ConnectionNo,
        deliver: Deliver,
        copy: Result<Payload, &'static str>,
    ) {
        let stop = self.slabs.copying.remove(&(connection, deliver.delivery.0)).flatten();
        match copy {
            Ok(payload) => self.command(connection, |connection, _| {
                connection.deliver(deliver, payload);
                if let Some(stop) = stop {
                    connection.stop(stop);
                }
            }),
            Err(code) => {
                let outcome = Outcome::Returned { code: code.to_owned() };
                let result = TaskResult { delivery: deliver.delivery, seq: 1, outcome, metrics: Vec::new() };
                self.decide(Input::Result { connection, result });
            }
        }
    }

    /// A Release has come. What a connection that was replaced says comes too late: the Hello over the
    /// newer one says it too.
    pub(super) fn released(&mut self, connection: ConnectionNo, deliveries: &[Delivery]) {
        if let Some(trainer) = self.scheduler.trainer_of(connection) {
            self.slabs.pins.release(trainer, deliveries);
        }
    }

    /// A Hello has come, and was taken if the connection has a trainer now.
    pub(super) fn held(&mut self, connection: ConnectionNo, deliveries: &[Delivery]) {
        if let Some(trainer) = self.scheduler.trainer_of(connection) {
            self.slabs.pins.keep_only(trainer, deliveries);
        }
    }
}

impl Slabs {
    /// Gives the stop back unless its delivery is still to be sent.
    pub(super) fn after_its_copy(&mut self, connection: ConnectionNo, stop: Stop) -> Option<Stop> {
        match self.copying.get_mut(&(connection, stop.delivery.0)) {
            Some(after) => {
                *after = Some(stop);
                None
            }
            None => Some(stop),
        }
    }

    /// Nothing is left of a trainer that could look at anything.
    pub(super) fn gone(&mut self, trainer: TrainerNo) {
        self.pins.all_gone(trainer);
    }
}
