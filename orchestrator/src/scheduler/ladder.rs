//! How deliveries and processes are brought to an end: asked, SIGTERM, SIGKILL, stuck.
//!
//! A delivery is asked by a Stop; from SIGTERM on it is the process that climbs, and whatever it
//! has in hand goes with it. Before each rung the socket is drained, and a result in it ends the
//! climb.

use std::time::{Duration, Instant};

use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{Bye, Stop};

use super::deadlines::Due;
use super::decision::{Answer, Effect, Signal};
use super::input::Ticket;
use super::live::{Death, Ladder, Service, Step};
use super::retry::stopped;
use super::state::TaskState;
use super::{ConnectionNo, Delivered, Scheduler, Trainer};
use crate::job::StopReason;
use crate::planted;
use crate::record::{DeliveryNo, JobNo, Next, Record, Rung, TaskNo, TrainerNo};

impl Scheduler {
    pub(super) fn stop(
        &mut self,
        now: Instant,
        ticket: Ticket,
        job: JobNo,
        task: Option<TaskNo>,
        reason: StopReason,
        kill: bool,
    ) {
        match task {
            Some(task) if self.state.task(task).is_some_and(|task| task.job == job) => {
                self.stop_task(now, task, reason, kill);
            }
            Some(_) => {}
            None => {
                self.take_no_more(job);
                for task in self.queued(job) {
                    self.stop_task(now, task, reason, kill);
                }
                let trainers = self.state.job(job).into_iter().flat_map(|job| &job.trainers);
                let in_flight: Vec<_> = trainers
                    .flat_map(|trainer| self.in_hand(*trainer))
                    .map(|(delivery, _)| delivery)
                    .collect();
                for delivery in in_flight {
                    self.stop_delivery(now, delivery, reason, kill);
                }
            }
        }
        self.settle(now, job);
        self.effect(Effect::Answer { ticket, answer: Answer::Done });
    }

    fn stop_task(&mut self, now: Instant, task_no: TaskNo, reason: StopReason, kill: bool) {
        let Some(state) = self.state.task(task_no).map(|task| task.state) else { return };
        match state.holder() {
            Some(holder) => self.stop_delivery(now, holder.delivery, reason, kill),
            None if state == TaskState::Queued => {
                self.close_task(task_no, stopped(reason).unwrap_or(Next::Stopped))
            }
            None => {}
        }
    }

    /// Begins to end a delivery, or hurries.
    pub(super) fn stop_delivery(
        &mut self,
        now: Instant,
        delivery: DeliveryNo,
        reason: StopReason,
        kill: bool,
    ) {
        let Some((_, task)) = self.state.open_delivery(delivery) else { return };
        let Some(trainer) = task.state.holder().map(|holder| holder.trainer) else { return };
        match task.state {
            TaskState::Delivered(_) | TaskState::Running(_) => {
                let rung = if kill { Rung::Killed } else { self.first_rung(trainer) };
                self.record(Record::Stopping { delivery, reason, rung });
                match rung {
                    Rung::Asked => self.ask(now, trainer, delivery),
                    rung => self.climb(now, trainer, rung),
                }
            }
            // Somebody's wish outranks a verdict of ours.
            TaskState::Stopping { reason: ours, rung, .. } if stopped(ours).is_none() && ours != reason => {
                self.record(Record::Stopping { delivery, reason, rung });
            }
            _ => {}
        }
        if kill {
            self.climb(now, trainer, Rung::Killed);
        }
    }

    /// Where a stop begins: without a connection there is nobody to ask, and a process that was
    /// signalled is past it.
    fn first_rung(&self, trainer: TrainerNo) -> Rung {
        let Some(live) = self.trainers.get(&trainer) else { return Rung::Asked };
        match live.ladder.map(|ladder| ladder.step) {
            Some(Step::Killed | Step::Stuck) => Rung::Killed,
            Some(Step::Terminated) => Rung::Terminated,
            Some(Step::Asked) | None if live.connection.is_none() => Rung::Terminated,
            Some(Step::Asked) | None => Rung::Asked,
        }
    }

    /// Sends the Stop and gives it time.
    pub(super) fn ask(&mut self, now: Instant, trainer: TrainerNo, delivery: DeliveryNo) {
        let Some(grace) = self.spec_of(trainer).map(|spec| spec.stop_grace) else { return };
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if let Some(until) = self.deadlines.arm(now, grace, Due::Asked(delivery)) {
            live.pending_mut().asked.push((delivery, until));
        }
        self.ask_again(now, trainer, delivery);
    }

    /// Sends the Stop of a delivery that is being asked to end; also over a new connection.
    pub(super) fn ask_again(&mut self, now: Instant, trainer: TrainerNo, delivery: DeliveryNo) {
        let Some(live) = self.trainers.get(&trainer) else { return };
        let asked =
            live.connection.into_iter().chain(live.group.iter().flat_map(|group| group.at_work(delivery)));
        for connection in asked.collect::<Vec<_>>() {
            self.ask_over(now, trainer, connection, delivery);
        }
    }

    /// The same over one connection.
    pub(super) fn ask_over(
        &mut self,
        now: Instant,
        trainer: TrainerNo,
        connection: ConnectionNo,
        delivery: DeliveryNo,
    ) {
        let Some((_, task)) = self.held(trainer, delivery) else { return };
        let TaskState::Stopping { reason, rung: Rung::Asked, .. } = task.state else { return };
        let Some(live) = self.trainers.get(&trainer) else { return };
        let until =
            live.pending().asked.iter().find(|(asked, _)| *asked == delivery).map(|(_, until)| *until);
        let stop = Stop {
            delivery: Delivery(delivery),
            reason: word(reason).to_owned(),
            time_left: until.map_or(Duration::MAX, |until| until.saturating_duration_since(now)),
            want_checkpoint: matches!(reason, StopReason::Interrupted),
            dump_stacks: matches!(reason, StopReason::Stalled) && live.can_dump_stacks,
        };
        self.effect(Effect::Stop { connection, stop });
    }

    pub(super) fn asked_due(&mut self, now: Instant, delivery: DeliveryNo) {
        if planted::is("stop-unfenced")
            && let Some(&Delivered { trainer, .. }) = self.state.delivery(delivery)
        {
            return self.climb(now, trainer, Rung::Terminated);
        }
        let Some((_, task)) = self.state.open_delivery(delivery) else { return };
        if let TaskState::Stopping { holder, rung: Rung::Asked, .. } = task.state {
            self.climb(now, holder.trainer, Rung::Terminated);
        }
    }

    /// Signals a process, unless that was done, and takes its stopping deliveries along.
    pub(super) fn climb(&mut self, now: Instant, trainer: TrainerNo, rung: Rung) {
        let (step, signal) = match rung {
            Rung::Asked => return,
            Rung::Terminated => (Step::Terminated, Signal::Terminate),
            Rung::Killed => (Step::Killed, Signal::Kill),
        };
        self.shut(trainer);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if live.service == Service::Serving {
            live.service = Service::Draining;
        }
        let reached = live.ladder.map(|ladder| ladder.step);
        let stopping: Vec<_> = self
            .in_hand(trainer)
            .filter_map(|(delivery, task)| match task.state {
                TaskState::Stopping { reason, rung: below, .. } if below < rung => Some((delivery, reason)),
                _ => None,
            })
            .collect();
        for (delivery, reason) in stopping {
            self.record(Record::Stopping { delivery, reason, rung });
        }
        if reached < Some(step) {
            let grace = match rung {
                Rung::Killed => KILL_GRACE,
                _ => self.spec_of(trainer).map_or(KILL_GRACE, |spec| spec.term_grace),
            };
            self.set_ladder(now, trainer, Some((step, Some(grace))));
            self.effect(Effect::Signal { trainer, signal });
        }
    }

    /// A result is stored: if it was what the process was signalled for, the rest need not be.
    pub(super) fn disarm(&mut self, now: Instant, trainer: TrainerNo) {
        let Some(live) = self.trainers.get(&trainer) else { return };
        let terminated = live.ladder.is_some_and(|ladder| ladder.step == Step::Terminated);
        let still = |state: &TaskState| matches!(state, TaskState::Stopping { .. });
        if terminated && !self.in_hand(trainer).any(|(_, task)| still(&task.state)) {
            let connection = live.connection;
            self.set_ladder(now, trainer, None);
            if let Some(connection) = connection {
                self.effect(Effect::Bye { connection, bye: bye("stopped") });
                self.bye_to_replicas(trainer, "stopped");
            }
            self.watch_drain(now, trainer);
        }
    }

    /// Gives a trainer no more work.
    pub(super) fn drain(&mut self, now: Instant, trainer: TrainerNo) {
        self.shut(trainer);
        self.set_service(trainer, Service::Draining);
        self.watch_drain(now, trainer);
    }

    /// A draining trainer has `stop_grace` to end from when its code has nothing in hand.
    pub(super) fn watch_drain(&mut self, now: Instant, trainer: TrainerNo) {
        let Some(live) = self.trainers.get(&trainer) else { return };
        if live.service != Service::Draining || live.signalled() {
            return;
        }
        let asked = live.ladder.is_some();
        let busy = self.in_hand(trainer).any(|(_, task)| task.state.is_started());
        match (busy, asked) {
            (true, true) => self.set_ladder(now, trainer, None),
            (false, false) => {
                let grace = self.spec_of(trainer).map(|spec| spec.stop_grace);
                self.set_ladder(now, trainer, Some((Step::Asked, grace)));
            }
            _ => {}
        }
    }

    pub(super) fn ladder_due(&mut self, now: Instant, trainer: TrainerNo) {
        let Some(live) = self.trainers.get(&trainer) else { return };
        let Some(Ladder { step, due: Some(due) }) = live.ladder else { return };
        if due > now {
            return;
        }
        match step {
            // Nobody asked for the end of a process that somebody else started.
            Step::Asked if self.state.trainer(trainer).is_some_and(Trainer::is_attached) => {
                self.bury(now, trainer, Death::unknown());
            }
            Step::Asked => self.climb(now, trainer, Rung::Terminated),
            Step::Terminated => self.climb(now, trainer, Rung::Killed),
            Step::Killed | Step::Stuck => {
                self.set_ladder(now, trainer, Some((Step::Stuck, None)));
                let stopping: Vec<_> = self
                    .in_hand(trainer)
                    .filter(|(_, task)| matches!(task.state, TaskState::Stopping { .. }))
                    .map(|(delivery, _)| delivery)
                    .collect();
                for delivery in stopping {
                    self.record(Record::Stuck { delivery });
                }
            }
        }
    }

    /// Silence has lasted for `lost_timeout`.
    pub(super) fn lost_due(&mut self, now: Instant, trainer: TrainerNo) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if live.lost_at.is_none_or(|at| at > now) {
            return;
        }
        let attached = self.state.trainer(trainer).is_some_and(Trainer::is_attached);
        if attached && self.in_hand(trainer).next().is_none() {
            return self.bury(now, trainer, Death::unknown());
        }
        if self.is_torn(trainer) {
            // It was about to end, or to be started anew, for a reason that is known.
            return self.climb(now, trainer, Rung::Terminated);
        }
        let running: Vec<_> = self
            .in_hand(trainer)
            .filter(|(_, task)| matches!(task.state, TaskState::Running(_)))
            .map(|(delivery, _)| delivery)
            .collect();
        for delivery in running {
            self.record(Record::Stopping { delivery, reason: StopReason::Lost, rung: Rung::Killed });
        }
        self.climb(now, trainer, Rung::Killed);
    }

    pub(super) fn set_ladder(
        &mut self,
        now: Instant,
        trainer: TrainerNo,
        to: Option<(Step, Option<Duration>)>,
    ) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        if let Some(Ladder { due: Some(at), .. }) = live.ladder {
            self.deadlines.disarm(at, Due::Ladder(trainer));
        }
        live.ladder = to.map(|(step, after)| Ladder {
            step,
            due: after.and_then(|after| self.deadlines.arm(now, after, Due::Ladder(trainer))),
        });
    }
}

pub(super) fn bye(code: &str) -> Bye {
    Bye { code: code.to_owned(), text: String::new() }
}

/// As it stands in a Stop.
fn word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "cancelled",
        StopReason::Interrupted => "interrupted",
        StopReason::Stalled => "stalled",
        StopReason::Lost => "lost",
        StopReason::Pruned => "pruned",
    }
}

/// From SIGKILL to the admission that it did not help: the process sits in the kernel, e.g. in a
/// driver or a dead network file system.
const KILL_GRACE: Duration = Duration::from_secs(30);
