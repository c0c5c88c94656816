//! What a death says about the deliveries it took along, and about the job.

use std::time::Instant;

use super::Scheduler;
use super::deadlines::Due;
use super::decision::Effect;
use super::live::{Death, Service};
use super::retry::{FELL_WITH_ANOTHER, TRAINER_GONE, backoff};
use super::state::{TaskState, TrainerState};
use crate::planted;
use crate::record::{DeliveryNo, Ending, Exit, JobNo, Record, Rung, TrainerFailure, TrainerNo};

impl Scheduler {
    pub(super) fn exited(
        &mut self,
        now: Instant,
        trainer: TrainerNo,
        exit: Exit,
        log_tail: String,
        failure: Option<TrainerFailure>,
    ) {
        self.shut(trainer);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if live.death.is_none() {
            live.death = Some(Box::new(Death { exit, log_tail, failure }));
            if planted::is("exit-without-drain") {
                return self.happen(now, Due::Exit(trainer));
            }
            self.after_drain(now, trainer, Due::Exit(trainer));
        }
    }

    pub(super) fn exit_due(&mut self, now: Instant, trainer: TrainerNo) {
        let death = self.trainers.get_mut(&trainer).and_then(|live| live.death.take());
        if let Some(death) = death {
            self.bury(now, trainer, *death);
        }
    }

    /// The trainer is gone and its socket empty: verdicts, then nothing of it is left.
    pub(super) fn bury(&mut self, now: Instant, trainer: TrainerNo, death: Death) {
        let Death { exit, log_tail, failure } = death;
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let (job, signalled) = (live.job, live.signalled());
        let group = live.group.take();
        let state = self.state.trainer(trainer).map(|trainer| &trainer.state);
        let connected = matches!(state, Some(TrainerState::Bound { .. }));
        let endings: Vec<(DeliveryNo, Ending)> = self
            .in_hand(trainer)
            .map(|(delivery, task)| {
                let ending = verdict(task.state, &exit, failure.as_ref(), signalled, connected);
                let first =
                    group.iter().fold(ending, |ending, group| group.explain(delivery, task.state, ending));
                (delivery, first)
            })
            .collect();
        for (delivery, ending) in endings {
            self.conclude(now, delivery, None, ending, &log_tail);
        }

        self.disband(trainer, group);
        self.shut(trainer);
        self.set_ladder(now, trainer, None);
        let Some(live) = self.trainers.get(&trainer) else { return };
        let (service, start_failed) = (live.service, live.is_starting());
        if let Some(at) = live.lost_at {
            self.deadlines.disarm(at, Due::Lost(trainer));
        }
        if let Some(connection) = live.connection {
            self.connections.remove(&connection);
            self.effect(Effect::Close { connection });
        }
        let attached = self.state.trainer(trainer).is_some_and(super::Trainer::is_attached);
        let cause = start_failed.then(|| self.start_failure(job, &exit, signalled));
        let hopeless = matches!(exit, Exit::NotStarted { hopeless: true, .. });
        self.record(Record::TrainerEnded { trainer, exit, start_failed });
        self.effect(Effect::Forget { trainer });
        if planted::is("slots-free-too-early") {
            self.gone(now, trainer);
        }
        if let Service::Starting { script_task: Some(task), .. } = service {
            self.queue_again(now, task);
        }
        self.set_service(trainer, Service::Draining);
        self.trainers.remove(&trainer);
        if let Some(live) = self.jobs.get_mut(&job) {
            live.spawned -= u32::from(!attached && live.spawned > 0);
        }
        if let Some(cause) = cause {
            self.start_failed(now, job, &cause, hopeless, &log_tail);
        }
        self.settle(now, job);
    }

    /// How a start failed, in words.
    fn start_failure(&self, job: JobNo, exit: &Exit, signalled: bool) -> String {
        match exit {
            Exit::NotStarted { error, .. } => format!("could not be started: {error}"),
            _ if signalled => {
                let within = self.spec(job).map(|spec| spec.start_timeout).unwrap_or_default();
                format!("did not say Hello within {within:?}")
            }
            exit => format!("ended before it said Hello: {exit}"),
        }
    }

    /// One more trainer that never came to work.
    fn start_failed(&mut self, now: Instant, job_no: JobNo, how: &str, hopeless: bool, log_tail: &str) {
        let Some(job) = self.state.job(job_no) else { return };
        let (failures, spec) = (job.start_failures, job.spec.clone());
        let Some(live) = self.jobs.get_mut(&job_no) else { return };
        if let Some(mismatch) = live.obstacles.as_mut().and_then(|known| known.version_mismatch.take()) {
            let cause = format!("the trainer was refused: {mismatch}");
            return self.fail_job(job_no, &cause, log_tail);
        }
        // Where it has worked before, what is missing may come back.
        let worked = job.tasks.iter().any(|task| self.state.task(*task).is_some_and(|task| task.starts > 0));
        if hopeless && !worked {
            return self.fail_job(job_no, &format!("the trainer {how}"), log_tail);
        }
        if failures >= START_FAILURES_MAX {
            let cause = format!("{failures} trainers in a row failed to start; the last {how}");
            return self.fail_job(job_no, &cause, log_tail);
        }
        if !live.start_held {
            live.start_held = true;
            let wait = backoff(&spec, failures, self.seed ^ job_no.0);
            self.deadlines.arm(now, wait, Due::Respawn(job_no));
        }
    }

    pub(super) fn respawn_due(&mut self, now: Instant, job: JobNo) {
        if let Some(live) = self.jobs.get_mut(&job) {
            live.start_held = false;
            self.settle(now, job);
        }
    }

    /// No Hello within `start_timeout`.
    pub(super) fn start_due(&mut self, now: Instant, trainer: TrainerNo) {
        if self.trainers.get(&trainer).is_some_and(|live| live.is_starting()) {
            self.climb(now, trainer, Rung::Killed);
        }
    }
}

/// What a death says about one delivery.
fn verdict(
    state: TaskState,
    exit: &Exit,
    failure: Option<&TrainerFailure>,
    signalled: bool,
    connected: bool,
) -> Ending {
    match state {
        TaskState::Stopping { reason, rung, .. } => Ending::Stopped { reason, metrics: Vec::new(), rung },
        TaskState::Stuck { reason, .. } => {
            Ending::Stopped { reason, metrics: Vec::new(), rung: Rung::Killed }
        }
        TaskState::Running(_) if signalled => Ending::Returned { code: FELL_WITH_ANOTHER.into() },
        TaskState::Running(_) => match exit {
            Exit::Code { code: 0 } if !connected => Ending::Succeeded { metrics: Vec::new() },
            Exit::Code { code } => {
                let text = match code {
                    0 => "exited without a result (exit code 0)".to_owned(),
                    _ => exit.to_string(),
                };
                let bare = || TrainerFailure { kind: "exit".into(), text, ..TrainerFailure::default() };
                let error = failure.filter(|_| *code != 0).cloned().unwrap_or_else(bare);
                Ending::Failed { error, exit: Some(exit.clone()) }
            }
            exit => Ending::Crashed { exit: exit.clone() },
        },
        _ => Ending::Returned { code: TRAINER_GONE.into() },
    }
}

/// Starts that fail in a row until the job is given up: one may be chance, three are the command.
const START_FAILURES_MAX: u32 = 3;
