//! Whose record it is: what the columns of the journal and the fields of an event say.

use crate::record::{JobNo, Record, TaskNo, TrainerNo};
use crate::scheduler::Durable;

/// The job, task and attempt a record is about, as far as it is about one.
pub(super) fn attribute(state: &Durable, record: &Record) -> (Option<JobNo>, Option<TaskNo>, Option<u32>) {
    let of_task = |task: TaskNo| state.task(task).map(|task| task.job);
    let of_trainer = |trainer: TrainerNo| state.trainer(trainer).map(|trainer| trainer.job);
    match record {
        // It is not one of the job's own, which are deleted.
        Record::JobForgotten { .. } => (None, None, None),
        Record::JobSubmitted { job, .. }
        | Record::JobClosed { job }
        | Record::LimitsChanged { job, .. }
        | Record::TrainerSpawning { job, .. }
        | Record::TrainerBound { job, .. }
        | Record::JobEnded { job } => (Some(*job), None, None),
        Record::TrainerSpawned { trainer, .. }
        | Record::TrainerNoticed { trainer, .. }
        | Record::TrainerEnded { trainer, .. }
        | Record::SlotsFreed { trainer } => (of_trainer(*trainer), None, None),
        Record::TaskSubmitted { task, job, .. } => (Some(*job), Some(*task), None),
        Record::Closed { task, .. } | Record::Requeued { task } => (of_task(*task), Some(*task), None),
        Record::Delivered { task, attempt, .. } => (of_task(*task), Some(*task), Some(*attempt)),
        Record::Started { delivery }
        | Record::Checkpointed { delivery, .. }
        | Record::Stopping { delivery, .. }
        | Record::Stuck { delivery }
        | Record::Ended { delivery, .. }
        | Record::Superseded { delivery, .. } => match state.delivery(*delivery) {
            Some(delivered) => (of_task(delivered.task), Some(delivered.task), Some(delivered.attempt)),
            None => (None, None, None),
        },
    }
}
