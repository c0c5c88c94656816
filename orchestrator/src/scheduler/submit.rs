//! Jobs coming in, being bound to a socket, failing as a whole, and being over.

use std::collections::HashSet;
use std::mem;
use std::time::Instant;

use trainwire_protocol::id::JobId;
use trainwire_protocol::task::VerifiedTask;

use super::Scheduler;
use super::decision::{Answer, Effect};
use super::input::Ticket;
use super::live::{LiveJob, Service};
use crate::job::JobSpec;
use crate::record::{JobNo, Next, Record, TaskNo};

impl Scheduler {
    pub(super) fn submit(&mut self, ticket: Ticket, spec: JobSpec, tasks: Vec<VerifiedTask>, job_id: &JobId) {
        let answer = match self.take(spec, tasks, job_id) {
            Ok(answer) => answer,
            Err((code, text)) => Answer::Rejected { code, text },
        };
        self.effect(Effect::Answer { ticket, answer });
    }

    fn take(
        &mut self,
        spec: JobSpec,
        tasks: Vec<VerifiedTask>,
        job_id: &JobId,
    ) -> Result<Answer, (&'static str, String)> {
        match spec.validate() {
            Ok(valid) if valid == *job_id => {}
            Ok(valid) => {
                return Err(("bad_job_id", format!("the job is called {job_id}, its limits say {valid}")));
            }
            Err(error) => return Err((error.code(), error.to_string())),
        }
        if tasks.is_empty() {
            return Err(("no_tasks", format!("job {job_id} has no tasks; give it at least one")));
        }
        if let Some(&job) = self.state.job_ids.get(job_id.as_str()) {
            return self.compare(job, &spec, &tasks, job_id);
        }
        let mut task_ids = HashSet::with_capacity(tasks.len());
        if let Some(twice) = tasks.iter().find(|task| !task_ids.insert(task.task_id())) {
            let text =
                format!("job {job_id} has two tasks called {:?}; name each differently", twice.task_id());
            return Err(("duplicate_task", text));
        }

        let job = JobNo(self.state.jobs.len() as u64 + 1);
        self.record(Record::JobSubmitted { job, spec: Box::new(spec) });
        let mut live = LiveJob::default();
        for payload in tasks {
            let task = TaskNo(self.state.tasks.len() as u64 + 1);
            self.record(Record::TaskSubmitted {
                task,
                job,
                task_id: payload.task_id().to_owned(),
                model_name: payload.model_name().to_owned(),
                max_epochs: payload.max_epochs(),
                size_bytes: payload.as_bytes().len() as u64,
            });
            self.payloads.insert(task, payload);
            live.ready.insert(task);
        }
        self.jobs.insert(job, live);
        self.effect(Effect::Bind { job });
        Ok(Answer::Submitted { job, existing: false })
    }

    /// A job id that was used before: the same job again, or another one. Of tasks that have ended
    /// the bytes are gone, so ids, epochs and sizes stand for them.
    fn compare(
        &self,
        job_no: JobNo,
        spec: &JobSpec,
        tasks: &[VerifiedTask],
        job_id: &JobId,
    ) -> Result<Answer, (&'static str, String)> {
        let same = self.state.job(job_no).is_some_and(|job| {
            let same_task = |(number, payload): (TaskNo, &VerifiedTask)| {
                self.state.task(number).is_some_and(|task| {
                    *task.task_id == *payload.task_id()
                        && *task.model_name == *payload.model_name()
                        && task.max_epochs == payload.max_epochs()
                        && task.size_bytes == payload.as_bytes().len() as u64
                        && self.payload(number).is_none_or(|held| held.as_bytes() == payload.as_bytes())
                })
            };
            *job.spec == *spec && job.tasks == tasks.len() && job.task_numbers().zip(tasks).all(same_task)
        });
        if same {
            return Ok(Answer::Submitted { job: job_no, existing: true });
        }
        let text =
            format!("job {job_id} exists already with other limits or tasks; give the new one another id");
        Err(("job_conflict", text))
    }

    pub(super) fn bound(&mut self, now: Instant, job: JobNo) {
        if let Some(live) = self.jobs.get_mut(&job) {
            live.bound = true;
            self.settle(now, job);
        }
    }

    pub(super) fn bind_failed(&mut self, now: Instant, job: JobNo, code: &str, text: &str) {
        self.fail_job(job, &format!("the job's socket could not be made ({code}): {text}"), "");
        self.settle(now, job);
    }

    pub(super) fn version_mismatch(&mut self, job: JobNo, text: String) {
        if let Some(live) = self.jobs.get_mut(&job) {
            live.version_mismatch = Some(text);
        }
    }

    /// No trainer can be had: every queued task is dead. Deliveries in flight go on.
    pub(super) fn fail_job(&mut self, job: JobNo, cause: &str, log_tail: &str) {
        for task in self.queued(job) {
            let next = Next::Dead { cause: cause.to_owned(), log_tail: log_tail.to_owned() };
            self.close(task, next);
        }
    }

    /// Ends a task that is with no trainer.
    pub(super) fn close(&mut self, task: TaskNo, next: Next) {
        let Some(job) = self.state.task(task).map(|task| task.job) else { return };
        if let Some(live) = self.jobs.get_mut(&job) {
            live.ready.remove(&task);
            live.waiting.remove(&task);
        }
        self.payloads.remove(&task);
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
            |task: &TaskNo| self.state.task(*task).is_some_and(|task| task.state == super::TaskState::Queued);
        live.ready.iter().chain(&live.waiting).copied().chain(reserved).filter(queued).collect()
    }

    /// All tasks have ended: sends the trainers home, and ends the job when the last has left.
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
            self.jobs.remove(&job);
            self.token_starved.remove(&job);
            self.record(Record::JobEnded { job });
            self.effect(Effect::Unbind { job });
        }
    }
}
