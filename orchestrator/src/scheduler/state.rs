//! What is known for good: jobs, tasks, trainers and deliveries, as the journal's records make them.
//!
//! Only [`Durable::apply`] changes any of it, so that a replay of the journal gives the state that
//! was lived. What a restart forgets (connections, deadlines, queues) is in `live.rs`.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;
use trainwire_protocol::id::Token;
use trainwire_protocol::message::CheckpointRef;

use super::numbered::Numbered;
use crate::job::{JobSpec, StopReason};
use crate::planted;
use crate::record::{DeliveryNo, Exit, JobNo, Rung, TaskNo, TrainerNo};

/// Numbers of which there are mostly one or two: those lie in place.
pub type Few<T> = SmallVec<[T; 2]>;

/// Everything records say.
#[derive(Debug, Default, PartialEq)]
pub struct Durable {
    pub(super) job_ids: HashMap<ById, JobNo>,
    pub(super) jobs: Numbered<Job>,
    pub(super) tasks: Numbered<Task>,
    pub(super) trainers: Numbered<Trainer>,
    pub(super) deliveries: Numbered<Delivered>,
    /// Slots that are taken, until nothing is left of the trainer.
    pub(super) slots: BTreeMap<TrainerNo, Vec<String>>,
}

/// The limits of a job, to be found by its id.
#[derive(Debug)]
pub(super) struct ById(pub(super) Arc<JobSpec>);

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.job_id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.job_id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.job_id == other.0.job_id
    }
}

impl Eq for ById {}

/// A job.
#[derive(Debug, PartialEq)]
pub struct Job {
    /// Command and limits.
    pub spec: Arc<JobSpec>,
    /// As they were submitted: whoever submits them again means this job.
    pub submitted: Arc<JobSpec>,
    /// It takes more tasks.
    pub open: bool,
    /// In the order of their submission, so ascending.
    pub tasks: Few<TaskNo>,
    /// Of a job that was ever open: a task submitted again must be found.
    pub task_ids: Option<Box<HashMap<Arc<str>, TaskNo>>>,
    /// How many of them have not ended.
    pub unfinished: usize,
    /// Trainers that never said Hello, since one last did.
    pub start_failures: u32,
    /// Its trainers that have not ended, ascending.
    pub trainers: Few<TrainerNo>,
    /// All of its trainers.
    pub all_trainers: Few<TrainerNo>,
    /// All of its deliveries.
    pub deliveries: Few<DeliveryNo>,
    /// All is over, the trainers included.
    pub ended: bool,
}

/// A task.
#[derive(Debug, PartialEq)]
pub struct Task {
    /// Whose.
    pub job: JobNo,
    /// Unique in the job.
    pub task_id: Arc<str>,
    /// For people.
    pub model_name: Arc<str>,
    /// The epochs it will run.
    pub max_epochs: i32,
    /// Bytes of the buffer.
    pub size_bytes: u64,
    /// Deliveries that reached the trainer's code; the attempt number is one more until one does.
    pub starts: u32,
    /// Charged to `max_failures`.
    pub failures: u32,
    /// Charged to `max_losses`.
    pub losses: u32,
    /// Deliveries in a row that came back uncharged.
    pub returns: u32,
    /// The newest of any attempt.
    pub checkpoint: Option<Arc<CheckpointRef>>,
    /// Where it is in its life.
    pub state: TaskState,
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for a trainer, or for the end of its backoff.
    Queued,
    /// Handed to a trainer, whose code does not have it yet.
    Delivered(Holder),
    /// With the trainer's code.
    Running(Holder),
    /// On its way to an end that was asked for.
    Stopping {
        /// Who has it.
        holder: Holder,
        /// Whether the trainer's code had it.
        started: bool,
        /// Why; says what becomes of the task.
        reason: StopReason,
        /// How far the ladder has been climbed.
        rung: Rung,
    },
    /// SIGKILL did not end its trainer.
    Stuck {
        /// Who has it.
        holder: Holder,
        /// Whether the trainer's code had it.
        started: bool,
        /// Why it was stopped.
        reason: StopReason,
    },
    /// Over, with a result.
    Succeeded,
    /// Over.
    Cancelled,
    /// Over.
    Stopped,
    /// Over, out of budget.
    Dead,
}

/// The delivery a task is out with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub delivery: DeliveryNo,
    /// Who has it.
    pub trainer: TrainerNo,
    /// The highest sequence number of a stored checkpoint of it.
    pub last_seq: u64,
}

/// One handing of a task to a trainer; kept when it is over, because late messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What.
    pub task: TaskNo,
    /// To whom.
    pub trainer: TrainerNo,
    /// As people count.
    pub attempt: u32,
}

/// A trainer.
#[derive(Debug, PartialEq)]
pub struct Trainer {
    /// Whose.
    pub job: JobNo,
    /// Deliveries it has, oldest first.
    pub in_hand: Few<DeliveryNo>,
    /// Where it is in its life.
    pub state: TrainerState,
}

/// Where a trainer is in its life, as far as it outlives a restart.
#[derive(Debug, PartialEq)]
pub enum TrainerState {
    /// About to be started, or just started.
    Spawning {
        /// What it will show.
        token: Token,
        /// Once it is known to run.
        pid: Option<i32>,
    },
    /// It has said Hello, or was started by hand.
    Bound {
        /// What it showed; absent for one started by hand.
        token: Option<Token>,
        /// Chosen by it, in hexadecimal.
        instance: Arc<str>,
        /// The process that connected.
        pid: i32,
        /// How often the launcher of its group had started it anew.
        restart: u32,
    },
    /// Gone.
    Ended {
        /// How.
        exit: Exit,
        /// By which what it started is known; absent for one started by hand.
        token: Option<Token>,
    },
}

impl Durable {
    /// A job by its number.
    pub fn job(&self, number: JobNo) -> Option<&Job> {
        self.jobs.get(number.0)
    }

    /// The number of the job of this id.
    pub fn job_no(&self, job_id: &str) -> Option<JobNo> {
        self.job_ids.get(job_id).copied()
    }

    /// Jobs that have not ended, in the order of their submission.
    pub fn unfinished_jobs(&self) -> impl Iterator<Item = JobNo> {
        self.jobs.iter().filter(|(_, job)| !job.ended).map(|(number, _)| JobNo(number))
    }

    /// A task by its number.
    pub fn task(&self, number: TaskNo) -> Option<&Task> {
        self.tasks.get(number.0)
    }

    /// A trainer by its number.
    pub fn trainer(&self, number: TrainerNo) -> Option<&Trainer> {
        self.trainers.get(number.0)
    }

    /// A delivery by its number, over or not.
    pub fn delivery(&self, number: DeliveryNo) -> Option<&Delivered> {
        self.deliveries.get(number)
    }

    /// Trainers that have ended, and of whose processes something may be left.
    pub fn leftovers(&self) -> impl Iterator<Item = TrainerNo> {
        let ended = |trainer: &TrainerNo| {
            matches!(self.trainer(*trainer).map(|trainer| &trainer.state), Some(TrainerState::Ended { .. }))
        };
        self.slots.keys().copied().filter(move |trainer| ended(trainer))
    }

    /// The task a delivery is out with; `None` once it is over.
    pub fn open_delivery(&self, number: DeliveryNo) -> Option<(TaskNo, &Task)> {
        let task_no = self.delivery(number)?.task;
        let task = self.task(task_no)?;
        let is_open = task.state.holder()?.delivery == number || planted::is("stale-result");
        is_open.then_some((task_no, task))
    }
}

impl Job {
    /// No task is left to be worked off, and none will come.
    pub fn is_done(&self) -> bool {
        self.unfinished == 0 && !self.open
    }
}

impl TaskState {
    /// The delivery it is out with.
    pub fn holder(&self) -> Option<Holder> {
        match self {
            Self::Delivered(holder) | Self::Running(holder) => Some(*holder),
            Self::Stopping { holder, .. } | Self::Stuck { holder, .. } => Some(*holder),
            Self::Queued | Self::Succeeded | Self::Cancelled | Self::Stopped | Self::Dead => None,
        }
    }

    /// Over for good.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Cancelled | Self::Stopped | Self::Dead)
    }

    /// Whether the trainer's code has it.
    pub fn is_started(&self) -> bool {
        match self {
            Self::Running(_) => true,
            Self::Stopping { started, .. } | Self::Stuck { started, .. } => *started,
            _ => false,
        }
    }
}

impl Trainer {
    /// What it was given at its start; absent for one started by hand.
    pub fn token(&self) -> Option<&Token> {
        match &self.state {
            TrainerState::Spawning { token, .. } => Some(token),
            TrainerState::Bound { token, .. } | TrainerState::Ended { token, .. } => token.as_ref(),
        }
    }

    /// Started by hand: no token.
    pub fn is_attached(&self) -> bool {
        matches!(self.state, TrainerState::Bound { token: None, .. })
    }
}
