//! One ordered set of everything that will happen by itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::record::{DeliveryNo, JobNo, TaskNo, TrainerNo};

/// What falls due. Each is checked against the state when it does, because the state may have
/// moved on while its trainer's socket was drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A task's backoff is over.
    Task(TaskNo),
    /// The wait after a failed start is over.
    Respawn(JobNo),
    /// Work may wait behind other work while somebody has none.
    Move(JobNo),
    /// A trainer should have said Hello.
    Start(TrainerNo),
    /// Nothing was heard of a trainer for too long.
    Lost(TrainerNo),
    /// A delivery should have ended: it was asked to.
    Asked(DeliveryNo),
    /// A trainer should have ended: the next rung.
    Ladder(TrainerNo),
    /// A rank has failed, and its group is still there.
    Torn(TrainerNo),
    /// A delivery makes no progress. Has no time of its own: a heartbeat says so.
    Stall(DeliveryNo),
    /// A process has ended; its verdict. Has no time of its own.
    Exit(TrainerNo),
}

/// The set.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Due)>);

impl Deadlines {
    /// Arms `due`, and says for when: what [`Deadlines::disarm`] wants to know. `None` when that is
    /// beyond the end of the clock, which is never.
    pub(super) fn arm(&mut self, now: Instant, after: Duration, due: Due) -> Option<Instant> {
        let at = now.checked_add(after)?;
        self.0.insert((at, due));
        Some(at)
    }

    /// Forgets it. Harmless when it was not armed.
    pub(super) fn disarm(&mut self, at: Instant, due: Due) {
        self.0.remove(&(at, due));
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// All of them, earliest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Instant, Due)> {
        self.0.iter().copied()
    }

    /// The earliest that has passed.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, due)| due)
    }
}
