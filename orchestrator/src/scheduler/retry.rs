//! What becomes of a task after a delivery: budgets, waits, and the words of a dead letter.

use std::time::{Duration, Instant};

use trainwire_protocol::message::MOVED;

use super::Scheduler;
use super::deadlines::Due;
use super::state::{Task, TaskState};
use crate::job::{JobSpec, StopReason};
use crate::planted;
use crate::record::{DeliveryNo, Ending, Next, Record, TaskNo};

/// The delivery was not in the Hello of a reconnecting trainer.
pub(super) const NOT_IN_HAND: &str = "not_in_hand";
/// The trainer ended before its code was given the delivery.
pub(super) const TRAINER_GONE: &str = "trainer_gone";
/// The trainer was ended for the sake of another delivery.
pub(super) const FELL_WITH_ANOTHER: &str = "fell_with_another";

impl Scheduler {
    /// Ends a delivery: writes what happened and what becomes of the task, and queues it again or
    /// lets go of its bytes. `log_tail` is evidence in case this was the last attempt.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        delivery: DeliveryNo,
        seq: Option<u64>,
        ending: Ending,
        log_tail: &str,
    ) {
        let Some((task_no, task)) = self.state.open_delivery(delivery) else { return };
        let (Some(holder), job, size_bytes) = (task.state.holder(), task.job, task.size_bytes) else {
            return;
        };
        let Some(spec) = self.spec(job) else { return };
        let group = self.trainers.get(&holder.trainer).and_then(|live| live.group.as_ref());
        let ending =
            group.into_iter().fold(ending, |ending, group| group.explain(delivery, task.state, ending));
        let ending = as_stopped(task, ending);
        let begun = task.state.is_started() || !matches!(ending, Ending::Returned { .. });
        let next = match (next(task, spec, &ending, self.seed ^ delivery, log_tail), self.lost.get(&task_no))
        {
            (Next::Queued { .. }, Some(cause)) => {
                Next::Dead { cause: cause.as_str().into(), log_tail: log_tail.into() }
            }
            (next, _) => next,
        };
        let queued_after = match &next {
            Next::Queued { after } => Some(*after),
            _ => None,
        };
        let ending = Box::new(ending);
        self.record(Record::Ended { delivery, seq, ending, next, last_progress: None, waits_since: None });

        if let Some(live) = self.trainers.get_mut(&holder.trainer) {
            if let Some(place) = live.delivered_at.iter().position(|(held, _)| *held == delivery) {
                live.delivered_at.remove(place);
                if let Some(job) = self.jobs.get_mut(&live.job) {
                    job.ahead = job.ahead.saturating_sub(usize::from(!live.delivered_at.is_empty()));
                }
            }
            live.held_bytes = live.held_bytes.saturating_sub(size_bytes);
            if let Some(pending) = &mut live.pending {
                pending.asked_back.retain(|asked| *asked != delivery);
                if let Some(place) = pending.asked.iter().position(|(asked, _)| *asked == delivery) {
                    let (_, until) = pending.asked.swap_remove(place);
                    if !planted::is("stop-unfenced") {
                        self.deadlines.disarm(until, Due::Asked(delivery));
                    }
                }
            }
        }
        self.part_replicas(now, holder.trainer, delivery, begun);
        match queued_after {
            Some(after) => self.queue(now, task_no, after),
            None => {
                self.payloads.remove(&task_no);
                self.lost.remove(&task_no);
            }
        }
    }

    /// Puts a queued task in line, at once or later.
    pub(super) fn queue(&mut self, now: Instant, task: TaskNo, after: Duration) {
        let Some(job) = self.state.task(task).and_then(|task| self.jobs.get_mut(&task.job)) else { return };
        if after.is_zero() {
            job.ready.insert(task);
        } else {
            job.waiting.insert(task);
            self.deadlines.arm(now, after, Due::Task(task));
        }
    }

    /// Puts a task back in line for which a process was to be started, unless it has ended.
    pub(super) fn queue_again(&mut self, now: Instant, task: TaskNo) {
        if self.state.task(task).is_some_and(|task| task.state == TaskState::Queued) {
            self.queue(now, task, Duration::ZERO);
        }
    }

    pub(super) fn task_due(&mut self, now: Instant, task: TaskNo) {
        let Some(job_no) = self.state.task(task).map(|task| task.job) else { return };
        let Some(job) = self.jobs.get_mut(&job_no) else { return };
        if job.waiting.remove(&task) {
            job.ready.insert(task);
            self.settle(now, job_no);
        }
    }
}

/// Half to all of `backoff_min · 2^(charges - 1)`, at most `backoff_max`. The same seed and delivery
/// give the same wait, so that a decision can be repeated.
pub(super) fn backoff(spec: &JobSpec, charges: u32, seed: u64) -> Duration {
    let doublings = charges.saturating_sub(1).min(31);
    let wait = spec.backoff_min.saturating_mul(1 << doublings).min(spec.backoff_max);
    // 53 bits of the hash: a fraction of one.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = (splitmix(seed) >> 11) as f64 / (1_u64 << 53) as f64;
    wait.mul_f64(0.5 + fraction / 2.0)
}

/// A delivery that was stopped ends as its stop says, unless it succeeded.
fn as_stopped(task: &Task, ending: Ending) -> Ending {
    let (TaskState::Stopping { started, reason, .. } | TaskState::Stuck { started, reason, .. }) = task.state
    else {
        return ending;
    };
    match (reason, ending) {
        (_, ending @ Ending::Succeeded { .. }) => ending,
        (StopReason::Stalled, _) if started => Ending::Stalled,
        (StopReason::Lost, _) if started => Ending::Lost,
        (StopReason::Stalled | StopReason::Lost, ending @ Ending::Returned { .. }) => ending,
        (StopReason::Stalled | StopReason::Lost, _) => Ending::Returned { code: TRAINER_GONE.into() },
        (StopReason::Cancelled | StopReason::Interrupted | StopReason::Pruned, ending) => ending,
    }
}

fn next(task: &Task, spec: &JobSpec, ending: &Ending, seed: u64, log_tail: &str) -> Next {
    if matches!(ending, Ending::Succeeded { .. }) {
        return Next::Succeeded;
    }
    if let TaskState::Stopping { reason, .. } | TaskState::Stuck { reason, .. } = task.state
        && let Some(next) = stopped(reason)
    {
        return next;
    }
    let dead = |cause: String| Next::Dead { cause: cause.into(), log_tail: log_tail.into() };
    let again = |charges| Next::Queued { after: backoff(spec, charges, seed) };
    let charges = task.failures + task.losses + 1;
    let failures = || times(task.failures + 1);
    let losses = || times(task.losses + 1);
    let lost = |what: String| {
        if task.losses + 1 < spec.max_losses {
            return again(charges);
        }
        dead(format!("lost {}{what}; max_losses is {}", losses(), spec.max_losses))
    };
    match ending {
        Ending::Succeeded { .. } => Next::Succeeded,
        Ending::Stopped { reason, .. } => stopped(*reason).unwrap_or(Next::Stopped),
        Ending::Failed { error, .. } if error.fatal => {
            dead(format!("failed {}{error}; the trainer asked not to be retried", failures()))
        }
        Ending::Failed { .. } | Ending::Retry { after: None, .. }
            if task.failures + 1 < spec.max_failures =>
        {
            again(charges)
        }
        Ending::Retry { after: Some(after), .. } if task.failures + 1 < spec.max_failures => {
            Next::Queued { after: (*after).min(RETRY_AFTER_MAX) }
        }
        Ending::Failed { error, .. } => {
            dead(format!("failed {}{error}; max_failures is {}", failures(), spec.max_failures))
        }
        Ending::Retry { error, .. } => {
            dead(format!("asked for a retry {}{error}; max_failures is {}", failures(), spec.max_failures))
        }
        Ending::Crashed { exit } => lost(exit.to_string()),
        Ending::Lost => lost(format!("nothing was heard for {:?}", spec.lost_timeout)),
        Ending::Stalled => lost(match spec.stall_timeout {
            Some(timeout) => format!("no progress for {timeout:?}"),
            None => "no progress".to_owned(),
        }),
        Ending::Returned { code } if task.returns + 1 >= RETURNS_MAX => dead(format!(
            "came back unfinished {RETURNS_MAX} times in a row, the last: {code}; none was charged"
        )),
        // The first time a trainer has just ended, or was not told: another can have it at once.
        Ending::Returned { code } if task.returns == 0 && OURS.contains(&code.as_str()) => {
            Next::Queued { after: Duration::ZERO }
        }
        Ending::Returned { .. } => again(task.returns + 1),
    }
}

/// Where a stop leaves a task; `None` where it is to be tried again.
pub(super) fn stopped(reason: StopReason) -> Option<Next> {
    match reason {
        StopReason::Cancelled => Some(Next::Cancelled),
        StopReason::Interrupted | StopReason::Pruned => Some(Next::Stopped),
        StopReason::Stalled | StopReason::Lost => None,
    }
}

/// Ready to be followed by what happened.
fn times(count: u32) -> String {
    match count {
        1 => "once: ".to_owned(),
        2 => "twice, the last: ".to_owned(),
        _ => format!("{count} times, the last: "),
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Codes of returns that say nothing about the task.
const OURS: [&str; 4] = [NOT_IN_HAND, TRAINER_GONE, FELL_WITH_ANOTHER, MOVED];

/// Uncharged deliveries in a row after which a task is dead: something is wrong with it, or with
/// every trainer, and a loop without end would hide it.
const RETURNS_MAX: u32 = 10;

/// The longest wait a trainer can ask for, a week: longer is a slip of the unit.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
