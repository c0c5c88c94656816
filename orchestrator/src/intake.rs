//! What happens to tasks between their submission and the driver: their part of the budget, the memory
//! they will travel from, and the disk.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use trainwire_protocol::id::JobId;

use crate::api::Inner;
use crate::budget::{Charge, Taken};
use crate::driver::Message;
use crate::error::{OrchestratorError, SubmitError};
use crate::job::Durability;
use crate::journal::{PayloadFolder, ROW_SIZE_BYTES_MAX, StoredTask};
use crate::payload::Payload;
use crate::slab::JobSlab;
use crate::training_task::CheckedTask;

/// A task on its way in. Dropped before a row names its file, it takes that with it.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) payload: Payload,
    pub(crate) stored: StoredTask,
}

impl Inner {
    /// The part of the budget that tasks take as far as it is known before they are moved.
    pub(crate) fn charge_of(&self, tasks: &[CheckedTask], mut charge: Charge) -> Charge {
        for task in tasks {
            charge.tasks += 1;
            if task.is_in_slab() {
                continue;
            }
            charge.bytes += task.size_bytes();
            charge.descriptors += u64::from(task.size_bytes() > self.config.inline_task_size_max as u64);
        }
        charge
    }

    /// Allocates a job's slab, on another thread: the kernel clears all of it.
    pub(crate) async fn allocate_slab(size_bytes: Option<u64>) -> Result<Option<Arc<JobSlab>>, SubmitError> {
        let Some(size_bytes) = size_bytes else { return Ok(None) };
        elsewhere(move || Ok(Some(JobSlab::allocate(size_bytes)?))).await
    }

    /// Moves tasks to where they will travel from, and writes large ones to files. What waits for the
    /// disk or copies much does so on another thread. `taken` is their part of the budget.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        job: &JobId,
        durability: Durability,
        tasks: Vec<CheckedTask>,
        slab: Option<Arc<JobSlab>>,
        mut taken: Taken,
    ) -> Result<(Vec<Intake>, Taken), SubmitError> {
        self.room.ask(tasks.iter().map(CheckedTask::size_bytes).sum())?;
        let inline_size_max = self.config.inline_task_size_max;
        let store = Store { inner: Arc::clone(self), job: job.clone(), durability, slab };
        let is_work = |task: &CheckedTask| {
            store.wants_file(task.size_bytes()) || task.is_copied(inline_size_max, store.slab.as_ref())
        };
        if !tasks.iter().any(is_work) {
            return Ok((store.take_in(tasks, &mut taken)?, taken));
        }
        let stored = elsewhere(move || Ok((store.take_in(tasks, &mut taken)?, taken))).await;
        if let Err(SubmitError::PayloadFile { path, source }) = &stored
            && source.raw_os_error() == Some(nix::libc::EIO)
        {
            let text = format!("{}: {source}", path.display());
            let _ = self.messages.send(Message::DiskFailed { text }).await;
            return Err(self.stopped().await.into());
        }
        stored
    }
}

/// Does what takes long on another thread.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SubmitError> + Send + 'static,
) -> Result<T, SubmitError> {
    spawn_blocking(work).await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // The runtime is shutting down.
        Err(_) => Err(OrchestratorError::ShutDown.into()),
    })
}

/// Where the tasks of a submission are kept.
struct Store {
    inner: Arc<Inner>,
    job: JobId,
    durability: Durability,
    slab: Option<Arc<JobSlab>>,
}

impl Store {
    fn wants_file(&self, size_bytes: u64) -> bool {
        let durable = self.inner.layout.is_durable() && self.durability == Durability::Durable;
        durable && size_bytes > ROW_SIZE_BYTES_MAX
    }

    fn take_in(&self, tasks: Vec<CheckedTask>, taken: &mut Taken) -> Result<Vec<Intake>, SubmitError> {
        let mut folder = None;
        let take = |task: CheckedTask| {
            let known = self.inner.charge_of(std::slice::from_ref(&task), Charge::default());
            let payload = task.place(self.inner.config.inline_task_size_max, self.slab.as_ref())?;
            taken.settle(known, payload.charge())?;
            let stored = self.store(&payload, &mut folder)?;
            Ok(Intake { payload, stored })
        };
        let intakes = tasks.into_iter().map(take).collect::<Result<Vec<_>, SubmitError>>()?;
        if let Some(folder) = &folder {
            folder.sync().map_err(|source| SubmitError::PayloadFile { path: folder.path(), source })?;
        }
        Ok(intakes)
    }

    fn store(
        &self,
        payload: &Payload,
        folder: &mut Option<PayloadFolder>,
    ) -> Result<StoredTask, SubmitError> {
        let size_bytes = payload.size_bytes();
        if !self.wants_file(size_bytes) {
            let volatile = size_bytes > ROW_SIZE_BYTES_MAX || !self.inner.layout.is_durable();
            return Ok(match volatile {
                true => StoredTask::Nowhere { size_bytes },
                false => StoredTask::Row(payload.task().as_bytes().to_bytes()),
            });
        }
        let layout = &self.inner.layout;
        let name = layout.payloads(&self.job);
        let failed = |source| SubmitError::PayloadFile { path: layout.root().join(&name), source };
        let folder = match folder {
            Some(folder) => folder,
            None => folder.insert(PayloadFolder::create(layout.root(), name.clone()).map_err(failed)?),
        };
        Ok(StoredTask::File(folder.add(payload).map_err(failed)?))
    }
}
