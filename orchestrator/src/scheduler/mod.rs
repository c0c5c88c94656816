//! The Scheduler: which task goes to which trainer, what becomes of it, and when to give up.
//!
//! Pure: inputs and the time come in, a [`Decision`] goes out. It never asks the time, never waits
//! and never touches a socket, a file or a process; the driver does, and only after the decision's
//! records are committed.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `submit` | which jobs and tasks are taken |
//! | `requeue` | which ended tasks get another chance, and with which limits |
//! | `over` | when a job takes no more, fails as a whole, or is over |
//! | `adopt` | what a restart takes up again |
//! | `admission` | who may connect, and what a reconnecting trainer still has |
//! | `group` | what the other ranks of a distributed training get, and what their failure means |
//! | `presence` | what silence, a lost connection and a goodbye mean |
//! | `dispatch` | who gets what; when trainers are started and let go |
//! | `moves` | what is asked back from who has more than it can begin |
//! | `reports` | what of a trainer's words counts |
//! | `ladder` | how a delivery and a process are brought to an end |
//! | `exits` | what a death says about the deliveries it took along |
//! | `retry` | what becomes of a task after a delivery |
//! | `deadlines` | what falls due when |
//! | `slots` | who gets the GPUs, and when they are free again |
//! | `state`, `apply` | what the records say, and the only code that changes it |
//! | `live` | what a restart forgets |
//! | `status` | what a task waits for, in answer to a question; decides nothing |

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use trainwire_protocol::id::Token;
use trainwire_protocol::task::VerifiedTask;

use crate::by_number::ByNumber;
use crate::error::StacksError;
use crate::job::JobSpec;
use crate::planted;
use crate::record::{DeliveryNo, JobNo, Record, TaskNo, TrainerNo};

mod admission;
mod adopt;
mod apply;
mod deadlines;
mod decision;
mod dispatch;
mod exits;
mod group;
mod input;
mod ladder;
mod live;
mod moves;
mod numbered;
mod over;
mod presence;
mod reports;
mod requeue;
mod retry;
mod slots;
mod state;
mod status;
mod submit;
#[cfg(test)]
mod tests;

pub use adopt::Adoption;
pub use decision::{Answer, Decision, Effect, Signal};
pub use input::{ConnectionNo, Input, Now, Spooled, Ticket};
pub use state::{Delivered, Durable, Few, Holder, Job, Task, TaskState, Trainer, TrainerState};

use deadlines::{Deadlines, Due};
use live::{LiveJob, LiveTrainer};
use slots::Slots;

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    seed: u64,
    state: Durable,
    /// Jobs that have not ended.
    jobs: ByNumber<JobNo, LiveJob>,
    /// Trainers that have not ended.
    trainers: ByNumber<TrainerNo, Box<LiveTrainer>>,
    /// Each trainer's present connection, and no other.
    connections: ByNumber<ConnectionNo, TrainerNo>,
    /// Those of replicas: whose they are, and of which rank.
    replicas: BTreeMap<ConnectionNo, (TrainerNo, u32)>,
    /// Of tasks that have not ended.
    payloads: ByNumber<TaskNo, VerifiedTask>,
    /// Of tasks that have not ended and whose bytes a restart did not find, why.
    lost: BTreeMap<TaskNo, String>,
    tokens: Vec<Token>,
    /// Jobs that would start a trainer if there were a token.
    token_starved: BTreeSet<JobNo>,
    slots: Slots,
    deadlines: Deadlines,
    out: Decision,
}

impl Scheduler {
    /// An empty one. The seed spreads the waits between attempts.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            state: Durable::default(),
            jobs: ByNumber::default(),
            trainers: ByNumber::default(),
            connections: ByNumber::default(),
            replicas: BTreeMap::new(),
            payloads: ByNumber::default(),
            lost: BTreeMap::new(),
            tokens: Vec::new(),
            token_starved: BTreeSet::new(),
            slots: Slots::default(),
            deadlines: Deadlines::default(),
            out: Decision::default(),
        }
    }

    /// Decides. The decision's records are already part of [`Scheduler::state`]; its effects must
    /// wait until they are committed. Any input may come at any time: what does not fit is ignored.
    pub fn handle(&mut self, now: Now, input: Input) -> Decision {
        let now = now.monotonic;
        match input {
            Input::Submit { ticket, spec, tasks, job_id } => self.submit(ticket, *spec, tasks, &job_id),
            Input::Add { ticket, job, tasks } => self.add(now, ticket, job, tasks),
            Input::Close { ticket, job } => self.close(now, ticket, job),
            Input::Requeue { ticket, job, tasks } => self.requeue(now, ticket, job, tasks),
            Input::Change { ticket, job, spec } => self.change(now, ticket, job, *spec),
            Input::Tokens(tokens) => self.more_tokens(now, tokens),
            Input::Stop { ticket, job, task, reason, kill } => {
                self.stop(now, ticket, job, task, reason, kill)
            }
            Input::Bound { job } => self.bound(now, job),
            Input::BindFailed { job, code, text } => self.bind_failed(now, job, code, &text),
            Input::Spawned { trainer, pid, start_ticks, boot_id, log } => {
                self.spawned(now, trainer, Record::TrainerSpawned { trainer, pid, start_ticks, boot_id, log })
            }
            Input::Exited { trainer, exit, log_tail, failure } => {
                self.exited(now, trainer, exit, log_tail, failure)
            }
            Input::Gone { trainer } => self.gone(now, trainer),
            Input::Hello { connection, job, hello, pid } => self.hello(now, connection, job, &hello, pid),
            Input::VersionMismatch { job, text } => self.version_mismatch(job, text),
            Input::Started { connection, delivery } => self.started(now, connection, delivery),
            Input::Progress { connection, delivery } => self.progress(connection, delivery),
            Input::Checkpoint { connection, checkpoint } => self.checkpoint(now, connection, checkpoint),
            Input::Result { connection, result } => self.result(now, connection, result),
            Input::Spooled { job, delivery, spooled } => self.spooled(now, job, delivery, spooled),
            Input::Heartbeat { connection, heartbeat } => self.heartbeat(now, connection, heartbeat),
            Input::Bye { connection, bye } => self.trainer_leaves(now, connection, &bye),
            Input::Quiet { connection } => self.quiet(now, connection),
            Input::Heard { connection } => self.heard(now, connection),
            Input::Disconnected { connection, code: _ } => self.disconnected(now, connection),
            Input::Drained { connection } => self.drained(now, connection),
            Input::Forget { job } => self.forget(job),
            Input::Timeout => self.timeout(now),
        }
        mem::take(&mut self.out)
    }

    /// When to come back with [`Input::Timeout`] at the latest. Coming earlier does no harm.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// How many tokens [`Input::Tokens`] should bring; ask after each `handle`.
    pub fn tokens_wanted(&self) -> usize {
        TOKENS_KEPT.saturating_sub(self.tokens.len())
    }

    /// Makes the change of a record read from the journal.
    pub fn replay(&mut self, record: &Record) {
        self.state.apply(record);
    }

    /// What the records so far have made.
    pub fn state(&self) -> &Durable {
        &self.state
    }

    /// A task's bytes, until it has ended.
    pub fn payload(&self, task: TaskNo) -> Option<&VerifiedTask> {
        self.payloads.get(&task)
    }

    /// The trainer whose present connection this is.
    pub fn trainer_of(&self, connection: ConnectionNo) -> Option<TrainerNo> {
        self.connections.get(&connection).copied()
    }

    /// Whether it is the present connection of a replica: of a rank that only reads.
    pub fn is_replica(&self, connection: ConnectionNo) -> bool {
        self.replicas.contains_key(&connection)
    }

    /// A trainer's present connection.
    pub fn connection_of(&self, trainer: TrainerNo) -> Option<ConnectionNo> {
        self.trainers.get(&trainer)?.connection
    }

    /// Who has a task, if its code can be asked for the stacks of its threads: with its process.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub fn stacks_of(&self, task: TaskNo) -> Result<(TrainerNo, i32), StacksError> {
        let holder =
            self.state.task(task).and_then(|task| task.state.holder()).ok_or(StacksError::NotRunning)?;
        let can = self.trainers.get(&holder.trainer).is_some_and(|live| live.can_dump_stacks);
        match self.state.trainer(holder.trainer).map(|trainer| &trainer.state) {
            Some(TrainerState::Bound { pid, .. }) if can => Ok((holder.trainer, *pid)),
            _ => Err(StacksError::Unable),
        }
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(due) = self.deadlines.pop(now) {
            match due {
                Due::Task(task) => self.task_due(now, task),
                Due::Respawn(job) => self.respawn_due(now, job),
                Due::Move(job) => self.move_due(job),
                Due::Start(trainer)
                | Due::Lost(trainer)
                | Due::Ladder(trainer)
                | Due::Torn(trainer)
                | Due::Exit(trainer) => {
                    self.after_drain(now, trainer, due);
                }
                Due::Asked(delivery) | Due::Stall(delivery) => {
                    if let Some(delivered) = self.state.delivery(delivery) {
                        self.after_drain(now, delivered.trainer, due);
                    }
                }
            }
        }
    }

    /// Lets `due` happen once everything the trainer's socket holds is in, because a result in it
    /// would change everything.
    fn after_drain(&mut self, now: Instant, trainer: TrainerNo, due: Due) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let Some(connection) = live.connection else { return self.happen(now, due) };
        if live.pending().awaiting.is_empty() {
            // What its replicas said of their own end explains its own.
            let replicas = live.group.iter().flat_map(|group| group.connections());
            let drained = replicas.chain([connection]).map(|connection| Effect::Drain { connection });
            self.out.effects.extend(drained);
        }
        let awaiting = &mut live.pending_mut().awaiting;
        if !awaiting.contains(&due) {
            awaiting.push(due);
        }
    }

    fn drained(&mut self, now: Instant, connection: ConnectionNo) {
        let Some(trainer) = self.trainer_of(connection) else { return };
        self.happen_awaited(now, trainer);
    }

    /// Nothing more will come over the trainer's connection for what was waiting.
    fn happen_awaited(&mut self, now: Instant, trainer: TrainerNo) {
        let Some(pending) = self.trainers.get_mut(&trainer).and_then(|live| live.pending.as_mut()) else {
            return;
        };
        for due in mem::take(&mut pending.awaiting) {
            self.happen(now, due);
        }
    }

    fn happen(&mut self, now: Instant, due: Due) {
        match due {
            Due::Task(task) => self.task_due(now, task),
            Due::Respawn(job) => self.respawn_due(now, job),
            Due::Move(job) => self.move_due(job),
            Due::Start(trainer) => self.start_due(now, trainer),
            Due::Lost(trainer) => self.lost_due(now, trainer),
            Due::Asked(delivery) => self.asked_due(now, delivery),
            Due::Ladder(trainer) => self.ladder_due(now, trainer),
            Due::Stall(delivery) => self.stall_due(now, delivery),
            Due::Torn(trainer) => self.torn_due(now, trainer),
            Due::Exit(trainer) => self.exit_due(now, trainer),
        }
    }

    /// The task a delivery is out with, if it is out with this trainer: the fence for everything
    /// that comes back.
    fn held(&self, trainer: TrainerNo, delivery: DeliveryNo) -> Option<(TaskNo, &Task)> {
        let (task_no, task) = self.state.open_delivery(delivery)?;
        let is_theirs = task.state.holder()?.trainer == trainer || planted::is("stale-result");
        is_theirs.then_some((task_no, task))
    }

    /// The deliveries a trainer has, oldest first.
    fn in_hand(&self, trainer: TrainerNo) -> impl Iterator<Item = (DeliveryNo, &Task)> {
        let held = self.state.trainer(trainer).into_iter().flat_map(|trainer| &trainer.in_hand);
        held.filter_map(|delivery| Some((*delivery, self.state.open_delivery(*delivery)?.1)))
    }

    /// The limits of a job.
    fn spec(&self, job: JobNo) -> Option<&Arc<JobSpec>> {
        self.state.job(job).map(|job| &job.spec)
    }

    /// The limits of a trainer's job.
    fn spec_of(&self, trainer: TrainerNo) -> Option<&Arc<JobSpec>> {
        self.spec(self.state.trainer(trainer)?.job)
    }

    fn settle_of(&mut self, now: Instant, trainer: TrainerNo) {
        if let Some(job) = self.state.trainer(trainer).map(|trainer| trainer.job) {
            self.settle(now, job);
        }
    }

    fn record(&mut self, record: Record) {
        self.state.apply(&record);
        self.out.records.push(record);
    }

    fn effect(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }
}

/// Tokens kept at hand: a batch of trainers starts without waiting for more.
const TOKENS_KEPT: usize = 64;
