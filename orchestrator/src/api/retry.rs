//! Another chance for tasks that ended without a result.

use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use super::JobHandle;
use crate::budget::Charge;
use crate::driver::Message;
use crate::error::{OrchestratorError, SubmitError};
use crate::job::JobSpec;
use crate::outcome::TaskEnd;
use crate::payload::Payload;
use crate::record::TaskNo;
use crate::restart::read_payload;

impl JobHandle {
    /// Queues tasks again that are dead or were stopped, with new budgets: those of these ids, or with none
    /// all there are but the pruned ones. Attempts go on to be counted, work folders and the newest checkpoint
    /// are as they were. A job that had ended is there again, its trainers are started anew. When this returns it is in the journal,
    /// fsynced. Gives how many tasks wait now that did not before.
    ///
    /// # Errors
    /// `not_retryable` for a task that was named and is neither dead nor stopped; `payload_lost` where the
    /// bytes of a task are gone; `not_kept` without a state folder, which is where they would be. For the others
    /// see [`SubmitError`]. Nothing is queued then.
    pub async fn retry(&self, task_ids: &[&str]) -> Result<usize, SubmitError> {
        loop {
            let reopens = self.feed.is_ended();
            let status = self.status().await?;
            let wanted = self.retryable(task_ids)?;
            if wanted.is_empty() {
                return Ok(0);
            }
            let tasks = self.read(wanted).await?;
            let mut charge = if reopens { Charge::of_job(&status.spec) } else { Charge::default() };
            for (_, payload) in &tasks {
                charge.add(payload.charge());
            }
            let taken = self.inner.budget.take(charge)?;
            let (reply, answer) = oneshot::channel();
            let message = Message::Requeue { job: self.feed.job, reopens, tasks, taken, reply };
            match self.inner.ask(message, answer).await? {
                Ok(requeued) => return Ok(requeued),
                // It has ended, or was begun again, while its tasks were being read.
                Err(()) if !reopens => self.feed.ended().await?,
                Err(()) => {}
            }
        }
    }

    /// Changes the job's limits, also after its end: they hold for what is decided from now on, and for the
    /// attempts of a [`retry`](Self::retry). When this returns it is in the journal, fsynced.
    ///
    /// ```no_run
    /// # async fn run(job: trainwire::JobHandle) -> Result<(), trainwire::SubmitError> {
    /// job.change_limits(|limits| limits.max_failures = 3).await?;
    /// job.retry(&[]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Limits that cannot be; `not_a_limit` for a change of the id, the command, the environment and other things that
    /// make the job what it is.
    pub async fn change_limits(&self, change: impl FnOnce(&mut JobSpec)) -> Result<(), SubmitError> {
        let mut spec = JobSpec::clone(&*self.status().await?.spec);
        change(&mut spec);
        spec.validate()?;
        let (reply, answer) = oneshot::channel();
        let message = Message::Change { job: self.feed.job, spec: Box::new(spec), reply };
        let answer = self.inner.ask(message, answer).await?;
        answer.map_err(|(code, text)| SubmitError::Rejected { code, text })
    }

    fn retryable(&self, task_ids: &[&str]) -> Result<Vec<TaskNo>, SubmitError> {
        let may = |end: &TaskEnd| matches!(end, TaskEnd::Dead { .. } | TaskEnd::Stopped { .. });
        if task_ids.is_empty() {
            return Ok(self.feed.with_fold(|fold| fold.numbers(may)));
        }
        let numbers = task_ids.iter().map(|task_id| {
            let number = self.task_no(task_id)?;
            let end = self.feed.with_fold(|fold| fold.task_outcome(number)).map(|outcome| outcome.state);
            match end {
                Some(end) if may(&end) => Ok(number),
                end => {
                    let how =
                        if end.is_some() { "has ended well, or was cancelled" } else { "has not ended" };
                    let text =
                        format!("the task {task_id:?} {how}; only dead and stopped tasks are tried again");
                    Err(SubmitError::Rejected { code: "not_retryable", text })
                }
            }
        });
        numbers.collect()
    }

    /// The bytes of the tasks, from the journal.
    async fn read(&self, tasks: Vec<TaskNo>) -> Result<Vec<(TaskNo, Payload)>, SubmitError> {
        let Some(reader) = self.inner.reader() else {
            let text = "without a state folder nothing is kept of tasks that have ended; submit them again";
            return Err(SubmitError::Rejected { code: "not_kept", text: text.to_owned() });
        };
        let inner = Arc::clone(&self.inner);
        let read = tokio::task::spawn_blocking(move || {
            let one = |task: TaskNo| {
                let stored = reader.lock().unwrap_or_else(PoisonError::into_inner).bytes_of(task);
                let stored = stored.map_err(|error| {
                    SubmitError::from(OrchestratorError::Journal { text: error.to_string() })
                })?;
                let read = read_payload(stored, inner.layout.root(), &inner.config, None)?;
                let payload = read.map_err(|text| SubmitError::Rejected { code: "payload_lost", text })?;
                Ok((task, payload))
            };
            tasks.into_iter().map(one).collect()
        });
        read.await.unwrap_or(Err(OrchestratorError::ShutDown.into()))
    }
}
