//! Questions, answered from the Scheduler's state. An answer waits until the records it rests on are
//! committed: nobody is told what a power cut could take back.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;
use trainwire_protocol::id::JobId;

use super::Driver;
use crate::error::StacksError;
use crate::events::Feed;
use crate::job::Durability;
use crate::record::{JobNo, TaskNo};
use crate::status::{JobStatus, SlotStatus, TaskStatus};

/// A job, and where its tasks are kept.
pub(crate) type Found = (Arc<Feed>, Durability);

/// What is asked, and whom to answer.
pub(crate) enum Query {
    Jobs {
        reply: oneshot::Sender<Vec<Found>>,
    },
    Job {
        job_id: JobId,
        reply: oneshot::Sender<Option<Found>>,
    },
    Status {
        feed: Arc<Feed>,
        reply: oneshot::Sender<Option<JobStatus>>,
    },
    Tasks {
        job: JobNo,
        range: Range<usize>,
        reply: oneshot::Sender<Vec<TaskStatus>>,
    },
    /// Asks for the stacks of a task's trainer: in which log from which byte on they will be.
    Stacks {
        task: TaskNo,
        reply: oneshot::Sender<Result<Option<(PathBuf, u64)>, StacksError>>,
    },
    Slots {
        reply: oneshot::Sender<Vec<SlotStatus>>,
    },
    Task {
        job: JobNo,
        task: TaskNo,
        reply: oneshot::Sender<Option<TaskStatus>>,
    },
}

impl Driver {
    pub(super) fn look(&mut self, query: Query) {
        let state = self.scheduler.state();
        match query {
            Query::Jobs { reply } => {
                self.answer_with(reply, self.jobs.keys().filter_map(|job| self.found(job)).collect());
            }
            Query::Job { job_id, reply } => {
                let job = state.job_no(job_id.as_str());
                self.answer_with(reply, job.and_then(|job| self.found(job)));
            }
            Query::Status { feed, reply } => {
                let status = self.scheduler.job_status(self.scheduler_now(), feed.job, Default::default());
                // Counted when it is told: the feed has seen then what was decided before.
                self.tell(Box::new(move || {
                    let counts = feed.with_fold(|fold| fold.counts());
                    let _ = reply.send(status.map(|status| JobStatus { counts, ..status }));
                }));
            }
            Query::Tasks { job, range, reply } => {
                let tasks = state.job(job).map_or(&[][..], |job| &job.tasks);
                let end = range.end.min(tasks.len());
                let page = &tasks[range.start.min(end)..end];
                let statuses = self.scheduler.task_statuses(self.scheduler_now(), job, page);
                self.answer_with(reply, statuses);
            }
            Query::Stacks { task, reply } => {
                let asked = self.scheduler.stacks_of(task);
                let asked = asked.and_then(|(trainer, pid)| self.ask_for_stacks(trainer, pid));
                self.answer_with(reply, asked);
            }
            Query::Slots { reply } => {
                let slots = self.scheduler.slots();
                self.answer_with(reply, slots);
            }
            Query::Task { job, task, reply } => {
                let status = self.scheduler.task_statuses(self.scheduler_now(), job, &[task]).pop();
                self.answer_with(reply, status);
            }
        }
    }

    fn found(&self, job: JobNo) -> Option<Found> {
        let durability = self.scheduler.state().job(job)?.spec.durability;
        Some((Arc::clone(&self.jobs.get(&job)?.feed), durability))
    }

    fn answer_with<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        // Whoever asked may have gone.
        self.tell(Box::new(move || drop(reply.send(answer))));
    }
}
