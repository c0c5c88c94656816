//! What happens to tasks between their submission and the driver: their part of the budget, the memory
//! they will travel from, and the disk.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use trainwire_protocol::id::JobId;

use crate::api::Inner;
use crate::budget::{Charge, Taken};
use crate::error::{OrchestratorError, SubmitError};
use crate::job::Durability;
use crate::journal::{PayloadFolder, ROW_SIZE_BYTES_MAX, StoredTask};
use crate::payload::Payload;

/// A task on its way in. Dropped before a row names its file, it takes that with it.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) payload: Payload,
    pub(crate) stored: StoredTask,
}

impl Inner {
    /// Takes tasks' part of the budget beside `charge`, moves them to where they will travel from, and
    /// writes large ones to files. What waits for the disk or copies much does so on another thread.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        job: &JobId,
        durability: Durability,
        tasks: Vec<Payload>,
        mut charge: Charge,
    ) -> Result<(Vec<Intake>, Taken), SubmitError> {
        let inline_size_max = self.config.inline_task_size_max;
        for payload in &tasks {
            charge.tasks += 1;
            charge.bytes += payload.size_bytes();
            charge.descriptors += u64::from(payload.size_bytes() > inline_size_max as u64);
        }
        let taken = self.budget.take(charge)?;
        let store = Store { inner: Arc::clone(self), job: job.clone(), durability };
        let is_work = |payload: &Payload| store.wants_file(payload) || payload.is_copied(inline_size_max);
        if !tasks.iter().any(is_work) {
            return Ok((store.take_in(tasks)?, taken));
        }
        let work = spawn_blocking(move || Ok((store.take_in(tasks)?, taken)));
        work.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(OrchestratorError::ShutDown.into()),
        })
    }
}

/// Where the tasks of a submission are kept.
struct Store {
    inner: Arc<Inner>,
    job: JobId,
    durability: Durability,
}

impl Store {
    fn wants_file(&self, payload: &Payload) -> bool {
        let durable = self.inner.layout.is_durable() && self.durability == Durability::Durable;
        durable && payload.size_bytes() > ROW_SIZE_BYTES_MAX
    }

    fn take_in(&self, tasks: Vec<Payload>) -> Result<Vec<Intake>, SubmitError> {
        let mut folder = None;
        let take = |payload: Payload| {
            let payload = payload.placed(self.inner.config.inline_task_size_max)?;
            let stored = self.store(&payload, &mut folder)?;
            Ok(Intake { payload, stored })
        };
        let taken = tasks.into_iter().map(take).collect::<Result<Vec<_>, SubmitError>>()?;
        if let Some(folder) = &folder {
            folder.sync().map_err(|source| SubmitError::PayloadFile { path: folder.path(), source })?;
        }
        Ok(taken)
    }

    fn store(
        &self,
        payload: &Payload,
        folder: &mut Option<PayloadFolder>,
    ) -> Result<StoredTask, SubmitError> {
        let size_bytes = payload.size_bytes();
        if !self.wants_file(payload) {
            let volatile = size_bytes > ROW_SIZE_BYTES_MAX || !self.inner.layout.is_durable();
            return Ok(match volatile {
                true => StoredTask::Nowhere { size_bytes },
                false => StoredTask::Row(payload.task().as_bytes().clone()),
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
