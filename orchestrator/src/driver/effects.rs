//! Doing what the Scheduler decided. Each effect is harmless when its object is gone meanwhile.

use trainwire_protocol::message::{Deliver, Welcome};

use super::{Driver, Followup};
use crate::payload::Payload;
use crate::record::TaskNo;
use crate::scheduler::{ConnectionNo, Effect};

impl Driver {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, answer } => self.answer(ticket, answer),
            Effect::Bind { job } => self.bind(job),
            Effect::Unbind { job } => self.unbind(job),
            Effect::Spawn { trainer, job, token, slots, script_task } => {
                self.spawn(trainer, job, token, slots, script_task)
            }
            Effect::Welcome { connection, welcome } => self.welcome(connection, *welcome),
            Effect::Refuse { connection, refused } => {
                // The trainer is told; whoever runs the orchestrator reads it here.
                tracing::warn!(code = %refused.code, text = %refused.text, "a trainer was refused");
                self.command(connection, |connection, _| connection.refuse(refused));
            }
            Effect::Deliver { connection, task, deliver } => self.deliver(connection, task, *deliver),
            Effect::Ack { connection, entry } => {
                self.command(connection, |connection, _| connection.ack(entry))
            }
            Effect::Unspool { job, delivery } => self.unspool(job, delivery),
            Effect::Stop { connection, stop } => {
                if let Some(stop) = self.slabs.after_its_copy(connection, stop) {
                    self.command(connection, |connection, _| connection.stop(stop));
                }
            }
            Effect::Bye { connection, bye } => self.command(connection, |connection, _| connection.bye(bye)),
            Effect::Close { connection } => self.close_connection(connection),
            Effect::Drain { connection } => self.followups.push_back(Followup::Drain(connection)),
            Effect::Signal { trainer, signal } => self.signal(trainer, signal),
            Effect::Forget { trainer } => self.forget(trainer),
        }
    }

    fn welcome(&mut self, connection: ConnectionNo, mut welcome: Welcome) {
        let trainer = self.scheduler.trainer_of(connection);
        if let Some(trainer) = trainer.filter(|trainer| !self.trainers.contains_key(trainer)) {
            // Started by hand, before a restart.
            let _ = self.watch_attached(trainer);
        }
        let job = trainer.and_then(|trainer| self.job_of(trainer));
        if let Some(slot) = job.and_then(|job| self.jobs.get(&job)) {
            let spool = self.layout.spool(&slot.feed.job_id);
            welcome.spool = spool.map(|folder| folder.to_string_lossy().into_owned());
        }
        self.command(connection, |connection, now| connection.welcome(now, welcome));
    }

    fn deliver(&mut self, connection: ConnectionNo, task_no: TaskNo, mut deliver: Deliver) {
        let Some(payload) = self.payloads.get(&task_no).cloned() else { return };
        let Some(task) = self.scheduler.state().task(task_no) else { return };
        if let Some(slot) = self.jobs.get(&task.job) {
            let work = self.layout.work(&slot.feed.job_id, task_no, &task.task_id).into_os_string();
            deliver.work = Some(work.into_string().unwrap_or_else(|raw| raw.to_string_lossy().into_owned()));
        }
        deliver.task_size = payload.size_bytes();
        deliver.place = payload.place();
        match payload {
            Payload::Slab { .. } => self.deliver_in_slab(connection, deliver, payload),
            _ => self.command(connection, |connection, _| connection.deliver(deliver, payload)),
        }
    }
}
