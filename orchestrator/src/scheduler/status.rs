//! Answers to questions: how a job stands, and what a task waits for. Changes nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::deadlines::Due;
use super::live::{LiveJob, LiveTrainer, Service, Step};
use super::state::{Job, Task, TaskState, Trainer, TrainerState};
use super::{Now, Scheduler};
use crate::record::{JobNo, TaskNo, TrainerNo};
use crate::status::{
    JobStatus, TaskCondition, TaskCounts, TaskStatus, TrainerCondition, TrainerStatus, Wait, With,
};

impl Scheduler {
    /// How a job stands. Its tasks are counted by whoever sees them committed.
    pub fn job_status(&self, now: Now, number: JobNo, counts: TaskCounts) -> Option<JobStatus> {
        let job = self.state.job(number)?;
        Some(JobStatus {
            spec: job.spec.clone(),
            open: job.open,
            ended: job.ended,
            counts,
            wait: self.jobs.get(&number).and_then(|live| self.wait_of_job(now.monotonic, number, job, live)),
            trainers: job.trainers.iter().filter_map(|trainer| self.trainer_status(*trainer)).collect(),
        })
    }

    /// How tasks of one job stand, in the order given. Those of other jobs and unknown ones are left out.
    pub fn task_statuses(&self, now: Now, number: JobNo, tasks: &[TaskNo]) -> Vec<TaskStatus> {
        let now = now.monotonic;
        let Some(job) = self.state.job(number) else { return Vec::new() };
        let live = self.jobs.get(&number);
        // One look at all deadlines instead of one for each task.
        let mut due_at = HashMap::new();
        if live.is_some_and(|live| tasks.iter().any(|task| live.waiting.contains(task))) {
            due_at.extend(self.deadlines.iter().filter_map(|(at, due)| match due {
                Due::Task(task) => Some((task, at)),
                _ => None,
            }));
        }
        let statuses = tasks.iter().filter_map(|task_no| {
            let task = self.state.task(*task_no).filter(|task| task.job == number)?;
            let wait = || match (due_at.get(task_no), live) {
                (Some(at), _) => Wait::Backoff { left: at.saturating_duration_since(now) },
                (None, Some(live)) if live.ready.contains(task_no) => {
                    self.wait_for_trainer(now, number, job, live)
                }
                // Taken out of the queue: a process is being started for it.
                (None, _) => Wait::TrainerStarting,
            };
            Some(TaskStatus {
                task_id: task.task_id.clone(),
                model_name: task.model_name.clone(),
                max_epochs: task.max_epochs,
                size_bytes: task.size_bytes,
                starts: task.starts,
                failures: task.failures,
                losses: task.losses,
                checkpoint: task.checkpoint.as_ref().map(|checkpoint| checkpoint.path.as_str().into()),
                condition: self.condition(task, wait),
            })
        });
        statuses.collect()
    }

    fn condition(&self, task: &Task, wait: impl FnOnce() -> Wait) -> TaskCondition {
        let with = |holder: super::Holder| With {
            trainer: holder.trainer,
            attempt: self.state.delivery(holder.delivery).map_or(1, |delivered| delivered.attempt),
        };
        match task.state {
            TaskState::Queued => TaskCondition::Waiting(wait()),
            TaskState::Delivered(holder) => TaskCondition::Delivered(with(holder)),
            TaskState::Running(holder) => TaskCondition::Running(with(holder)),
            TaskState::Stopping { holder, reason, rung, .. } => {
                TaskCondition::Stopping { with: with(holder), reason, rung }
            }
            TaskState::Stuck { holder, .. } => TaskCondition::Stuck(with(holder)),
            TaskState::Succeeded => TaskCondition::Succeeded,
            TaskState::Cancelled => TaskCondition::Cancelled,
            TaskState::Stopped => TaskCondition::Stopped,
            TaskState::Dead => TaskCondition::Dead,
        }
    }

    /// What the task that is next in line waits for.
    fn wait_of_job(&self, now: Instant, number: JobNo, job: &Job, live: &LiveJob) -> Option<Wait> {
        if !live.ready.is_empty() {
            return Some(self.wait_for_trainer(now, number, job, live));
        }
        let mut trainers = job.trainers.iter().filter_map(|trainer| self.trainers.get(trainer));
        if trainers.any(|live| matches!(live.service, Service::Starting { script_task: Some(_), .. })) {
            return Some(Wait::TrainerStarting);
        }
        let mut due = self.deadlines.iter();
        let (at, _) = due.find(|(_, due)| matches!(due, Due::Task(task) if live.waiting.contains(task)))?;
        Some(Wait::Backoff { left: at.saturating_duration_since(now) })
    }

    /// What a task waits for that is due.
    fn wait_for_trainer(&self, now: Instant, number: JobNo, job: &Job, live: &LiveJob) -> Wait {
        if !live.bound {
            return Wait::Socket;
        }
        let (mut starting, mut serving) = (0, 0);
        let (mut unresponsive, mut disconnected, mut leaving) = (0, 0, 0);
        for (trainer, live) in job.trainers.iter().filter_map(|no| Some((no, self.trainers.get(no)?))) {
            *match self.trainer_condition(*trainer, live) {
                TrainerCondition::Starting => &mut starting,
                TrainerCondition::Idle | TrainerCondition::Busy => &mut serving,
                TrainerCondition::Unresponsive => &mut unresponsive,
                TrainerCondition::Disconnected => &mut disconnected,
                TrainerCondition::Leaving | TrainerCondition::Stuck => &mut leaving,
            } += 1;
        }
        if starting > 0 {
            Wait::TrainerStarting
        } else if serving > 0 {
            Wait::TrainersBusy { trainers: serving }
        } else if live.start_held {
            let due = self.deadlines.iter().find(|(_, due)| *due == Due::Respawn(number));
            let left = due.map_or(Duration::ZERO, |(at, _)| at.saturating_duration_since(now));
            Wait::NextStart { left }
        } else if let Some(SlotsWanted { needed, free, ahead }) = self.slots_wanted(number) {
            Wait::Slots { needed, free, ahead }
        } else if unresponsive + disconnected + leaving > 0 {
            Wait::TrainersUnavailable { unresponsive, disconnected, leaving }
        } else if job.spec.command.is_empty() {
            Wait::TrainerByHand
        } else {
            Wait::TrainerStarting
        }
    }

    fn trainer_status(&self, number: TrainerNo) -> Option<TrainerStatus> {
        let (trainer, live) = (self.state.trainer(number)?, self.trainers.get(&number)?);
        Some(TrainerStatus {
            trainer: number,
            pid: pid(trainer),
            attached: trainer.is_attached(),
            condition: self.trainer_condition(number, live),
            tasks: self.in_hand(number).map(|(_, task)| task.task_id.clone()).collect(),
        })
    }

    fn trainer_condition(&self, number: TrainerNo, live: &LiveTrainer) -> TrainerCondition {
        let script = || self.spec(live.job).is_some_and(|spec| spec.script);
        match live.service {
            _ if live.ladder.is_some_and(|ladder| ladder.step == Step::Stuck) => TrainerCondition::Stuck,
            _ if live.death.is_some() => TrainerCondition::Leaving,
            Service::Draining => TrainerCondition::Leaving,
            Service::Starting { .. } => TrainerCondition::Starting,
            Service::Serving if live.quiet => TrainerCondition::Unresponsive,
            Service::Serving if live.connection.is_none() && !script() => TrainerCondition::Disconnected,
            Service::Serving if self.in_hand(number).next().is_some() => TrainerCondition::Busy,
            Service::Serving => TrainerCondition::Idle,
        }
    }
}

fn pid(trainer: &Trainer) -> Option<i32> {
    match trainer.state {
        TrainerState::Spawning { pid, .. } => pid,
        TrainerState::Bound { pid, .. } => Some(pid),
        TrainerState::Ended { .. } => None,
    }
}

/// How it stands with a job that waits for slots.
pub(super) struct SlotsWanted {
    pub(super) needed: usize,
    pub(super) free: usize,
    pub(super) ahead: usize,
}
