//! How a job and its tasks stand, and why a task waits: answers to questions, at the moment they are
//! asked. What happens is told by [events](crate::EventStream).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{JobSpec, StopReason};
use crate::record::{Rung, TrainerNo};

/// How a job stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobStatus {
    /// As submitted.
    pub spec: Arc<JobSpec>,
    /// It takes more tasks.
    pub open: bool,
    /// All is over, the trainers included.
    pub ended: bool,
    /// How many tasks stand where.
    pub counts: TaskCounts,
    /// What its next waiting task waits for; `None` while none waits.
    pub wait: Option<Wait>,
    /// Those that have not ended.
    pub trainers: Vec<TrainerStatus>,
}

/// How many tasks of a job stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskCounts {
    /// For their first attempt, or their next.
    pub waiting: usize,
    /// With a trainer.
    pub running: usize,
    /// With a result.
    pub succeeded: usize,
    /// Ended by a cancellation.
    pub cancelled: usize,
    /// Ended by an interrupt.
    pub stopped: usize,
    /// Ended because what they reported was not worth their time.
    pub pruned: usize,
    /// Out of budget: dead letters.
    pub dead: usize,
}

impl TaskCounts {
    /// All tasks.
    pub fn total(&self) -> usize {
        let ended = self.succeeded + self.cancelled + self.stopped + self.pruned + self.dead;
        self.waiting + self.running + ended
    }
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskStatus {
    /// Unique in the job.
    pub task_id: Arc<str>,
    /// For people.
    pub model_name: Arc<str>,
    /// The epochs it will run.
    pub max_epochs: i32,
    /// Bytes of the buffer.
    pub size_bytes: u64,
    /// Attempts that reached the trainer's code.
    pub starts: u32,
    /// Charged to `max_failures`.
    pub failures: u32,
    /// Charged to `max_losses`.
    pub losses: u32,
    /// The newest of any attempt.
    pub checkpoint: Option<PathBuf>,
    /// Where it is in its life.
    pub condition: TaskCondition,
}

/// Where a task is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskCondition {
    /// For a trainer, or for time to pass.
    Waiting(Wait),
    /// Handed to a trainer, whose code does not have it yet.
    Delivered(With),
    /// With the trainer's code.
    Running(With),
    /// On its way to an end that was asked for.
    Stopping {
        /// Who has it.
        with: With,
        /// Why.
        reason: StopReason,
        /// How far the ladder has been climbed.
        rung: Rung,
    },
    /// SIGKILL did not end its trainer.
    Stuck(With),
    /// Over, with a result.
    Succeeded,
    /// Over.
    Cancelled,
    /// Over.
    Stopped,
    /// Over, out of budget.
    Dead,
}

/// Who has a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct With {
    /// Its number in the journal.
    pub trainer: TrainerNo,
    /// 1, 2, …: as people count.
    pub attempt: u32,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// The job's socket is being made.
    Socket,
    /// The time between two attempts.
    Backoff {
        /// Until it is due.
        left: Duration,
    },
    /// A trainer did not start; the next is tried after a while.
    NextStart {
        /// Until then.
        left: Duration,
    },
    /// A trainer that is being started; `start_timeout` bounds it.
    TrainerStarting,
    /// All trainers hold as many tasks as their window takes.
    TrainersBusy {
        /// How many.
        trainers: usize,
    },
    /// The trainers there are take no work: one that is silent or disconnected is waited for until
    /// `lost_timeout`, one that leaves until it has.
    TrainersUnavailable {
        /// Not heard of for `recv_timeout`.
        unresponsive: usize,
        /// Without a connection.
        disconnected: usize,
        /// On their way out.
        leaving: usize,
    },
    /// Slots for one more trainer: others have them.
    Slots {
        /// How many it takes.
        needed: usize,
        /// How many are free.
        free: usize,
        /// Jobs whose turn is before.
        ahead: usize,
    },
    /// A trainer started by hand: the job has no command.
    TrainerByHand,
}

/// What a trainer's threads were doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stacks {
    /// What the trainer wrote since it was asked, its other output included: the stack of each thread, the most
    /// recent call first. Empty where it could not write within 5 s, e.g. because it is stopped.
    pub text: String,
    /// The log it is in; `None` for a trainer that was started by hand, which writes where it was told to.
    pub log: Option<PathBuf>,
}

/// Who has a [slot](crate::Config::slots).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotStatus {
    /// As configured.
    pub name: String,
    /// The trainer that has it; `None` while it is free.
    pub trainer: Option<TrainerNo>,
    /// That trainer's job.
    pub job_id: Option<String>,
    /// The trainer has ended, but something it started has not: nobody else gets the slot before.
    pub leftover: bool,
}

/// A trainer that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainerStatus {
    /// Its number in the journal.
    pub trainer: TrainerNo,
    /// Once it runs: the process that connected, before that the one that was started.
    pub pid: Option<i32>,
    /// Started by hand.
    pub attached: bool,
    /// Whether it works.
    pub condition: TrainerCondition,
    /// Ids of the tasks it has, oldest first.
    pub tasks: Vec<Arc<str>>,
}

/// Whether a trainer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainerCondition {
    /// It has not said Hello.
    Starting,
    /// Ready for a task.
    Idle,
    /// It has tasks.
    Busy,
    /// Nothing was heard of it for `recv_timeout`.
    Unresponsive,
    /// Its connection is gone, the process exists.
    Disconnected,
    /// It gets no more work and is to end.
    Leaving,
    /// SIGKILL did not end it.
    Stuck,
}

/// The output of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptLog {
    /// 1, 2, …
    pub attempt: u32,
    /// The log of the trainer that had it; `None` for one that was started by hand.
    pub path: Option<PathBuf>,
    /// Where in it the attempt's output begins, in bytes.
    pub from: u64,
    /// Where the next task's begins; `None` for the last one of its trainer. Tasks a trainer held at the
    /// same time (a window above 1) share their output.
    pub to: Option<u64>,
    /// The attempt has ended.
    pub over: bool,
}
