//! What a trainer's code, and the shell on its behalf, tell the session. All of it works with and
//! without a connection.

use std::time::{Duration, Instant};

use super::in_hand::{Running, Stage};
use super::receive::CODE_LEAVING;
use super::{TrainerEvent, TrainerSession};
use crate::error::ProtocolError;
use crate::frame::FrameWriter;
use crate::id::Delivery;
use crate::limits::STRING_SIZE_BYTES_MAX;
use crate::message::{Bye, Checkpoint, CheckpointRef, FromTrainer, Metric, Outcome, TaskResult};
use crate::session::outbox::{RowBuffer, size_in_memory_bytes};

impl TrainerSession {
    /// The trainer's code gets a queued delivery. `false` if it is not queued any more, because it
    /// was stopped or dropped meanwhile: take the next.
    ///
    /// Started leaves at once, or, if the task before this one took less than 100 ms, with whatever
    /// leaves next, within 100 ms.
    pub fn start(&mut self, now: Instant, delivery: Delivery) -> bool {
        let Some(entry) = self.in_hand.get_mut(delivery) else { return false };
        let Stage::Queued = entry.stage else { return false };
        entry.stage = Stage::Running(Running::new(now));
        let hold_back = self.last_task.is_some_and(|lasted| lasted < SHORT_TASK);
        self.outbox.push_started(now, delivery, hold_back);
        true
    }

    /// The trainer's code gets on. Without a running delivery nothing happens.
    pub fn tick(&mut self, now: Instant) {
        if let Some(running) = self.in_hand.current_mut() {
            running.tick(now);
        }
    }

    /// The trainer's code will not be heard of for a while: heartbeats say zero until then. Never
    /// shortens what was said before.
    pub fn busy(&mut self, now: Instant, duration: Duration) {
        if let Some(running) = self.in_hand.current_mut() {
            running.busy(now, duration);
        }
    }

    /// Takes all rows of metrics out of the buffer, to be sent at once; those of deliveries that are
    /// not running go nowhere. Call it when the buffer says so, and before `checkpoint`, `finish` and
    /// `bye`, so that rows leave before what came after them.
    ///
    /// Where they cannot leave, rows between the first and the last are left out and counted.
    pub fn report(&mut self, now: Instant, rows: &mut RowBuffer) {
        let Self { in_hand, outbox, .. } = self;
        rows.take(|report| match in_hand.running_mut(report.delivery) {
            Some(running) => {
                running.tick(now);
                outbox.push_rows(report);
            }
            None => report.forget_rows(),
        });
    }

    /// Takes a checkpoint that is on disk, and gives the number its Ack will name; `None` if the
    /// delivery is not running.
    ///
    /// # Errors
    ///
    /// It does not fit a frame; nothing was taken.
    pub fn checkpoint(
        &mut self,
        now: Instant,
        delivery: Delivery,
        at: CheckpointRef,
        metrics: Vec<Metric>,
    ) -> Result<Option<u64>, ProtocolError> {
        let Some(entry) = self.in_hand.get_mut(delivery) else { return Ok(None) };
        let seq = entry.next_seq();
        let Stage::Running(running) = &mut entry.stage else { return Ok(None) };
        let message = sendable(FromTrainer::Checkpoint(Checkpoint { delivery, seq, at, metrics }))?;
        running.tick(now);
        entry.use_seq(seq);
        self.outbox.push_unacknowledged(message);
        Ok(Some(seq))
    }

    /// Ends a delivery, and gives the number its Ack will name; `None` if it is not in hand, or has
    /// ended already.
    ///
    /// # Errors
    ///
    /// The result does not fit a frame; the delivery has not ended.
    pub fn finish(
        &mut self,
        now: Instant,
        delivery: Delivery,
        outcome: Outcome,
        metrics: Vec<Metric>,
    ) -> Result<Option<u64>, ProtocolError> {
        let Some(entry) = self.in_hand.get_mut(delivery) else { return Ok(None) };
        let seq = entry.next_seq();
        let lasted = match &entry.stage {
            Stage::Queued => None,
            Stage::Running(running) => Some(running.lasted(now)),
            Stage::Finished => return Ok(None),
        };
        let message = sendable(FromTrainer::Result(TaskResult { delivery, seq, outcome, metrics }))?;
        entry.use_seq(seq);
        entry.stage = Stage::Finished;
        self.last_task = lasted.or(self.last_task);
        self.outbox.push_unacknowledged(message);
        Ok(Some(seq))
    }

    /// Gives a delivery back that never reached the trainer's code, e.g. `descriptor_missing`; for
    /// one that has, nothing happens.
    pub fn return_delivery(&mut self, delivery: Delivery, code: &str) {
        if self.in_hand.queued().any(|queued| queued == delivery) {
            self.give_back(delivery, code);
        }
    }

    /// Nobody looks at the bytes of this delivery in its slab any more, and nobody will: the orchestrator
    /// may fill them again. For one that is not held nothing happens.
    ///
    /// A Release leaves with whatever [`poll_transmit`](Self::poll_transmit) gives next.
    pub fn release(&mut self, delivery: Delivery) {
        self.held.release(delivery);
    }

    /// The trainer takes no more work: what is queued goes back now, what still comes goes back then. Each new
    /// connection is told so, too.
    pub fn bye(&mut self, bye: Bye) {
        self.leaving = Some(bye.clone());
        let queued: Vec<_> = self.in_hand.queued().collect();
        for delivery in queued {
            self.give_back(delivery, CODE_LEAVING);
            self.events.push_back(TrainerEvent::Dropped(delivery));
        }
        self.outbox.push_bye(bye);
    }

    /// Whether a delivery waits to be started.
    pub fn has_queued(&self) -> bool {
        self.in_hand.queued().next().is_some()
    }

    /// Whether there is room for further results. If not, wait for Acks before the next `start`.
    pub fn may_take_more(&self) -> bool {
        self.outbox.has_room()
    }

    /// Whether this result or checkpoint is still kept, because no Ack has named it.
    pub fn is_unacknowledged(&self, delivery: Delivery, seq: u64) -> bool {
        self.outbox.keeps(delivery, seq)
    }

    /// Results and checkpoints that no Ack has named, in the order they came: what belongs into the
    /// spool before the process ends.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &FromTrainer> {
        self.outbox.unacknowledged()
    }

    /// Forgets them, once they are in the spool.
    pub fn forget_unacknowledged(&mut self) {
        self.outbox.forget_unacknowledged();
        self.in_hand.remove_all_finished();
    }

    /// Ends a queued delivery as returned.
    pub(super) fn give_back(&mut self, delivery: Delivery, code: &str) {
        let Some(entry) = self.in_hand.get_mut(delivery) else { return };
        let seq = entry.next_seq();
        entry.use_seq(seq);
        entry.stage = Stage::Finished;
        let outcome = Outcome::Returned { code: code.to_owned() };
        self.outbox.push_unacknowledged(FromTrainer::Result(TaskResult {
            delivery,
            seq,
            outcome,
            metrics: Vec::new(),
        }));
    }
}

/// Makes sure now that the message can leave later. A small one always can: none of its strings and
/// lists is over a limit, nor their sum.
fn sendable(message: FromTrainer) -> Result<FromTrainer, ProtocolError> {
    if size_in_memory_bytes(&message) > STRING_SIZE_BYTES_MAX {
        FrameWriter::default().push_from_trainer(&message)?;
    }
    Ok(message)
}

/// Tasks shorter than this come so fast that Started may wait for company.
const SHORT_TASK: Duration = Duration::from_millis(100);
