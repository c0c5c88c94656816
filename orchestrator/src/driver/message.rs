//! What comes to the driver, and how it answers those who asked.

use std::sync::Arc;

use tokio::sync::oneshot;
use trainwire_protocol::id::JobId;
use trainwire_protocol::message::Deliver;
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::ProcessIdentity;

use super::Driver;
use super::query::Query;
use super::remains::Leftover;
use crate::budget::Taken;
use crate::discard::discard;
use crate::error::OrchestratorError;
use crate::events::Feed;
use crate::intake::Intake;
use crate::job::{JobSpec, StopReason};
use crate::payload::Payload;
use crate::process::TrainerProcess;
use crate::record::{Exit, JobNo, TaskNo, TrainerNo};
use crate::scheduler::{Answer, ConnectionNo, Input, Ticket};
use crate::slab::JobSlab;

/// What comes to the driver.
pub(crate) enum Message {
    Submit {
        job_id: JobId,
        spec: Box<JobSpec>,
        slab: Option<Arc<JobSlab>>,
        tasks: Vec<Intake>,
        taken: Taken,
        reply: oneshot::Sender<SubmitAnswer>,
    },
    Add {
        job: JobNo,
        tasks: Vec<Intake>,
        taken: Taken,
        reply: oneshot::Sender<AddAnswer>,
    },
    Close {
        job: JobNo,
        reply: oneshot::Sender<()>,
    },
    Requeue {
        job: JobNo,
        /// The job has ended, and `taken` has its part.
        reopens: bool,
        tasks: Vec<(TaskNo, Payload)>,
        taken: Taken,
        reply: oneshot::Sender<RequeueAnswer>,
    },
    Change {
        job: JobNo,
        spec: Box<JobSpec>,
        reply: oneshot::Sender<ChangeAnswer>,
    },
    Stop {
        job: JobNo,
        task: Option<TaskNo>,
        reason: StopReason,
        kill: bool,
        reply: oneshot::Sender<()>,
    },
    Ask(Query),
    /// A task's file could not be synced: the disk cannot be trusted with the journal either.
    DiskFailed {
        text: String,
    },
    /// Of a task in a slab, for a trainer that is not to read it there; or the code of what went wrong.
    Copied {
        connection: ConnectionNo,
        deliver: Box<Deliver>,
        copy: Result<Payload, &'static str>,
    },
    Spawned {
        trainer: TrainerNo,
        started: Result<(TrainerProcess, ProcessIdentity), Exit>,
    },
    /// A process that is not our child has ended.
    Died {
        trainer: TrainerNo,
        exit: Exit,
    },
    /// The folders of jobs that have ended, oldest first.
    Measured {
        sizes: Vec<(JobNo, u64)>,
    },
    /// All processes were looked at.
    Swept {
        swept: Vec<Leftover>,
        /// Of whom something was left.
        left: Vec<TrainerNo>,
    },
}

/// The job, or why not.
pub(crate) type SubmitAnswer = Result<Arc<Feed>, (&'static str, String)>;

/// How many tasks were new and how many were there, or why none was taken.
pub(crate) type AddAnswer = Result<(usize, usize), (&'static str, String)>;

/// How many tasks wait again; an error where it was not as whoever asked thought.
pub(crate) type RequeueAnswer = Result<usize, ()>;

/// Nothing, or why not.
pub(crate) type ChangeAnswer = Result<(), (&'static str, String)>;

/// Who waits for a request.
pub(super) enum Reply {
    Submit { reply: oneshot::Sender<SubmitAnswer>, taken: Taken },
    Add { reply: oneshot::Sender<AddAnswer>, taken: Taken },
    Requeue { reply: oneshot::Sender<RequeueAnswer>, taken: Taken },
    Change(oneshot::Sender<ChangeAnswer>),
    Done(oneshot::Sender<()>),
}

impl Driver {
    pub(super) fn receive(&mut self, message: Message) {
        match message {
            Message::Submit { job_id, spec, slab, tasks, taken, reply } => {
                let (ticket, verified) = (self.ticket(), verified(&tasks));
                self.slabs.arriving = slab;
                discard_all(self.take_in(Input::Submit { ticket, spec, tasks: verified, job_id }, tasks));
                self.tickets.insert(ticket, Reply::Submit { reply, taken });
                // The job is there already, or was refused.
                if let Some(slab) = self.slabs.arriving.take() {
                    discard(slab);
                }
            }
            Message::Add { job, tasks, mut taken, reply } => {
                let (ticket, verified) = (self.ticket(), verified(&tasks));
                let known = self.take_in(Input::Add { ticket, job, tasks: verified }, tasks);
                known.iter().for_each(|known| taken.give_back(known.payload.charge()));
                discard_all(known);
                self.tickets.insert(ticket, Reply::Add { reply, taken });
            }
            Message::Close { job, reply } => {
                let ticket = self.ticket();
                self.tickets.insert(ticket, Reply::Done(reply));
                self.decide(Input::Close { ticket, job });
            }
            Message::Requeue { job, reopens, tasks, taken, reply } => {
                self.requeue(job, reopens, tasks, taken, reply);
            }
            Message::Change { job, spec, reply } => {
                let ticket = self.ticket();
                self.tickets.insert(ticket, Reply::Change(reply));
                self.decide(Input::Change { ticket, job, spec });
            }
            Message::Stop { job, task, reason, kill, reply } => {
                let ticket = self.ticket();
                self.tickets.insert(ticket, Reply::Done(reply));
                self.decide(Input::Stop { ticket, job, task, reason, kill });
            }
            Message::Ask(query) => self.look(query),
            Message::DiskFailed { text } => self.failed = Some(OrchestratorError::Journal { text }),
            Message::Copied { connection, deliver, copy } => self.copied(connection, *deliver, copy),
            Message::Spawned { trainer, started } => self.spawned(trainer, started),
            Message::Measured { sizes } => self.measured(&sizes),
            Message::Died { trainer, exit } => self.ended(trainer, exit),
            Message::Swept { swept, left } => self.swept(swept, &left),
        }
    }

    fn requeue(
        &mut self,
        job: JobNo,
        reopens: bool,
        tasks: Vec<(TaskNo, Payload)>,
        mut taken: Taken,
        reply: oneshot::Sender<RequeueAnswer>,
    ) {
        let ended = self.scheduler.state().job(job).is_some_and(|job| job.ended);
        if ended != reopens || self.jobs.get(&job).is_none_or(|slot| slot.feed.is_ended() != ended) {
            let _ = reply.send(Err(()));
            return discard(tasks);
        }
        let ticket = self.ticket();
        let verified = tasks.iter().map(|(number, payload)| (*number, payload.task().clone())).collect();
        let requeued = self.decide_requeue(Input::Requeue { ticket, job, tasks: verified });
        if ended && !requeued.is_empty() {
            self.reopen_job(job);
        }
        for (number, payload) in tasks {
            if requeued.contains(&number) {
                self.payloads.insert(number, payload);
            } else {
                taken.give_back(payload.charge());
            }
        }
        self.tickets.insert(ticket, Reply::Requeue { reply, taken });
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        // The caller may have stopped waiting; the job is there all the same.
        match (self.tickets.remove(&ticket), answer) {
            (Some(Reply::Submit { reply, taken }), Answer::Submitted { job, existing }) => {
                if !existing {
                    taken.keep();
                }
                if let Some(slot) = self.jobs.get(&job) {
                    let _ = reply.send(Ok(Arc::clone(&slot.feed)));
                }
            }
            (Some(Reply::Submit { reply, .. }), Answer::Rejected { code, text }) => {
                let _ = reply.send(Err((code, text)));
            }
            (Some(Reply::Add { reply, taken }), Answer::Added { added, existing }) => {
                taken.keep();
                let _ = reply.send(Ok((added, existing)));
            }
            (Some(Reply::Add { reply, .. }), Answer::Rejected { code, text }) => {
                let _ = reply.send(Err((code, text)));
            }
            (Some(Reply::Requeue { reply, taken }), Answer::Requeued { tasks }) => {
                if tasks > 0 {
                    taken.keep();
                }
                let _ = reply.send(Ok(tasks));
            }
            (Some(Reply::Change(reply)), Answer::Done) => {
                let _ = reply.send(Ok(()));
            }
            (Some(Reply::Change(reply)), Answer::Rejected { code, text }) => {
                let _ = reply.send(Err((code, text)));
            }
            (Some(Reply::Done(reply)), _) => {
                let _ = reply.send(());
            }
            (Some(_) | None, _) => {}
        }
    }
}

fn discard_all(tasks: Vec<Intake>) {
    if tasks.iter().any(|task| task.payload.descriptor().is_some()) {
        discard(tasks);
    }
}

fn verified(tasks: &[Intake]) -> Vec<VerifiedTask> {
    tasks.iter().map(|task| task.payload.task().clone()).collect()
}
