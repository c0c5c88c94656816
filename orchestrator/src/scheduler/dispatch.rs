//! Who gets what: windows, the start of trainers, and letting go of those without work.

use std::collections::BTreeSet;
use std::mem;
use std::time::Instant;

use trainwire_protocol::id::{Delivery, Token};
use trainwire_protocol::message::{CheckpointRef, Deliver, Place};

use super::deadlines::Due;
use super::decision::{Effect, Signal};
use super::ladder::bye;
use super::live::{LiveTrainer, Service};
use super::{ConnectionNo, Delivered, Scheduler, TaskState};
use crate::record::{DeliveryNo, JobNo, Record, Rung, TaskNo, TrainerNo};

impl Scheduler {
    /// Brings a job to rest after any change: no due task beside a free window, no missing trainer,
    /// no idle one too many, no job that is over and still there. An extra call does no harm.
    pub(super) fn settle(&mut self, now: Instant, job_no: JobNo) {
        if let Some(cause) =
            self.jobs.get(&job_no).and_then(|live| live.obstacles.as_ref()?.unbindable.clone())
        {
            self.fail_job(job_no, &cause, "");
        }
        let Some(job) = self.state.job(job_no) else { return };
        if job.is_done() {
            return self.finish_job(now, job_no);
        }
        while let Some(live) = self.jobs.get(&job_no)
            && !live.ready.is_empty()
            && let Some((_, trainer)) = live.open.first().copied()
        {
            self.refill(now, trainer);
        }
        self.start_trainers(now, job_no);
        self.release_idle(now, job_no);
        self.watch_ahead(now, job_no);
    }

    /// Fills a trainer's window, as far as there are due tasks.
    pub(super) fn refill(&mut self, now: Instant, trainer: TrainerNo) {
        self.shut(trainer);
        let no_more = match () {
            () if self.is_for_one_task(trainer) => Some("one_task"),
            () if self.gives_way(now, trainer) => Some("slots_wanted"),
            () => None,
        };
        if let Some(code) = no_more {
            // Tasks in hand come to their end first.
            let idle = |live: &LiveTrainer| live.delivered_at.is_empty() && live.takes_work();
            if self.trainers.get(&trainer).is_some_and(|live| idle(live)) {
                self.let_go(now, trainer, code);
            }
            return;
        }
        loop {
            let Some(live) = self.trainers.get_mut(&trainer) else { return };
            let Some(job) = self.jobs.get_mut(&live.job) else { return };
            let Some(durable) = self.state.job(live.job) else { return };
            // Towards the end of a job everybody gets a fair share of what is left.
            let held = live.delivered_at.len();
            let sharers = durable.trainers.len().max(durable.spec.trainers as usize).max(1);
            let share = (job.ready.len() + held) / sharers + 1;
            if !live.takes_work() || held >= share.min(live.window as usize) {
                return;
            }
            let Some(task_no) = job.ready.first().copied() else {
                live.open_at = Some(held);
                job.open.insert((held, trainer));
                return;
            };
            let size_bytes = self.state.task(task_no).map_or(0, |task| task.size_bytes);
            if held > 0 && live.held_bytes + size_bytes > IN_HAND_SIZE_BYTES_MAX {
                return;
            }
            job.ready.pop_first();
            if job.ready.is_empty() {
                // The set would keep the memory of its last one.
                job.ready = BTreeSet::new();
            }
            let delivery = self.assign(now, task_no, trainer);
            self.send(trainer, delivery);
        }
    }

    /// Whether its arguments are those of the task it was started for.
    fn is_for_one_task(&self, trainer: TrainerNo) -> bool {
        self.spec_of(trainer).is_some_and(|spec| spec.is_template())
            && self.state.trainer(trainer).is_some_and(|trainer| !trainer.is_attached())
    }

    /// Takes a trainer off its job's list of those with room.
    pub(super) fn shut(&mut self, trainer: TrainerNo) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if let Some(held) = live.open_at.take()
            && let Some(job) = self.jobs.get_mut(&live.job)
        {
            job.open.remove(&(held, trainer));
        }
    }

    /// Makes a delivery.
    pub(super) fn assign(&mut self, now: Instant, task_no: TaskNo, trainer: TrainerNo) -> DeliveryNo {
        let delivery = self.state.deliveries.next();
        let (attempt, size_bytes) =
            self.state.task(task_no).map_or((1, 0), |task| (task.starts + 1, task.size_bytes));
        self.record(Record::Delivered { delivery, task: task_no, trainer, attempt, log_from: None });
        if let Some(live) = self.trainers.get_mut(&trainer) {
            if let Some(job) = self.jobs.get_mut(&live.job) {
                job.ahead += usize::from(!live.delivered_at.is_empty());
            }
            live.delivered_at.push((delivery, now));
            live.turn_began.get_or_insert(now);
            live.held_bytes += size_bytes;
        }
        delivery
    }

    /// Sends a delivery over the trainer's connection.
    pub(super) fn send(&mut self, trainer: TrainerNo, delivery: DeliveryNo) {
        let Some(connection) = self.connection_of(trainer) else { return };
        let Some(&delivered) = self.state.delivery(delivery) else { return };
        let Some(task) = self.state.task(delivered.task) else { return };
        let checkpoint = task.checkpoint.clone();
        self.deliver(connection, delivered, delivery, checkpoint.as_deref());
        if let Some(group) = self.trainers.get_mut(&trainer).and_then(|live| live.group.as_mut()) {
            group.hand(delivery, checkpoint);
            self.hand_to_replicas(trainer);
        }
    }

    /// Sends a delivery over one connection.
    pub(super) fn deliver(
        &mut self,
        connection: ConnectionNo,
        delivered: Delivered,
        delivery: DeliveryNo,
        checkpoint: Option<&CheckpointRef>,
    ) {
        let Some(task) = self.state.task(delivered.task) else { return };
        let traceparent = self.spec(task.job).and_then(|spec| spec.environment.get(TRACEPARENT));
        let deliver = Deliver {
            delivery: Delivery(delivery),
            attempt: delivered.attempt,
            task_size: task.size_bytes,
            place: Place::Inline,
            work: None,
            last_checkpoint: checkpoint.cloned(),
            traceparent: traceparent.filter(|text| text.len() <= TRACEPARENT_SIZE_BYTES_MAX).cloned(),
            time_left: None,
        };
        self.effect(Effect::Deliver { connection, task: delivered.task, deliver: Box::new(deliver) });
    }

    /// Starts a trainer for each due task nobody has room for, as many as the job may have.
    fn start_trainers(&mut self, now: Instant, job: JobNo) {
        if self.spec(job).is_some_and(|spec| spec.slots_of_trainer() > 0) {
            return self.start_with_slots(now, job);
        }
        while self.wants_trainer(job) && self.start_trainer(now, job, Vec::new()) {}
    }

    /// Whether one more would have something to do, and may be started.
    pub(super) fn wants_trainer(&self, job: JobNo) -> bool {
        let (Some(live), Some(spec)) = (self.jobs.get(&job), self.spec(job)) else { return false };
        live.bound
            && !live.start_held
            && !spec.command.is_empty()
            && live.spawned < spec.trainers
            && live.starting < live.ready.len()
    }

    /// Starts one; `false` as long as there is no token for it.
    pub(super) fn start_trainer(&mut self, now: Instant, job: JobNo, slots: Vec<String>) -> bool {
        let (Some(spec), Some(live)) = (self.state.job(job).map(|job| &job.spec), self.jobs.get_mut(&job))
        else {
            return false;
        };
        let Some(token) = self.tokens.pop() else {
            self.token_starved.insert(job);
            return false;
        };
        live.spawned += 1;
        let script_task = if spec.script { live.ready.pop_first() } else { None };
        live.starting += usize::from(!spec.script);
        let trainer = TrainerNo(self.state.trainers.next());
        let deadline = match script_task {
            Some(_) => None,
            None => self.deadlines.arm(now, spec.start_timeout, Due::Start(trainer)),
        };
        let script_task_attempt =
            script_task.and_then(|number| Some((number, self.state.task(number)?.starts + 1)));
        self.trainers.insert(trainer, LiveTrainer::new(job, Service::Starting { script_task, deadline }));
        self.record(Record::TrainerSpawning { trainer, job, token: token.to_hex(), slots: slots.clone() });
        self.effect(Effect::Spawn { trainer, job, token, slots, script_task: script_task_attempt });
        true
    }

    pub(super) fn more_tokens(&mut self, now: Instant, tokens: Vec<Token>) {
        self.tokens.extend(tokens);
        for job in mem::take(&mut self.token_starved) {
            self.settle(now, job);
        }
    }

    /// A process runs. For a script it is the delivery, too.
    pub(super) fn spawned(&mut self, now: Instant, trainer: TrainerNo, spawned: Record) {
        let Some(live) = self.trainers.get(&trainer) else { return };
        let (service, job) = (live.service, live.job);
        self.record(spawned);
        match service {
            Service::Starting { script_task: Some(task), .. } => {
                let queued = self.state.task(task).is_some_and(|task| task.state == TaskState::Queued);
                self.set_service(trainer, Service::Serving);
                if queued {
                    let delivery = self.assign(now, task, trainer);
                    self.record(Record::Started { delivery });
                } else {
                    // Cancelled while the process was being started for it.
                    self.set_service(trainer, Service::Draining);
                    self.climb(now, trainer, Rung::Killed);
                }
                self.settle(now, job);
            }
            // Let go of before it was there to be signalled.
            Service::Draining => self.effect(Effect::Signal { trainer, signal: Signal::Kill }),
            Service::Starting { .. } | Service::Serving => {}
        }
    }

    /// The start is over, one way or the other; or the service.
    pub(super) fn set_service(&mut self, trainer: TrainerNo, service: Service) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let before = mem::replace(&mut live.service, service);
        if let Service::Starting { script_task, deadline } = before
            && !matches!(service, Service::Starting { .. })
        {
            if let Some(at) = deadline {
                self.deadlines.disarm(at, Due::Start(trainer));
            }
            if script_task.is_none()
                && let Some(job) = self.jobs.get_mut(&live.job)
            {
                job.starting = job.starting.saturating_sub(1);
            }
        }
    }

    /// Lets go of idle trainers nothing can still come to, of what is queued or waits elsewhere. While the job is open any can; and where
    /// no trainer can be started, an idle one is all there is for a task that comes back from another.
    fn release_idle(&mut self, now: Instant, job_no: JobNo) {
        if self.state.job(job_no).is_some_and(|job| job.open || job.spec.command.is_empty()) {
            return;
        }
        while let Some(live) = self.jobs.get(&job_no)
            && live.ready.is_empty()
            && let Some((_, last)) = live.open.range(..(1, TrainerNo(0))).next_back().copied()
            && live.idle() > live.waiting.len() + live.ahead
        {
            self.let_go(now, last, "job_done");
        }
    }

    /// Tells a trainer that there is no more work for it.
    pub(super) fn let_go(&mut self, now: Instant, trainer: TrainerNo, code: &str) {
        let Some(live) = self.trainers.get(&trainer) else { return };
        match (live.service, live.connection) {
            (Service::Draining, _) => return,
            (Service::Starting { .. }, _) => {
                self.set_service(trainer, Service::Draining);
                return self.climb(now, trainer, Rung::Terminated);
            }
            (Service::Serving, Some(connection)) => {
                self.effect(Effect::Bye { connection, bye: bye(code) });
                self.bye_to_replicas(trainer, code);
            }
            (Service::Serving, None) => {}
        }
        self.drain(now, trainer);
    }
}

/// Bytes of tasks one trainer may have in hand beyond its first: what it was given it must receive,
/// even when it is about to end.
const IN_HAND_SIZE_BYTES_MAX: u64 = 8 << 20;

/// Of a job's environment; a trace goes on in the trainer.
const TRACEPARENT: &str = "TRACEPARENT";

/// Version 00 has 55; what is far longer is something else.
const TRACEPARENT_SIZE_BYTES_MAX: usize = 128;
