//! Slots: what a trainer needs for itself alone, e.g. a GPU. Each is one trainer's, until nothing is left of it
//! or of anything it started.
//!
//! Jobs that want more than is free stand in a queue, whatever their size, and each turn starts one trainer: so
//! many small ones cannot starve a large one, nor a long job the others. Trainers stay warm as long as nobody
//! waits. When somebody does, a job gives way between two tasks: at once while it has so many slots more that
//! both still gain by it, else after [`TURN`], so that jobs take turns where there is one slot for all.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use super::Scheduler;
use super::live::{Service, Step};
use super::state::TrainerState;
use super::status::SlotsWanted;
use crate::job::JobSpec;
use crate::record::{JobNo, Record, TrainerNo};
use crate::status::SlotStatus;

/// The slots there are, and who waits for some.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// In the order in which they are given.
    names: Vec<String>,
    /// Jobs that would start a trainer; each stands here once.
    queue: VecDeque<JobNo>,
}

impl Scheduler {
    /// With these slots to give. What the records say is taken stays taken.
    #[must_use]
    pub fn with_slots(mut self, names: Vec<String>) -> Self {
        self.slots.names = names;
        self
    }

    /// Who has which slot; also those that are not to be given out any more and still taken.
    pub fn slots(&self) -> Vec<SlotStatus> {
        let state = &self.state;
        let status = |name: &String| {
            let holder =
                state.slots.iter().find(|(_, names)| names.contains(name)).map(|(trainer, _)| *trainer);
            let of_holder = holder.and_then(|holder| state.trainer(holder));
            SlotStatus {
                name: name.clone(),
                trainer: holder,
                job_id: of_holder.and_then(|holder| Some(state.job(holder.job)?.spec.job_id.clone())),
                leftover: of_holder.is_some_and(|holder| matches!(holder.state, TrainerState::Ended { .. })),
            }
        };
        let known: HashSet<_> = self.slots.names.iter().collect();
        let others = state.slots.values().flatten().filter(|name| !known.contains(name));
        self.slots.names.iter().chain(others).map(status).collect()
    }

    /// How many there are to give.
    pub(super) fn slots_total(&self) -> usize {
        self.slots.names.len()
    }

    /// Starts a trainer of the job if there are slots for it, and lets it wait for some if not.
    pub(super) fn start_with_slots(&mut self, now: Instant, job: JobNo) {
        self.queue_for_slots(job);
        self.give_slots(now);
    }

    /// Behind the others, unless it stands there already, wants none, or wants more than there are since a
    /// restart: it would keep everybody waiting for ever.
    fn queue_for_slots(&mut self, job: JobNo) {
        if self.wants_trainer(job)
            && self.slots_needed(job) <= self.slots_total()
            && let Some(live) = self.jobs.get_mut(&job)
            && !mem::replace(&mut live.waits_for_slots, true)
        {
            self.slots.queue.push_back(job);
        }
    }

    /// Gives what is free, in turn.
    pub(super) fn give_slots(&mut self, now: Instant) {
        while let Some(job) = self.slots.queue.front().copied() {
            if self.wants_trainer(job) {
                let free = self.free_slots();
                let needed = self.slots_needed(job);
                if free.len() < needed {
                    return self.call_in_slots(now, job, needed - free.len());
                }
                let names = free.into_iter().take(needed).cloned().collect();
                if !self.start_trainer(now, job, names) {
                    return;
                }
            }
            self.slots.queue.pop_front();
            if let Some(live) = self.jobs.get_mut(&job) {
                live.waits_for_slots = false;
            }
            self.queue_for_slots(job);
        }
    }

    /// Nothing is left of a trainer: what it had is free.
    pub(super) fn gone(&mut self, now: Instant, trainer: TrainerNo) {
        let ended = self
            .state
            .trainer(trainer)
            .is_some_and(|trainer| matches!(trainer.state, TrainerState::Ended { .. }));
        if ended && self.state.slots.contains_key(&trainer) {
            self.record(Record::SlotsFreed { trainer });
            self.give_slots(now);
        }
    }

    /// Whether a trainer with slots is to be let go of before its next task.
    pub(super) fn gives_way(&self, now: Instant, trainer: TrainerNo) -> bool {
        let Some(first) = self.slots.queue.front().copied() else { return false };
        let (Some(held), Some(live)) = (self.state.slots.get(&trainer), self.trainers.get(&trainer)) else {
            return false;
        };
        let needed = self.slots_needed(first);
        if live.job == first
            || !self.wants_trainer(first)
            || self.free_slots().len() + self.coming_slots() >= needed
        {
            return false;
        }
        let (ours, theirs) = (self.slots_of(live.job), self.slots_of(first));
        let had_its_turn = live.turn_began.is_some_and(|began| now.saturating_duration_since(began) >= TURN);
        ours.saturating_sub(held.len()) >= theirs + needed || had_its_turn && ours > theirs
    }

    /// What the job's next task waits for, where that is slots.
    pub(super) fn slots_wanted(&self, job: JobNo) -> Option<SlotsWanted> {
        let (needed, free) = (self.slots_needed(job), self.free_slots().len());
        let ahead = match self.slots.queue.iter().position(|waiting| *waiting == job) {
            None if needed > self.slots_total() => 0,
            place => place?,
        };
        Some(SlotsWanted { needed, free, ahead })
    }

    /// Lets go of trainers that have nothing to do, where a job waits for their slots.
    fn call_in_slots(&mut self, now: Instant, first: JobNo, missing: usize) {
        let mut missing = missing.saturating_sub(self.coming_slots());
        let holders: Vec<_> =
            self.state.slots.iter().map(|(trainer, names)| (*trainer, names.len())).collect();
        for (trainer, count) in holders {
            if missing > 0
                && self.is_idle(trainer)
                && self.trainers.get(&trainer).is_some_and(|live| live.job != first)
            {
                self.let_go(now, trainer, "slots_wanted");
                missing = missing.saturating_sub(count);
            }
        }
    }

    fn is_idle(&self, trainer: TrainerNo) -> bool {
        let Some(live) = self.trainers.get(&trainer) else { return false };
        let nothing_to_do = self.jobs.get(&live.job).is_some_and(|job| job.ready.is_empty());
        live.takes_work() && live.delivered_at.is_empty() && nothing_to_do
    }

    fn free_slots(&self) -> Vec<&String> {
        let taken = |name: &&String| self.state.slots.values().any(|names| names.contains(name));
        self.slots.names.iter().filter(|name| !taken(name)).collect()
    }

    /// Of trainers that are on their way out.
    fn coming_slots(&self) -> usize {
        let leaving = self.state.slots.iter().filter(|(trainer, _)| {
            let stuck = |step| step == Step::Stuck;
            self.trainers.get(trainer).is_some_and(|live| {
                live.service == Service::Draining && !live.ladder.is_some_and(|ladder| stuck(ladder.step))
            })
        });
        leaving.map(|(_, names)| names.len()).sum()
    }

    /// Of a job's trainers that are to stay.
    fn slots_of(&self, job: JobNo) -> usize {
        let staying = self.state.slots.iter().filter(|(trainer, _)| {
            self.trainers
                .get(trainer)
                .is_some_and(|live| live.job == job && live.service != Service::Draining)
        });
        staying.map(|(_, names)| names.len()).sum()
    }

    fn slots_needed(&self, job: JobNo) -> usize {
        self.spec(job).map_or(0, |spec| spec.slots_of_trainer() as usize)
    }
}

impl JobSpec {
    /// Slots each of its trainers takes.
    pub(crate) fn slots_of_trainer(&self) -> u32 {
        self.gpus.max(self.slots)
    }
}

/// How long a job may go on with its next task while another waits and has less: a start (imports, a CUDA
/// context) should stay small beside it.
const TURN: Duration = Duration::from_secs(60);
