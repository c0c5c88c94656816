//! What dead trainers leave behind: looked for until there is nothing.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{Driver, Followup, Message, TrainerSlot};
use crate::planted;
use crate::process::{Remains, sweep};
use crate::record::{Exit, TrainerNo};
use crate::scheduler::{Input, TrainerState};

/// Of whom something may be left.
#[derive(Default)]
pub(super) struct Leftovers {
    waiting: Vec<Leftover>,
    /// One look at a time serves all that is due.
    looking: bool,
}

/// Of one trainer.
pub(crate) struct Leftover {
    remains: Remains,
    look_at: Instant,
    wait: Duration,
}

impl Driver {
    /// The trainer is dead. Answered by [`Input::Gone`] once nothing is left of it.
    pub(super) fn forget(&mut self, trainer: TrainerNo) {
        let remains = match self.trainers.remove(&trainer) {
            Some(TrainerSlot::Started { process, .. }) => {
                self.readiness.remove(process.pidfd());
                Remains::of(trainer, process)
            }
            Some(TrainerSlot::Starting { .. }) | None => self.started_before(trainer),
        };
        match remains.filter(|_| !planted::is("remains-run-on")) {
            Some(remains) => {
                let leftover = Leftover { remains, look_at: self.now.monotonic, wait: WAIT_MIN };
                self.leftovers.waiting.push(leftover);
            }
            None => self.gone(trainer),
        }
    }

    /// What an orchestrator before this one had not seen the end of.
    pub(super) fn forget_leftovers(&mut self) {
        let leftovers: Vec<_> = self.scheduler.state().leftovers().collect();
        for trainer in leftovers {
            self.forget(trainer);
        }
    }

    /// The remains of a trainer whose process was never ours; `None` where there cannot be any.
    fn started_before(&self, trainer: TrainerNo) -> Option<Remains> {
        let ended = self.scheduler.state().trainer(trainer)?;
        match &ended.state {
            TrainerState::Ended { exit: Exit::NotStarted { .. }, .. } => None,
            _ => Some(Remains::by_mark(trainer, ended.token()?)),
        }
    }

    fn gone(&mut self, trainer: TrainerNo) {
        self.slabs.gone(trainer);
        self.followups.push_back(Followup::Input(Input::Gone { trainer }));
    }

    pub(super) fn look_for_leftovers(&mut self) {
        let now = self.now.monotonic;
        if self.leftovers.deadline().is_none_or(|at| at > now) {
            return;
        }
        self.leftovers.looking = true;
        let due: Vec<_> = self.leftovers.waiting.extract_if(.., |leftover| leftover.look_at <= now).collect();
        let (sender, runtime) = (self.sender.clone(), Handle::current());
        self.run_errand(move || {
            let left = sweep(due.iter().map(|leftover| &leftover.remains));
            // Nobody listens when the driver is ending: then this was the last look.
            let told = async move { drop(sender.send(Message::Swept { swept: due, left }).await) };
            runtime.spawn(told);
        });
    }

    /// Of which of them something was found, and killed. Some of that may still be dying.
    pub(super) fn swept(&mut self, swept: Vec<Leftover>, left: &[TrainerNo]) {
        self.leftovers.looking = false;
        for mut leftover in swept {
            let trainer = leftover.remains.trainer;
            if !left.contains(&trainer) {
                drop(leftover);
                self.gone(trainer);
                continue;
            }
            if leftover.wait == WAIT_MAX {
                tracing::warn!(
                    trainer = trainer.0,
                    "what a trainer started does not die; its slots stay taken"
                );
            }
            leftover.look_at = self.now.monotonic + leftover.wait;
            leftover.wait = (leftover.wait * 2).min(WAIT_MAX);
            self.leftovers.waiting.push(leftover);
        }
    }
}

impl Leftovers {
    /// When to look next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.waiting.iter().map(|leftover| leftover.look_at).min();
        first.filter(|_| !self.looking)
    }

    /// Nobody will look any more: one last time, on this thread.
    pub(super) fn close(&mut self) {
        if !self.waiting.is_empty() {
            sweep(self.waiting.iter().map(|leftover| &leftover.remains));
            self.waiting.clear();
        }
    }
}

/// What was sent SIGKILL is mostly gone by then.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// A process that is stuck in the kernel may take long; a look costs a read of /proc.
const WAIT_MAX: Duration = Duration::from_secs(2);
