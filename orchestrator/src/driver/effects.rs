//! Doing what the Scheduler decided. Each effect is harmless when its object is gone meanwhile.

use std::sync::Arc;

use trainwire_protocol::frame::ReaderLimits;
use trainwire_protocol::message::{Deliver, Welcome};
use trainwire_protocol::session::Timeouts;

use super::Driver;
use crate::connection::{Command, Connector};
use crate::layout::task_name;
use crate::listener::Listener;
use crate::record::{JobNo, TaskNo};
use crate::scheduler::{ConnectionNo, Effect, Input};

impl Driver {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, answer } => self.answer(ticket, answer),
            Effect::Bind { job } => self.bind(job),
            Effect::Unbind { job } => {
                if let Some(slot) = self.jobs.get_mut(&job) {
                    slot.listener = None;
                }
            }
            Effect::Spawn { trainer, job, token, script_task } => {
                self.spawn(trainer, job, token, script_task)
            }
            Effect::Welcome { connection, welcome } => self.welcome(connection, welcome),
            Effect::Refuse { connection, refused } => {
                // The trainer is told; whoever runs the orchestrator reads it here.
                tracing::warn!(code = %refused.code, text = %refused.text, "a trainer was refused");
                self.command(connection, Command::Refuse(refused));
            }
            Effect::Deliver { connection, task, deliver } => self.deliver(connection, task, deliver),
            Effect::Ack { connection, entry } => self.command(connection, Command::Ack(entry)),
            Effect::Stop { connection, stop } => self.command(connection, Command::Stop(stop)),
            Effect::Bye { connection, bye } => self.command(connection, Command::Bye(bye)),
            Effect::Close { connection } => {
                self.command(connection, Command::Close);
                self.connections.remove(&connection);
            }
            Effect::Drain { connection } => {
                if self.connections.contains_key(&connection) {
                    self.command(connection, Command::Drain);
                } else {
                    self.followups.push_back(Input::Drained { connection });
                }
            }
            Effect::Signal { trainer, signal } => self.signal(trainer, signal),
            Effect::Forget { trainer } => self.forget(trainer),
        }
    }

    /// One that ended meanwhile says `Disconnected` last, if it has not been heard yet.
    fn command(&mut self, connection: ConnectionNo, command: Command) {
        if let Some(slot) = self.connections.get(&connection) {
            let _ = slot.commands.send(command);
        }
    }

    fn bind(&mut self, job: JobNo) {
        let Some(slot) = self.jobs.get_mut(&job) else { return };
        let path = self.layout.socket(&slot.feed.job_id);
        let connector = Connector {
            job,
            job_id: slot.feed.job_id.clone(),
            attach: slot.spec.attach || slot.spec.command.is_empty(),
            forward_heartbeats: slot.spec.stall_timeout.is_some(),
            timeouts: Timeouts {
                handshake: self.config.handshake_timeout,
                recv_timeout: slot.spec.recv_timeout,
                ..Timeouts::default()
            },
            // Tasks only ever flow to the trainer.
            limits: ReaderLimits { inline_task_size_bytes_max: 0 },
            driver: self.sender.clone(),
            numbers: Arc::clone(&self.connection_numbers),
        };
        let bound = match Listener::bind(&path, connector) {
            Ok(listener) => {
                slot.listener = Some(listener);
                Input::Bound { job }
            }
            Err(error) => Input::BindFailed { job, code: error.code(), text: error.to_string() },
        };
        self.followups.push_back(bound);
    }

    fn welcome(&mut self, connection: ConnectionNo, mut welcome: Welcome) {
        let job = self.scheduler.trainer_of(connection).and_then(|trainer| self.job_of(trainer));
        if let Some(slot) = job.and_then(|job| self.jobs.get(&job)) {
            let spool = self.layout.spool(&slot.feed.job_id);
            welcome.spool = spool.map(|folder| folder.to_string_lossy().into_owned());
        }
        self.command(connection, Command::Welcome(welcome));
    }

    fn deliver(&mut self, connection: ConnectionNo, task_no: TaskNo, mut deliver: Deliver) {
        let Some(payload) = self.payloads.get(&task_no).cloned() else { return };
        let Some(task) = self.scheduler.state().task(task_no) else { return };
        if let Some(slot) = self.jobs.get(&task.job) {
            deliver.work = Some(format!("{}/{}", slot.work, task_name(task_no, &task.task_id)));
        }
        deliver.task_size = payload.size_bytes();
        deliver.place = payload.place();
        self.command(connection, Command::Deliver { deliver, payload });
    }
}
