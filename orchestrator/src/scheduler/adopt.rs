//! What a restart makes of the state that the records give.
//!
//! The trainers may have gone on meanwhile. Each counts as one that has lost its connection, and what
//! holds for any reconnect decides the rest:
//!
//! ```text
//!   its Hello lists a delivery        it goes on as it was
//!   its Hello does not list it        queued again, uncharged
//!   a result of it is in the spool    it counts
//!   its process is gone               what the death of a trainer says; how it ended is mostly unknown
//!   none of it for lost_timeout       lost: killed, charged, tried again
//! ```
//!
//! Deadlines start anew, with what is left of the waits between attempts. A stop that was under way goes on
//! from its rung.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use trainwire_protocol::task::VerifiedTask;

use super::deadlines::Due;
use super::decision::{Decision, Effect};
use super::live::{LiveJob, LiveTrainer, Service, Step};
use super::state::{TaskState, TrainerState};
use super::{Now, Scheduler};
use crate::planted;
use crate::record::{Condition, Ending, JobNo, Next, Record, Rung, TaskNo, TrainerNo};

/// What a restart brings beside the records.
#[derive(Debug, Default)]
pub struct Adoption {
    /// The bytes of tasks that have not ended.
    pub payloads: BTreeMap<TaskNo, VerifiedTask>,
    /// Of tasks whose bytes are gone, why. Where they are with a trainer they may still end well.
    pub lost: BTreeMap<TaskNo, String>,
    /// What is left of the waits of queued tasks. Those that are not here are due.
    pub waits: BTreeMap<TaskNo, Duration>,
    /// Trainers whose last delivery failed.
    pub failed: BTreeSet<TrainerNo>,
    /// Trainers whose processes are known to be gone. [`Input::Exited`](super::Input::Exited) follows for
    /// each, after what they left in the spool.
    pub gone: BTreeSet<TrainerNo>,
}

impl Scheduler {
    /// Takes up what the replayed records left unfinished. Call it once, after the last
    /// [`replay`](Scheduler::replay) and before any [`handle`](Scheduler::handle).
    pub fn adopt(&mut self, now: Now, adoption: Adoption) -> Decision {
        let now = now.monotonic;
        let Adoption { payloads, lost, mut waits, failed, gone } = adoption;
        (self.payloads, self.lost) = (payloads.into_iter().collect(), lost);
        let jobs: Vec<JobNo> = self.state.unfinished_jobs().collect();
        for job in &jobs {
            self.jobs.insert(*job, LiveJob::default());
            self.effect(Effect::Bind { job: *job });
            self.adopt_tasks(now, *job, &mut waits);
            let trainers: Vec<_> = self.state.job(*job).into_iter().flat_map(|job| &job.trainers).collect();
            for trainer in trainers.into_iter().copied().collect::<Vec<_>>() {
                let failed = failed.contains(&trainer);
                self.adopt_trainer(now, *job, trainer, failed, gone.contains(&trainer));
            }
        }
        for job in jobs {
            self.settle(now, job);
        }
        std::mem::take(&mut self.out)
    }

    fn adopt_tasks(&mut self, now: Instant, job: JobNo, waits: &mut BTreeMap<TaskNo, Duration>) {
        let tasks = self.state.job(job).into_iter().flat_map(|job| &job.tasks).copied();
        let is_queued =
            |task: &TaskNo| self.state.task(*task).is_some_and(|task| task.state == TaskState::Queued);
        for task in tasks.filter(is_queued).collect::<Vec<_>>() {
            match self.lost.get(&task) {
                Some(cause) => {
                    let next = Next::Dead { cause: cause.as_str().into(), log_tail: "".into() };
                    self.close_task(task, next);
                }
                None => self.queue(now, task, waits.remove(&task).unwrap_or_default()),
            }
        }
    }

    fn adopt_trainer(&mut self, now: Instant, job: JobNo, number: TrainerNo, failed: bool, gone: bool) {
        let Some(trainer) = self.state.trainer(number) else { return };
        let Some(spec) = self.spec(job).cloned() else { return };
        let bound = matches!(trainer.state, TrainerState::Bound { .. });
        let attached = trainer.is_attached();
        // A script's process is started for one delivery; without that one it is being ended.
        let aimless = spec.script && !bound && trainer.in_hand.is_empty();
        let service = if gone || aimless || (failed && spec.replace_after_failure) {
            Service::Draining
        } else if bound || spec.script {
            Service::Serving
        } else {
            let deadline = self.deadlines.arm(now, spec.start_timeout, Due::Start(number));
            Service::Starting { script_task: None, deadline }
        };
        let mut live = LiveTrainer::new(job, service);
        let in_hand: Vec<_> = self.in_hand(number).map(|(delivery, task)| (delivery, task.state)).collect();
        live.delivered_at = in_hand.iter().map(|(delivery, _)| (*delivery, now)).collect();
        live.turn_began = in_hand.first().map(|_| now);
        live.held_bytes = self.in_hand(number).map(|(_, task)| task.size_bytes).sum();
        if let Some(job) = self.jobs.get_mut(&job) {
            job.spawned += u32::from(!attached);
            job.starting += usize::from(live.is_starting());
            job.ahead += in_hand.len().saturating_sub(1);
        }
        self.trainers.insert(number, live);
        if gone {
            return;
        }
        if bound {
            self.record(Record::TrainerNoticed { trainer: number, condition: Condition::Detached });
            self.arm_lost(now, number, Duration::ZERO);
        }
        if planted::is("adopted-as-gone") {
            for (delivery, _) in &in_hand {
                self.conclude(now, *delivery, None, Ending::Returned { code: "planted".to_owned() }, "");
            }
        }
        for (delivery, state) in in_hand {
            match state {
                TaskState::Stopping { rung: Rung::Asked, .. } => self.ask(now, number, delivery),
                TaskState::Stopping { rung, .. } => self.climb(now, number, rung),
                TaskState::Stuck { .. } => self.set_ladder(now, number, Some((Step::Stuck, None))),
                _ => {}
            }
        }
        if aimless {
            self.climb(now, number, Rung::Killed);
        }
        self.watch_drain(now, number);
    }
}
