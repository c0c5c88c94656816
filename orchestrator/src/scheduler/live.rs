//! What a restart forgets: queues, connections, windows, running deadlines.

use std::collections::BTreeSet;
use std::time::Instant;

use smallvec::SmallVec;

use super::deadlines::Due;
use super::group::Group;
use super::input::ConnectionNo;
use crate::record::{DeliveryNo, Exit, JobNo, TaskNo, TrainerFailure, TrainerNo};

/// A job that has not ended.
#[derive(Debug, Default)]
pub(super) struct LiveJob {
    /// Its socket is bound.
    pub(super) bound: bool,
    /// Why nobody can connect, where that is so.
    pub(super) obstacles: Option<Box<Obstacles>>,
    /// Queued tasks that are due. While there are any, `open` is empty.
    pub(super) ready: BTreeSet<TaskNo>,
    /// Queued tasks in their backoff.
    pub(super) waiting: BTreeSet<TaskNo>,
    /// Trainers with room in their window, those with the fewest deliveries in hand first.
    pub(super) open: BTreeSet<(usize, TrainerNo)>,
    /// Deliveries in hand that are not their trainer's oldest.
    pub(super) ahead: usize,
    /// When it is looked at who could have some of them.
    pub(super) moves_at: Option<Instant>,
    /// Trainers we started that have not ended, the dying included: their slots are taken.
    pub(super) spawned: u32,
    /// Of those, the ones a task may still wait for.
    pub(super) starting: usize,
    /// It stands in the queue for slots.
    pub(super) waits_for_slots: bool,
    /// No starts until [`Due::Respawn`]: one has just failed.
    pub(super) start_held: bool,
    /// All its tasks have ended; its trainers have been told.
    pub(super) closing: bool,
}

/// Why nobody can connect, in words.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    /// The socket cannot be bound. After a restart there may be trainers all the same.
    pub(super) unbindable: Option<String>,
    /// A trainer of another protocol version was refused.
    pub(super) version_mismatch: Option<String>,
}

/// A trainer that has not ended.
#[derive(Debug)]
pub(super) struct LiveTrainer {
    pub(super) job: JobNo,
    pub(super) service: Service,
    pub(super) connection: Option<ConnectionNo>,
    /// The highest connection number it has used.
    pub(super) connection_number: u32,
    /// A Stop may ask it for the stacks of its threads.
    pub(super) can_dump_stacks: bool,
    /// Nothing came for `recv_timeout`.
    pub(super) quiet: bool,
    /// Deliveries it may have in hand.
    pub(super) window: u32,
    /// When each delivery in hand was made, oldest first.
    pub(super) delivered_at: SmallVec<[(DeliveryNo, Instant); 1]>,
    /// Of one with slots: when it was first given a task.
    pub(super) turn_began: Option<Instant>,
    /// Bytes of the tasks in hand.
    pub(super) held_bytes: u64,
    /// Under which count it is in its job's `open`.
    pub(super) open_at: Option<usize>,
    /// When its silence becomes a loss.
    pub(super) lost_at: Option<Instant>,
    /// What is awaited of it beyond results; mostly nothing.
    pub(super) pending: Option<Box<Pending>>,
    /// The process is being ended.
    pub(super) ladder: Option<Ladder>,
    /// The process has ended; its socket may still hold something.
    pub(super) death: Option<Box<Death>>,
    /// Where it is the primary of several processes.
    pub(super) group: Option<Box<Group>>,
}

/// What a trainer was asked for, and what waits for its answer.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Deliveries in hand it was asked to give back, if its code does not have them.
    pub(super) asked_back: Vec<DeliveryNo>,
    /// Deliveries it was asked to end, and until when.
    pub(super) asked: Vec<(DeliveryNo, Instant)>,
    /// What happens once its socket is drained.
    pub(super) awaiting: Vec<Due>,
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) exit: Exit,
    pub(super) log_tail: String,
    /// What is known beyond an exit code.
    pub(super) failure: Option<TrainerFailure>,
}

/// Whether a trainer gets work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It has not said Hello.
    Starting {
        /// For which one task it is started, where the job is a script.
        script_task: Option<TaskNo>,
        /// When it should have said Hello.
        deadline: Option<Instant>,
    },
    /// It gets work.
    Serving,
    /// It gets no more, and should end.
    Draining,
}

/// How far the end of a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ladder {
    pub(super) step: Step,
    /// When the next step is due; `None` for never.
    pub(super) due: Option<Instant>,
}

/// A step of the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It was told that there is no more work.
    Asked,
    /// SIGTERM was sent.
    Terminated,
    /// SIGKILL was sent.
    Killed,
    /// SIGKILL did not help.
    Stuck,
}

impl LiveJob {
    /// Trainers with nothing in hand.
    pub(super) fn idle(&self) -> usize {
        self.open.range(..(1, TrainerNo(0))).count()
    }
}

impl Death {
    /// Of a process that is not our child.
    pub(super) fn unknown() -> Self {
        Self { exit: Exit::Unknown, log_tail: String::new(), failure: None }
    }
}

impl LiveTrainer {
    pub(super) fn new(job: JobNo, service: Service) -> Box<Self> {
        Box::new(Self {
            job,
            service,
            connection: None,
            connection_number: 0,
            can_dump_stacks: false,
            quiet: false,
            window: 1,
            delivered_at: SmallVec::new(),
            turn_began: None,
            held_bytes: 0,
            open_at: None,
            lost_at: None,
            pending: None,
            ladder: None,
            death: None,
            group: None,
        })
    }

    pub(super) fn pending(&self) -> &Pending {
        static NOTHING: Pending = Pending { asked_back: Vec::new(), asked: Vec::new(), awaiting: Vec::new() };
        self.pending.as_deref().unwrap_or(&NOTHING)
    }

    pub(super) fn pending_mut(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Whether it can be given work, as far as the trainer goes.
    pub(super) fn takes_work(&self) -> bool {
        self.service == Service::Serving && self.connection.is_some() && !self.quiet && self.death.is_none()
    }

    /// Whether it has yet to say Hello.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.service, Service::Starting { .. })
    }

    /// Whether its process was signalled.
    pub(super) fn signalled(&self) -> bool {
        self.ladder.is_some_and(|ladder| ladder.step >= Step::Terminated)
    }
}
