//! The only code that changes durable state: live decisions and replays go through it alike.
//!
//! It is total. A record that does not fit the state it meets changes nothing: what the Scheduler
//! writes always fits, and a journal that does not is for whoever opens it to refuse.

use std::sync::Arc;

use trainwire_protocol::id::Token;
use trainwire_protocol::message::CheckpointRef;

use super::state::{ById, Delivered, Durable, Few, Holder, Job, Task, TaskState, Trainer, TrainerState};
use crate::record::{DeliveryNo, Ending, JobNo, Next, Record, TrainerNo};

impl Durable {
    /// Makes a record's change.
    pub fn apply(&mut self, record: &Record) {
        // `None` where the record does not fit; nothing was changed then.
        let _ = self.change(record);
    }

    fn change(&mut self, record: &Record) -> Option<()> {
        match record {
            Record::JobSubmitted { job, spec } => {
                if !self.jobs.is_new(job.0) {
                    return None;
                }
                self.job_ids.insert(ById(Arc::clone(spec)), *job);
                let new = Job {
                    submitted: Arc::clone(spec),
                    spec: Arc::clone(spec),
                    open: spec.open,
                    tasks: Few::new(),
                    task_ids: None,
                    unfinished: 0,
                    start_failures: 0,
                    trainers: Few::new(),
                    all_trainers: Few::new(),
                    deliveries: Few::new(),
                    ended: false,
                };
                self.jobs.add(job.0, new)?;
            }
            Record::TaskSubmitted { task, job, task_id, model_name, max_epochs, size_bytes } => {
                if !self.tasks.is_new(task.0) {
                    return None;
                }
                let owner = self.jobs.get_mut(job.0)?;
                owner.tasks.push(*task);
                if owner.spec.open {
                    owner.task_ids.get_or_insert_default().insert(Arc::clone(task_id), *task);
                }
                owner.unfinished += 1;
                let new = Task {
                    job: *job,
                    task_id: Arc::clone(task_id),
                    model_name: Arc::clone(model_name),
                    max_epochs: *max_epochs,
                    size_bytes: *size_bytes,
                    starts: 0,
                    failures: 0,
                    losses: 0,
                    returns: 0,
                    checkpoint: None,
                    state: TaskState::Queued,
                };
                self.tasks.add(task.0, new)?;
            }
            Record::TrainerSpawning { trainer, job, token, slots } => {
                let token = Token::from_hex(token)?;
                if !slots.is_empty() {
                    self.slots.insert(*trainer, slots.clone());
                }
                self.add_trainer(*trainer, *job, TrainerState::Spawning { token, pid: None })?;
            }
            Record::TrainerSpawned { trainer, pid: started, .. } => {
                let trainer = self.trainers.get_mut(trainer.0)?;
                if let TrainerState::Spawning { pid, .. } = &mut trainer.state {
                    *pid = Some(*started);
                }
                let job = self.jobs.get_mut(trainer.job.0)?;
                if job.spec.script {
                    // It need not say Hello: that it runs is all there is.
                    job.start_failures = 0;
                }
            }
            Record::TrainerBound { trainer, job, instance, pid, attached, restart, .. } => {
                let (pid, restart) = (*pid, *restart);
                let bound =
                    |token| TrainerState::Bound { token, instance: Arc::clone(instance), pid, restart };
                if *attached {
                    self.add_trainer(*trainer, *job, bound(None))?;
                } else {
                    let Trainer { state, in_hand, .. } = self.trainers.get_mut(trainer.0)?;
                    let in_hand = match *state {
                        TrainerState::Spawning { token, .. } => {
                            *state = bound(Some(token));
                            Vec::new()
                        }
                        TrainerState::Bound { token: Some(token), restart: before, .. }
                            if before < restart =>
                        {
                            *state = bound(Some(token));
                            Vec::from_iter(in_hand.iter().copied())
                        }
                        _ => return None,
                    };
                    // It counts its checkpoints from 1 again.
                    for delivery in in_hand {
                        if let Some(holder) = self.open(delivery).and_then(|task| task.state.holder_mut()) {
                            holder.last_seq = 0;
                        }
                    }
                }
                self.jobs.get_mut(job.0)?.start_failures = 0;
            }
            Record::TrainerEnded { trainer, exit, start_failed } => {
                let ended = self.trainers.get_mut(trainer.0)?;
                ended.state = TrainerState::Ended { exit: exit.clone(), token: ended.token().copied() };
                let job = self.jobs.get_mut(ended.job.0)?;
                job.trainers.retain(|living| living != trainer);
                job.start_failures += u32::from(*start_failed);
            }
            Record::SlotsFreed { trainer } => drop(self.slots.remove(trainer)),
            Record::Delivered { delivery, task, trainer, attempt, .. } => {
                if !self.deliveries.is_new(*delivery) {
                    return None;
                }
                let holder = self.trainers.get_mut(trainer.0)?;
                let delivered = self.tasks.get_mut(task.0)?;
                if delivered.state != TaskState::Queued {
                    return None;
                }
                delivered.state =
                    TaskState::Delivered(Holder { delivery: *delivery, trainer: *trainer, last_seq: 0 });
                holder.in_hand.push(*delivery);
                self.jobs.get_mut(delivered.job.0)?.deliveries.push(*delivery);
                self.deliveries
                    .add(*delivery, Delivered { task: *task, trainer: *trainer, attempt: *attempt })?;
            }
            Record::Started { delivery } => self.open(*delivery)?.start(),
            Record::Checkpointed { delivery, seq, path, step, epoch, .. } => {
                let task = self.open(*delivery)?;
                task.checkpoint =
                    Some(Arc::new(CheckpointRef { path: path.to_string(), step: *step, epoch: *epoch }));
                if let Some(holder) = task.state.holder_mut() {
                    holder.last_seq = *seq;
                }
            }
            Record::Stopping { delivery, reason, rung } => {
                let state = &mut self.open(*delivery)?.state;
                let (holder, started) = (state.holder()?, state.is_started());
                *state = TaskState::Stopping { holder, started, reason: *reason, rung: *rung };
            }
            Record::Stuck { delivery } => {
                let state = &mut self.open(*delivery)?.state;
                let TaskState::Stopping { holder, started, reason, .. } = *state else { return None };
                *state = TaskState::Stuck { holder, started, reason };
            }
            Record::Ended { delivery, ending, next, .. } => self.end(*delivery, ending, next)?,
            Record::Closed { task, next } => {
                let task = self.tasks.get_mut(task.0)?;
                if task.state != TaskState::Queued {
                    return None;
                }
                task.state = after(next);
                self.jobs.get_mut(task.job.0)?.unfinished -= 1;
            }
            Record::JobClosed { job } => self.jobs.get_mut(job.0)?.open = false,
            Record::JobEnded { job } => self.jobs.get_mut(job.0)?.ended = true,
            Record::JobForgotten { job, jobs, tasks, trainers, deliveries } => {
                self.jobs.skip(*jobs);
                self.tasks.skip(*tasks);
                self.trainers.skip(*trainers);
                self.deliveries.skip(*deliveries);
                // After a restart nothing of it was replayed.
                let forgotten = self.jobs.forget(job.0)?;
                self.job_ids.remove(forgotten.spec.job_id.as_str());
                for task in forgotten.tasks {
                    self.tasks.forget(task.0);
                }
                for trainer in forgotten.all_trainers {
                    self.trainers.forget(trainer.0);
                }
                for delivery in forgotten.deliveries {
                    self.deliveries.forget(delivery);
                }
            }
            Record::Requeued { task } => {
                let task = self.tasks.get_mut(task.0)?;
                if !matches!(task.state, TaskState::Dead | TaskState::Stopped) {
                    return None;
                }
                task.state = TaskState::Queued;
                (task.failures, task.losses, task.returns) = (0, 0, 0);
                let job = self.jobs.get_mut(task.job.0)?;
                job.unfinished += 1;
                (job.ended, job.start_failures) = (false, 0);
            }
            Record::LimitsChanged { job, spec } => {
                self.jobs.get_mut(job.0)?.spec = Arc::clone(spec);
            }
            // Facts for readers; no decision rests on them.
            Record::TrainerNoticed { .. } | Record::Superseded { .. } => {}
        }
        Some(())
    }

    fn add_trainer(&mut self, number: TrainerNo, job: JobNo, state: TrainerState) -> Option<()> {
        if !self.trainers.is_new(number.0) {
            return None;
        }
        let owner = self.jobs.get_mut(job.0)?;
        owner.trainers.push(number);
        owner.all_trainers.push(number);
        self.trainers.add(number.0, Trainer { job, in_hand: Few::new(), state })
    }

    fn open(&mut self, delivery: DeliveryNo) -> Option<&mut Task> {
        let task = self.deliveries.get_mut(delivery)?.task;
        let task = self.tasks.get_mut(task.0)?;
        (task.state.holder()?.delivery == delivery).then_some(task)
    }

    fn end(&mut self, delivery: DeliveryNo, ending: &Ending, next: &Next) -> Option<()> {
        let task = self.open(delivery)?;
        let (holder, job) = (task.state.holder()?, task.job);
        match ending {
            Ending::Returned { .. } | Ending::Stopped { .. } => {}
            // A trainer may hold its Started back until the result of a short task.
            _ => task.start(),
        }
        task.returns = match ending {
            Ending::Returned { .. } => task.returns + 1,
            _ => 0,
        };
        match ending {
            Ending::Failed { .. } | Ending::Retry { .. } => task.failures += 1,
            Ending::Crashed { .. } | Ending::Lost | Ending::Stalled => task.losses += 1,
            Ending::Succeeded { .. } | Ending::Stopped { .. } | Ending::Returned { .. } => {}
        }
        task.state = after(next);
        let terminal = task.state.is_terminal();
        let in_hand = &mut self.trainers.get_mut(holder.trainer.0)?.in_hand;
        // Nearly always the first: a trainer works its deliveries off in order.
        if let Some(place) = in_hand.iter().position(|held| *held == delivery) {
            in_hand.remove(place);
        }
        self.jobs.get_mut(job.0)?.unfinished -= usize::from(terminal);
        Some(())
    }
}

impl Task {
    /// The trainer's code has it. Further calls change nothing.
    fn start(&mut self) {
        match &mut self.state {
            TaskState::Delivered(holder) => self.state = TaskState::Running(*holder),
            TaskState::Stopping { started: started @ false, .. }
            | TaskState::Stuck { started: started @ false, .. } => *started = true,
            _ => return,
        }
        self.starts += 1;
    }
}

impl TaskState {
    fn holder_mut(&mut self) -> Option<&mut Holder> {
        match self {
            Self::Delivered(holder) | Self::Running(holder) => Some(holder),
            Self::Stopping { holder, .. } | Self::Stuck { holder, .. } => Some(holder),
            Self::Queued | Self::Succeeded | Self::Cancelled | Self::Stopped | Self::Dead => None,
        }
    }
}

/// The state a task goes to.
fn after(next: &Next) -> TaskState {
    match next {
        Next::Queued { .. } => TaskState::Queued,
        Next::Succeeded => TaskState::Succeeded,
        Next::Cancelled => TaskState::Cancelled,
        Next::Stopped => TaskState::Stopped,
        Next::Dead { .. } => TaskState::Dead,
    }
}
