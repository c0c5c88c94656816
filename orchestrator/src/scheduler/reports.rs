//! What trainers say of their deliveries. Every word is fenced: it counts only over the trainer's
//! present connection, and only for a delivery that is this trainer's and not over.

use std::time::{Duration, Instant};

use trainwire_protocol::message::{
    AckEntry, AckKind, Checkpoint, Heartbeat, Metric, MetricValue, Outcome, TaskResult, TrainerError,
};

use super::Scheduler;
use super::deadlines::Due;
use super::decision::Effect;
use super::group::will_restart;
use super::input::{ConnectionNo, Spooled};
use super::state::TaskState;
use crate::job::StopReason;
use crate::planted;
use crate::record::{
    DeliveryNo, Ending, JobNo, Metrics, Record, Rung, Scalar, TaskNo, TrainerFailure, TrainerNo,
};

impl Scheduler {
    pub(super) fn started(&mut self, now: Instant, connection: ConnectionNo, delivery: DeliveryNo) {
        match self.trainer_of(connection) {
            Some(trainer) => self.start(now, trainer, delivery),
            None => self.replica_started(now, connection, delivery),
        }
    }

    fn start(&mut self, now: Instant, trainer: TrainerNo, delivery: DeliveryNo) {
        if self.held(trainer, delivery).is_some_and(|(_, task)| !task.state.is_started()) {
            self.record(Record::Started { delivery });
            self.watch_drain(now, trainer);
        }
    }

    /// The rows go past the Scheduler; that they came is the news.
    pub(super) fn progress(&mut self, connection: ConnectionNo, delivery: DeliveryNo) {
        let Some(trainer) = self.trainer_of(connection) else { return };
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if let Some(pending) = &mut live.pending {
            pending.awaiting.retain(|due| *due != Due::Stall(delivery));
        }
    }

    pub(super) fn heartbeat(&mut self, now: Instant, connection: ConnectionNo, heartbeat: Heartbeat) {
        let Some(trainer) = self.trainer_of(connection) else { return };
        let Some(delivery) = heartbeat.running.map(|delivery| delivery.0) else { return };
        let Some(limit) = self.spec_of(trainer).and_then(|spec| spec.stall_timeout) else { return };
        if heartbeat.progress_age >= limit && self.may_stall(trainer, delivery) {
            self.after_drain(now, trainer, Due::Stall(delivery));
        }
    }

    pub(super) fn stall_due(&mut self, now: Instant, delivery: DeliveryNo) {
        let Some(trainer) = self.state.delivery(delivery).map(|delivered| delivered.trainer) else { return };
        if self.may_stall(trainer, delivery) {
            self.stop_delivery(now, delivery, StopReason::Stalled, false);
        }
    }

    fn may_stall(&self, trainer: TrainerNo, delivery: DeliveryNo) -> bool {
        self.held(trainer, delivery).is_some_and(|(_, task)| matches!(task.state, TaskState::Running(_)))
    }

    pub(super) fn checkpoint(&mut self, now: Instant, connection: ConnectionNo, checkpoint: Checkpoint) {
        let (delivery, seq) = (checkpoint.delivery, checkpoint.seq);
        let entry = |kind| AckEntry { delivery, seq, kind };
        let Some(trainer) = self.trainer_of(connection) else {
            if self.is_replica(connection) {
                self.effect(Effect::Ack { connection, entry: entry(AckKind::Superseded) });
            }
            return;
        };
        match self.store_checkpoint(now, trainer, checkpoint) {
            Some(kind) => self.effect(Effect::Ack { connection, entry: entry(kind) }),
            None => self.supersede(trainer, connection, entry(AckKind::Superseded)),
        }
    }

    /// `None` if the delivery is not this trainer's, or over.
    fn store_checkpoint(
        &mut self,
        now: Instant,
        trainer: TrainerNo,
        checkpoint: Checkpoint,
    ) -> Option<AckKind> {
        let Checkpoint { delivery, seq, at, metrics } = checkpoint;
        let (_, task) = self.held(trainer, delivery.0)?;
        if planted::is("checkpoint-not-recorded") {
            return Some(AckKind::Stored);
        }
        if seq <= task.state.holder()?.last_seq && !planted::is("checkpoint-twice") {
            // It is in the journal already; its acknowledgement was lost.
            return Some(AckKind::Superseded);
        }
        self.start(now, trainer, delivery.0);
        self.record(Record::Checkpointed {
            delivery: delivery.0,
            seq,
            path: at.path.into(),
            step: at.step,
            epoch: at.epoch,
            metrics: scalars(metrics),
        });
        Some(AckKind::Stored)
    }

    pub(super) fn result(&mut self, now: Instant, connection: ConnectionNo, result: TaskResult) {
        let Some(trainer) = self.trainer_of(connection) else {
            return self.replica_result(now, connection, result);
        };
        let (delivery, seq) = (result.delivery, result.seq);
        if self.held(trainer, delivery.0).is_none() {
            let entry = AckEntry { delivery, seq, kind: AckKind::Superseded };
            return self.supersede(trainer, connection, entry);
        }
        if will_restart(&result.outcome) {
            self.tear(now, trainer, delivery.0, 0, result.outcome);
            let entry = AckEntry { delivery, seq, kind: AckKind::Superseded };
            return self.effect(Effect::Ack { connection, entry });
        }
        let returned = matches!(result.outcome, Outcome::Returned { .. });
        let failed = self.store_result(now, trainer, result);
        let entry = AckEntry { delivery, seq, kind: AckKind::Stored };
        self.effect(Effect::Ack { connection, entry });
        if returned {
            // Whoever is idle is asked before who gave it back.
            self.settle_of(now, trainer);
        }
        self.after_result(now, trainer, failed);
    }

    /// Whether it says that the task failed.
    fn store_result(&mut self, now: Instant, trainer: TrainerNo, result: TaskResult) -> bool {
        let TaskResult { delivery, seq, outcome, metrics } = result;
        let Some((_, task)) = self.held(trainer, delivery.0) else { return false };
        let failed = matches!(outcome, Outcome::Failed(_));
        let ending = ending(outcome, metrics, task.state);
        self.adapt_window(now, trainer, delivery.0);
        self.conclude(now, delivery.0, Some(seq), ending, "");
        failed
    }

    fn after_result(&mut self, now: Instant, trainer: TrainerNo, failed: bool) {
        self.disarm(now, trainer);
        if failed && self.spec_of(trainer).is_some_and(|spec| spec.replace_after_failure) {
            self.let_go(now, trainer, "replaced");
        }
        self.watch_drain(now, trainer);
        self.refill(now, trainer);
        self.settle_of(now, trainer);
    }

    /// What a trainer that nobody acknowledged has left on the disk counts as what it says.
    pub(super) fn spooled(&mut self, now: Instant, job: JobNo, delivery: DeliveryNo, spooled: Vec<Spooled>) {
        let delivered = self.state.delivery(delivery).copied();
        // Nobody can end another job's task from this one's folder.
        let of_job = |task: TaskNo| self.state.task(task).is_some_and(|task| task.job == job);
        let taken = |delivered: &super::Delivered| of_job(delivered.task) && !planted::is("spool-ignored");
        if let Some(trainer) = delivered.filter(taken).map(|by| by.trainer) {
            for message in spooled {
                match message {
                    Spooled::Checkpoint(checkpoint) if checkpoint.delivery.0 == delivery => {
                        let _ = self.store_checkpoint(now, trainer, checkpoint);
                    }
                    Spooled::Result(result) if result.delivery.0 == delivery => {
                        if self.held(trainer, delivery).is_none() {
                            self.record(Record::Superseded { delivery, seq: result.seq });
                            continue;
                        }
                        let failed = self.store_result(now, trainer, result);
                        self.after_result(now, trainer, failed);
                    }
                    _ => {}
                }
            }
        }
        self.effect(Effect::Unspool { job, delivery });
    }

    /// Something for a delivery that is over: acknowledged, or the trainer would send it for ever.
    fn supersede(&mut self, trainer: TrainerNo, connection: ConnectionNo, entry: AckEntry) {
        let delivery = entry.delivery.0;
        if self.state.delivery(delivery).is_some_and(|delivered| delivered.trainer == trainer) {
            self.record(Record::Superseded { delivery, seq: entry.seq });
        }
        self.effect(Effect::Ack { connection, entry });
    }

    /// Short tasks are sent ahead, more with each; after a long one nothing is.
    fn adapt_window(&mut self, now: Instant, trainer: TrainerNo, delivery: DeliveryNo) {
        let window_max = self.spec_of(trainer).map_or(1, |spec| spec.window.max(1));
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let Some((_, at)) = live.delivered_at.iter().find(|(held, _)| *held == delivery) else { return };
        let short = now.saturating_duration_since(*at) < SHORT_TASK;
        live.window = if short { (live.window * 2).min(window_max) } else { 1 };
    }
}

/// What a trainer's outcome says happened.
fn ending(outcome: Outcome, metrics: Vec<Metric>, state: TaskState) -> Ending {
    match outcome {
        Outcome::Succeeded => Ending::Succeeded { metrics: scalars(metrics) },
        Outcome::Failed(error) => Ending::Failed { error: failure(error), exit: None },
        Outcome::Retry { error, after } => Ending::Retry { error: failure(error), after },
        Outcome::Returned { code } => Ending::Returned { code },
        Outcome::Stopped => {
            let (reason, rung) = match state {
                TaskState::Stopping { reason, rung, .. } => (reason, rung),
                TaskState::Stuck { reason, .. } => (reason, Rung::Killed),
                // Nobody asked: somebody interrupted the trainer where it runs.
                _ => (StopReason::Interrupted, Rung::Asked),
            };
            Ending::Stopped { reason, metrics: scalars(metrics), rung }
        }
    }
}

pub(super) fn failure(error: TrainerError) -> TrainerFailure {
    let TrainerError { kind, text, traceback, fatal, restarts: _ } = error;
    TrainerFailure { kind, text, traceback, fatal }
}

fn scalars(metrics: Vec<Metric>) -> Metrics {
    let scalar = |value| match value {
        MetricValue::Number(number) => Scalar::Number(number),
        MetricValue::Text(text) => Scalar::Text(text),
    };
    metrics.into_iter().map(|metric| (metric.name, scalar(metric.value))).collect()
}

/// From delivery to result. What is sent ahead waits about this long at most.
pub(super) const SHORT_TASK: Duration = Duration::from_millis(100);
