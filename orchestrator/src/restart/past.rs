//! The records of the past, replayed one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trainwire_protocol::id::JobId;
use trainwire_unix::ProcessIdentity;

use crate::events::Feed;
use crate::journal::Entry;
use crate::planted;
use crate::record::{DeliveryNo, Ending, JobNo, Next, Record, Seq, TaskNo, TrainerNo, Uptime};
use crate::scheduler::Scheduler;

/// What the records say beside the Scheduler's state.
#[derive(Default)]
pub(crate) struct Past {
    /// Of the last record.
    pub(crate) seq: Seq,
    pub(crate) feeds: HashMap<JobNo, Arc<Feed>>,
    /// Which job ended, and when, in the order of their ends.
    pub(crate) ended: BTreeMap<Seq, (JobNo, SystemTime)>,
    /// Of trainers that have not ended.
    pub(super) processes: HashMap<TrainerNo, Process>,
    /// Where in its trainer's log each open delivery begins.
    pub(super) log_from: HashMap<DeliveryNo, u64>,
    /// Trainers whose last delivery failed.
    pub(super) failed: BTreeSet<TrainerNo>,
    waits: HashMap<TaskNo, Wait>,
}

/// Of a queued task.
struct Wait {
    /// Since when.
    at: SystemTime,
    /// The same by the clock that nobody sets; older journals do not say.
    since: Option<Uptime>,
    /// How long it should.
    after: Duration,
}

/// A process as it was journaled.
pub(super) struct Process {
    /// `None` where it cannot have been one of this machine.
    pub(super) identity: Option<ProcessIdentity>,
    pub(super) log: PathBuf,
}

impl Past {
    /// The next record: brings the Scheduler and the feeds there.
    pub(crate) fn replay(&mut self, entry: Entry, scheduler: &mut Scheduler) {
        scheduler.replay(&entry.record);
        self.seq = entry.seq;
        self.note(&entry, scheduler);
        if let Record::JobSubmitted { job, spec } = &entry.record
            && let Ok(job_id) = JobId::new(&spec.job_id)
        {
            self.feeds.insert(*job, Arc::new(Feed::new(*job, job_id, None)));
        }
        if let Some(feed) = entry.job.and_then(|job| self.feeds.get(&job)) {
            let ended = matches!(entry.record, Record::JobEnded { .. });
            let requeued = matches!(entry.record, Record::Requeued { .. });
            feed.publish(entry);
            if ended {
                feed.end(Ok(()));
            } else if requeued && feed.is_ended() {
                let job = feed.job;
                self.ended.retain(|_, (ended, _)| *ended != job);
                feed.reopen();
            }
        }
    }

    fn note(&mut self, entry: &Entry, scheduler: &Scheduler) {
        match &entry.record {
            Record::TrainerSpawned { trainer, pid, start_ticks, boot_id, log } => {
                let identity = u32::try_from(*pid).ok().zip(boot_id.parse().ok());
                let identity = identity.map(|(pid, boot_id)| ProcessIdentity {
                    pid,
                    start_time_ticks: *start_ticks,
                    boot_id,
                });
                self.processes.insert(*trainer, Process { identity, log: log.into() });
            }
            Record::TrainerBound {
                trainer, pid, start_ticks: Some(ticks), boot_id: Some(boot_id), ..
            } => {
                let identity = u32::try_from(*pid).ok().zip(boot_id.parse().ok());
                let identity =
                    identity.map(|(pid, boot_id)| ProcessIdentity { pid, start_time_ticks: *ticks, boot_id });
                self.processes.insert(*trainer, Process { identity, log: PathBuf::new() });
            }
            Record::TrainerEnded { trainer, .. } => {
                self.processes.remove(trainer);
                self.failed.remove(trainer);
            }
            Record::Delivered { delivery, task, log_from, .. } => {
                self.waits.remove(task);
                self.log_from.extend(log_from.map(|from| (*delivery, from)));
            }
            Record::Ended { delivery, ending, next, waits_since, .. } => {
                self.log_from.remove(delivery);
                let Some(delivered) = scheduler.state().delivery(*delivery) else { return };
                match &**ending {
                    Ending::Failed { .. } => self.failed.insert(delivered.trainer),
                    _ => self.failed.remove(&delivered.trainer),
                };
                match next {
                    Next::Queued { after } if !after.is_zero() => {
                        let since = waits_since.as_deref().cloned();
                        self.waits.insert(delivered.task, Wait { at: entry.at, since, after: *after });
                    }
                    _ => drop(self.waits.remove(&delivered.task)),
                }
            }
            Record::JobEnded { job } => drop(self.ended.insert(entry.seq, (*job, entry.at))),
            Record::Closed { task, .. } => drop(self.waits.remove(task)),
            _ => {}
        }
    }

    /// What is left of the waits. Nobody waits longer than was decided, whatever became of the clock; and not
    /// shorter, as long as the machine has not been started anew.
    pub(super) fn waits(&self, now: SystemTime, uptime: Option<&Uptime>) -> BTreeMap<TaskNo, Duration> {
        let left = |wait: &Wait| {
            let same_boot = wait.since.as_ref().zip(uptime).filter(|(then, now)| then.boot_id == now.boot_id);
            let same_boot = same_boot.filter(|_| !planted::is("waits-by-wall-clock"));
            let passed = match same_boot {
                Some((then, now)) => now.passed.saturating_sub(then.passed),
                None => now.duration_since(wait.at).unwrap_or_default(),
            };
            wait.after.saturating_sub(passed)
        };
        let waits = self.waits.iter().map(|(task, wait)| (*task, left(wait)));
        waits.filter(|(_, left)| !left.is_zero()).collect()
    }
}
