//! Work that waits behind other work moves to a trainer that has none.
//!
//! What is sent ahead (`window`) should wait for [`SHORT_TASK`] at most: that is what the tasks before it took.
//! Where this one takes longer, and somebody has been idle for as long, the newest is asked back. That
//! changes nothing durable: until it comes back, like anything a trainer returns, it is its trainer's, whose
//! code may begin with it meanwhile.

use std::time::{Duration, Instant};

use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{MOVED, Stop};

use super::Scheduler;
use super::deadlines::Due;
use super::decision::Effect;
use super::reports::SHORT_TASK;
use super::state::TaskState;
use crate::record::{DeliveryNo, JobNo, TrainerNo};

impl Scheduler {
    /// Looks in a while whether somebody still waits for work and work for somebody.
    pub(super) fn watch_ahead(&mut self, now: Instant, job: JobNo) {
        let Some(live) = self.jobs.get_mut(&job) else { return };
        if live.ahead > 0 && live.idle() > 0 && live.moves_at.is_none() {
            live.moves_at = self.deadlines.arm(now, SHORT_TASK, Due::Move(job));
        }
    }

    /// Asks for as much as there is for idle trainers.
    pub(super) fn move_due(&mut self, job: JobNo) {
        let Some(live) = self.jobs.get_mut(&job) else { return };
        live.moves_at = None;
        let idle = live.idle();
        let trainers = self.state.job(job).into_iter().flat_map(|job| &job.trainers);
        let coming: usize =
            trainers.filter_map(|trainer| Some(self.trainers.get(trainer)?.pending().asked_back.len())).sum();
        for _ in coming..idle {
            let Some((trainer, delivery)) = self.newest_ahead(job) else { return };
            self.ask_back(trainer, delivery);
        }
    }

    /// The newest delivery of who has the most, unless it may be with the trainer's code.
    fn newest_ahead(&self, job: JobNo) -> Option<(TrainerNo, DeliveryNo)> {
        let ahead = |trainer: &TrainerNo| {
            let live = self.trainers.get(trainer).filter(|live| live.takes_work() && live.group.is_none())?;
            let stays =
                self.in_hand(*trainer).filter(|(delivery, _)| !live.pending().asked_back.contains(delivery));
            let (held, newest) = stays.fold((0, None), |(held, newest), (delivery, task)| {
                // Whatever has come back lately is not sent round and round.
                let waits = matches!(task.state, TaskState::Delivered(_)) && task.returns == 0;
                (held + 1, if held > 0 && waits { Some(delivery) } else { newest })
            });
            Some((held, *trainer, newest?))
        };
        let (_, trainer, delivery) = self.state.job(job)?.trainers.iter().filter_map(ahead).max()?;
        Some((trainer, delivery))
    }

    fn ask_back(&mut self, trainer: TrainerNo, delivery: DeliveryNo) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let Some(connection) = live.connection else { return };
        live.pending_mut().asked_back.push(delivery);
        let stop = Stop {
            delivery: Delivery(delivery),
            reason: MOVED.to_owned(),
            time_left: Duration::MAX,
            want_checkpoint: false,
            dump_stacks: false,
        };
        self.effect(Effect::Stop { connection, stop });
    }
}
