//! What a new orchestrator finds where an earlier one has ended: unfinished jobs in the journal, the bytes of
//! their tasks, trainers that went on, and results they could get nobody to acknowledge.
//!
//! ```text
//!   records ─► replay ─► Scheduler, feeds       [past]
//!   task bytes: rows and files ─► payloads      [payloads]
//!   /proc ─► pidfds of the trainers             [trainers]
//!   spool ─► results, checkpoints
//!                └──► all of it to the driver, which decides on it before it listens anywhere
//! ```
//!
//! The spool is read first of all that could redeliver a task, sockets are bound last: whoever connects
//! meets an orchestrator that knows all there is to know.

mod past;
mod payloads;
mod trainers;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use trainwire_protocol::id::JobId;
use trainwire_unix::SealedError;

use crate::budget::{Budget, Charge};
use crate::clock;
use crate::config::Config;
use crate::error::StartError;
use crate::journal::Journal;
use crate::layout::Layout;
use crate::payload::Payload;
use crate::record::{DeliveryNo, JobNo, TaskNo, TrainerNo};
use crate::scheduler::{Adoption, Durable, Scheduler, Spooled};
use crate::slab::JobSlab;
use crate::spool;

pub(crate) use past::Past;
pub(crate) use payloads::read as read_payload;
pub(crate) use trainers::Found;

/// What is taken up again. Empty where every job had ended.
#[derive(Default)]
pub(crate) struct Restart {
    pub(crate) adoption: Adoption,
    /// Each with a slab where it wants one.
    pub(crate) jobs: Vec<(JobNo, Option<Arc<JobSlab>>)>,
    pub(crate) payloads: HashMap<TaskNo, Payload>,
    pub(crate) trainers: Vec<(TrainerNo, Found)>,
    pub(crate) spooled: Vec<(JobNo, DeliveryNo, Vec<Spooled>)>,
    /// Names of sockets of jobs that have ended.
    pub(crate) stale_sockets: Vec<PathBuf>,
}

impl Restart {
    /// Looks at everything. Blocks for as long as the bytes of unfinished tasks take to be read.
    pub(crate) fn gather(
        config: &Config,
        layout: &Layout,
        budget: &Budget,
        journal: &Journal,
        scheduler: &Scheduler,
        past: &mut Past,
    ) -> Result<Self, StartError> {
        let state = scheduler.state();
        let mut restart = Self { stale_sockets: stale_sockets(layout, state), ..Self::default() };
        let processes = trainers::Finder::new(past);
        for number in state.unfinished_jobs() {
            let Some(job) = state.job(number) else { continue };
            budget.restore(Charge::of_job(&job.spec));
            restart.jobs.push((number, allocate_slab(job.spec.slab)));
            for task in job.tasks.iter().copied() {
                let Some(known) = state.task(task).filter(|task| !task.state.is_terminal()) else { continue };
                let no_memory = |error: SealedError| StartError::System {
                    what: "memory for a task",
                    text: error.to_string(),
                };
                let stored = journal.bytes_of(task)?;
                let read = payloads::read(stored, layout.root(), config, Some(known.size_bytes));
                match read.map_err(no_memory)? {
                    Ok(payload) => {
                        budget.restore(payload.charge());
                        restart.adoption.payloads.insert(task, payload.task().clone());
                        restart.payloads.insert(task, payload);
                    }
                    Err(cause) => {
                        tracing::error!(job = job.spec.job_id, task = task.0, "{cause}");
                        restart.adoption.lost.insert(task, cause);
                    }
                }
            }
            for trainer in job.trainers.iter().copied() {
                let Some(known) = state.trainer(trainer) else { continue };
                let found = processes.find(trainer, known)?;
                if let Found::Gone { .. } = found {
                    restart.adoption.gone.insert(trainer);
                }
                restart.trainers.push((trainer, found));
            }
            let spool = JobId::new(&job.spec.job_id).ok().and_then(|id| layout.spool(&id));
            for (folder, delivery) in spool
                .iter()
                .flat_map(|folder| spool::deliveries(folder).into_iter().map(move |no| (folder, no)))
            {
                if let Some(spooled) = spool::read(folder, delivery) {
                    restart.spooled.push((number, delivery, spooled));
                }
            }
        }
        restart.adoption.waits = past.waits(clock::now().wall, clock::uptime().as_ref());
        restart.adoption.failed = std::mem::take(&mut past.failed);
        Ok(restart)
    }
}

/// A job can do without: its tasks travel in sealed memory then.
fn allocate_slab(size_bytes: Option<u64>) -> Option<Arc<JobSlab>> {
    JobSlab::allocate(size_bytes?)
        .inspect_err(|error| tracing::warn!(code = error.code(), %error, "a job goes on without its slab"))
        .ok()
}

/// An orchestrator that was killed at the end of a job may have left its socket.
fn stale_sockets(layout: &Layout, state: &Durable) -> Vec<PathBuf> {
    let ended = |job_id: &JobId| {
        let job = state.job_no(job_id.as_str()).and_then(|job| state.job(job));
        job.is_some_and(|job| job.ended)
    };
    layout.sockets().filter(ended).map(|job_id| layout.socket(&job_id)).collect()
}
