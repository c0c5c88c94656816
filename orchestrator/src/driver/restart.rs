//! Going on where an earlier orchestrator has ended.

use std::sync::Arc;

use super::{Driver, Followup};
use crate::listener::Listener;
use crate::record::{DeliveryNo, Exit, JobNo};
use crate::restart::{Found, Restart};
use crate::scheduler::Input;
use crate::spool;

impl Driver {
    /// Decides on what was found, before anybody is listened to. Spooled results come before the news that
    /// their trainers are gone.
    pub(super) fn take_up(&mut self, restart: Restart) {
        let Restart { adoption, jobs, payloads, trainers, spooled, stale_sockets } = restart;
        for path in stale_sockets {
            // Its name goes with it.
            drop(Listener::bind(&path, true));
        }
        for (job, slab) in jobs {
            self.listeners.bound_before.insert(job);
            if let Some(feed) = self.jobs.remove(&job).map(|slot| slot.feed) {
                let spec = self.scheduler.state().job(job).map(|job| Arc::clone(&job.spec));
                self.open_slot(feed, spec.unwrap_or_default(), slab);
            }
        }
        self.payloads = payloads.into_iter().collect();
        let mut gone = Vec::new();
        for (trainer, found) in trainers {
            match found {
                Found::Alive { process, marks } => self.watch(trainer, process, marks),
                Found::Gone { log_tail } => {
                    gone.push(Input::Exited { trainer, exit: Exit::Unknown, log_tail, failure: None });
                }
                Found::Unseen => {}
            }
        }
        let decision = self.scheduler.adopt(self.scheduler_now(), adoption);
        self.decided(decision);
        for (job, delivery, spooled) in spooled {
            self.decide(Input::Spooled { job, delivery, spooled });
        }
        self.followups.extend(gone.into_iter().map(Followup::Input));
        self.settle();
    }

    /// What a trainer has left of its deliveries, which nobody acknowledged while it lived.
    pub(super) fn look_into_spool(&mut self, job: JobNo, deliveries: &[DeliveryNo]) {
        let Some(slot) = self.jobs.get(&job) else { return };
        let Some(folder) = self.layout.spool(&slot.feed.job_id) else { return };
        for delivery in deliveries.iter().copied() {
            if let Some(spooled) = spool::read(&folder, delivery) {
                self.decide(Input::Spooled { job, delivery, spooled });
            }
        }
    }

    /// It is in the journal, or of no use.
    pub(super) fn unspool(&mut self, job: JobNo, delivery: DeliveryNo) {
        let folder = self.jobs.get(&job).and_then(|slot| self.layout.spool(&slot.feed.job_id));
        if let Some(folder) = folder
            && let Err(error) = std::fs::remove_file(spool::path(&folder, delivery))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // It is read again at the next start, and changes nothing then.
            tracing::warn!(folder = %folder.display(), delivery, %error, "a spooled result stays after it was taken");
        }
    }
}
