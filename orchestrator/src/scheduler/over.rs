//! Jobs being bound to a socket, taking no more tasks, failing as a whole, and being over.

use std::mem;
use std::time::Instant;

use super::deadlines::Due;
use super::decision::{Answer, Effect};
use super::input::Ticket;
use super::live::Service;
use super::{Scheduler, TaskState};
use crate::record::{JobNo, Next, Record, TaskNo};

impl Scheduler {
    pub(super) fn bound(&mut self, now: Instant, job: JobNo) {
        if let Some(live) = self.jobs.get_mut(&job) {
            live.bound = true;
            self.settle(now, job);
        }
    }

    pub(super) fn bind_failed(&mut self, now: Instant, job: JobNo, code: &str, text: &str) {
        let cause = format!("the job's socket could not be made ({code}): {text}");
        if let Some(live) = self.jobs.get_mut(&job) {
            live.obstacles.get_or_insert_default().unbindable = Some(cause);
        }
        self.settle(now, job);
    }

    pub(super) fn version_mismatch(&mut self, job: JobNo, text: String) {
        if let Some(live) = self.jobs.get_mut(&job) {
            live.obstacles.get_or_insert_default().version_mismatch = Some(text);
        }
    }

    pub(super) fn close(&mut self, now: Instant, ticket: Ticket, job: JobNo) {
        self.take_no_more(job);
        self.settle(now, job);
        self.effect(Effect::Answer { ticket, answer: Answer::Done });
    }

    pub(super) fn take_no_more(&mut self, job: JobNo) {
        if self.state.job(job).is_some_and(|job| job.open) {
            self.record(Record::JobClosed { job });
        }
    }

    /// Unless it has not ended, or something of it is left that has slots.
    pub(super) fn forget(&mut self, job: JobNo) {
        let state = &self.state;
        let Some(known) = state.job(job).filter(|known| known.ended) else { return };
        if known.all_trainers.iter().any(|trainer| state.slots.contains_key(trainer)) {
            return;
        }
        self.record(Record::JobForgotten {
            job,
            jobs: self.state.jobs.last(),
            tasks: self.state.tasks.last(),
            trainers: self.state.trainers.last(),
            deliveries: self.state.deliveries.last(),
        });
    }

    /// No trainer can be had: every queued task is dead, and no more are taken. Deliveries in flight go on.
    pub(super) fn fail_job(&mut self, job: JobNo, cause: &str, log_tail: &str) {
        self.take_no_more(job);
        for task in self.queued(job) {
            let next = Next::Dead { cause: cause.into(), log_tail: log_tail.into() };
            self.close_task(task, next);
        }
    }

    /// Ends a task that is with no trainer.
    pub(super) fn close_task(&mut self, task: TaskNo, next: Next) {
        let Some(job) = self.state.task(task).map(|task| task.job) else { return };
        if let Some(live) = self.jobs.get_mut(&job) {
            live.ready.remove(&task);
            live.waiting.remove(&task);
        }
        self.payloads.remove(&task);
        self.lost.remove(&task);
        self.record(Record::Closed { task, next });
    }

    /// A job's queued tasks: due, in their backoff, or having a process started for them.
    pub(super) fn queued(&self, job: JobNo) -> Vec<TaskNo> {
        let Some(live) = self.jobs.get(&job) else { return Vec::new() };
        let trainers = self.state.job(job).into_iter().flat_map(|job| &job.trainers);
        let reserved = trainers.filter_map(|trainer| match self.trainers.get(trainer)?.service {
            Service::Starting { script_task, .. } => script_task,
            Service::Serving | Service::Draining => None,
        });
        let queued =
            |task: &TaskNo| self.state.task(*task).is_some_and(|task| task.state == TaskState::Queued);
        live.ready.iter().chain(&live.waiting).copied().chain(reserved).filter(queued).collect()
    }

    /// All tasks have ended, and no more can come: sends the trainers home, and ends the job when the last has left.
    pub(super) fn finish_job(&mut self, now: Instant, job: JobNo) {
        let Some(live) = self.jobs.get_mut(&job) else { return };
        if !mem::replace(&mut live.closing, true) {
            let trainers: Vec<_> =
                self.state.job(job).into_iter().flat_map(|job| &job.trainers).copied().collect();
            for trainer in trainers {
                self.let_go(now, trainer, "job_done");
            }
        }
        if self.state.job(job).is_some_and(|job| job.trainers.is_empty()) {
            let moves_at = self.jobs.remove(&job).and_then(|live| live.moves_at);
            moves_at.into_iter().for_each(|at| self.deadlines.disarm(at, Due::Move(job)));
            self.token_starved.remove(&job);
            self.record(Record::JobEnded { job });
            self.effect(Effect::Unbind { job });
            self.give_slots(now);
        }
    }
}
