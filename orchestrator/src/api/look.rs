//! Looking at jobs without changing them.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;
use trainwire_protocol::id::JobId;

use super::{JobHandle, Orchestrator};
use crate::driver::{Message, Query};
use crate::error::OrchestratorError;
use crate::events::Feed;
use crate::job::Durability;
use crate::outcome::{TaskEnd, TaskOutcome, TaskResult, Unfilled};
use crate::record::TaskNo;
use crate::status::{AttemptLog, JobStatus, SlotStatus, TaskCounts, TaskStatus};

impl Orchestrator {
    /// All jobs of the journal, those that have ended too, in the order of their submission.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn jobs(&self) -> Result<Vec<JobHandle>, OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        let found = self.inner.ask(Message::Ask(Query::Jobs { reply }), answer).await?;
        Ok(found.into_iter().map(|(feed, durability)| self.handle(feed, durability)).collect())
    }

    /// The jobs that an earlier orchestrator had left unfinished and this one took up at its start, in the order
    /// of their submission. They may have ended since.
    pub fn taken_up(&self) -> &[JobId] {
        &self.inner.taken_up
    }

    /// The job of this id, if there ever was one.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn job(&self, job_id: &JobId) -> Result<Option<JobHandle>, OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        let query = Query::Job { job_id: job_id.clone(), reply };
        let found = self.inner.ask(Message::Ask(query), answer).await?;
        Ok(found.map(|(feed, durability)| self.handle(feed, durability)))
    }

    /// Who has which of the [slots](crate::Config::slots).
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn slots(&self) -> Result<Vec<SlotStatus>, OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        self.inner.ask(Message::Ask(Query::Slots { reply }), answer).await
    }

    pub(super) fn handle(&self, feed: Arc<Feed>, durability: Durability) -> JobHandle {
        let socket = self.inner.layout.socket(&feed.job_id);
        JobHandle { socket, feed, inner: Arc::clone(&self.inner), durability }
    }
}

impl JobHandle {
    /// How the job stands now, and what its next task waits for.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn status(&self) -> Result<JobStatus, OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        let query = Query::Status { feed: Arc::clone(&self.feed), reply };
        let status = self.inner.ask(Message::Ask(query), answer).await?;
        // Jobs are never forgotten while a handle can name them.
        status.ok_or(OrchestratorError::ShutDown)
    }

    /// How many tasks stand where, without asking the orchestrator.
    pub fn counts(&self) -> TaskCounts {
        self.feed.with_fold(|fold| fold.counts())
    }

    /// How the tasks of these places stand, counted from 0 in the order of their submission. A look at
    /// many takes the orchestrator's time: ask for a thousand or so at a time.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn tasks(&self, places: Range<usize>) -> Result<Vec<TaskStatus>, OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        let query = Query::Tasks { job: self.feed.job, range: places, reply };
        self.inner.ask(Message::Ask(query), answer).await
    }

    /// How one task stands.
    ///
    /// # Errors
    /// There is no such task, or the orchestrator is gone.
    pub async fn task(&self, task_id: &str) -> Result<TaskStatus, OrchestratorError> {
        let task = self.task_no(task_id)?;
        let (reply, answer) = oneshot::channel();
        let query = Query::Task { job: self.feed.job, task, reply };
        let status = self.inner.ask(Message::Ask(query), answer).await?;
        status.ok_or_else(|| self.no_such_task(task_id))
    }

    /// What came of the tasks of these places so far, with what they were given and what they have reported,
    /// which is read from the disk.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn results(&self, places: Range<usize>) -> Result<Vec<TaskResult>, OrchestratorError> {
        let rows = self.feed.with_fold(|fold| fold.results(places));
        let (inner, feed) = (Arc::clone(&self.inner), Arc::clone(&self.feed));
        let read = tokio::task::spawn_blocking(move || {
            let fill = |row: Unfilled| {
                // For each row anew: event streams read with it, too.
                let reader =
                    inner.reader.as_ref().map(|of| of.lock().unwrap_or_else(PoisonError::into_inner));
                row.fill(&inner.layout, &feed.job_id, reader.as_deref())
            };
            rows.into_iter().map(fill).collect()
        });
        read.await.map_err(|_| OrchestratorError::ShutDown)
    }

    /// What became of a task; `None` while it has not ended.
    ///
    /// # Errors
    /// There is no such task.
    pub fn task_outcome(&self, task_id: &str) -> Result<Option<TaskOutcome>, OrchestratorError> {
        let task = self.task_no(task_id)?;
        Ok(self.feed.with_fold(|fold| fold.task_outcome(task)))
    }

    /// Waits for the end of one task, and gives what became of it.
    ///
    /// # Errors
    /// There is no such task, or the orchestrator ended before it did.
    pub async fn task_ended(&self, task_id: &str) -> Result<TaskOutcome, OrchestratorError> {
        let mut events = self.events();
        loop {
            if let Some(outcome) = self.task_outcome(task_id)? {
                return Ok(outcome);
            }
            if events.next().await.is_none() {
                self.feed.ended().await?;
                return self.task_outcome(task_id)?.ok_or(OrchestratorError::ShutDown);
            }
        }
    }

    /// Tasks that ran out of budget, with their evidence, in the order of their submission.
    pub fn dead_letters(&self) -> Vec<TaskOutcome> {
        self.feed.with_fold(|fold| fold.outcomes(|end| matches!(end, TaskEnd::Dead { .. })))
    }

    /// The output of a task's attempts, oldest first: where in which file it is.
    ///
    /// # Errors
    /// There is no such task.
    pub fn task_logs(&self, task_id: &str) -> Result<Vec<AttemptLog>, OrchestratorError> {
        let task = self.task_no(task_id)?;
        Ok(self.feed.with_fold(|fold| fold.logs(task)))
    }

    pub(super) fn task_no(&self, task_id: &str) -> Result<TaskNo, OrchestratorError> {
        let task = self.feed.with_fold(|fold| fold.task_no(task_id));
        task.ok_or_else(|| self.no_such_task(task_id))
    }

    fn no_such_task(&self, task_id: &str) -> OrchestratorError {
        OrchestratorError::NoSuchTask { job_id: self.id().to_string(), task_id: task_id.to_owned() }
    }
}
