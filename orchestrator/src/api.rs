//! The orchestrator as its callers see it: start it, submit jobs, follow them, stop them.

mod look;
mod retry;
mod stacks;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot, watch};
use trainwire_protocol::id::JobId;

use crate::budget::{Budget, Charge};
use crate::config::Config;
use crate::driver::Message;
use crate::error::{BuildError, OrchestratorError, StartError, SubmitError};
use crate::events::Feed;
use crate::job::{Durability, StopReason};
use crate::journal::Reader;
use crate::layout::Layout;
use crate::outcome::JobOutcome;
use crate::record::{Seq, TaskNo};
use crate::room::Room;
use crate::slab::SlabUsage;
use crate::start;
use crate::stream::EventStream;
use crate::submission::{Job, check_all};
use crate::task_buffer::TaskBuffer;
use crate::training_task::TrainingTask;

/// Hands tasks to trainers. Cloning is cheap and gives another handle to the same orchestrator.
///
/// It runs until [`shutdown`](Self::shutdown), or until the last handle is gone; [`JobHandle`]s and
/// [`EventStream`]s count as handles. Trainers are not killed then: they go on for their job's
/// `orphan_timeout`. To end them too, [`kill`](JobHandle::kill) the jobs and await their outcomes.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    inner: Arc<Inner>,
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Jobs that an earlier orchestrator left unfinished.
    pub(crate) taken_up: Vec<JobId>,
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) budget: Arc<Budget>,
    pub(crate) room: Arc<Room>,
    pub(crate) messages: mpsc::Sender<Message>,
    /// Of the journal; `None` where it is in memory.
    pub(crate) reader: Option<Arc<Mutex<Reader>>>,
    pub(crate) shutdown: watch::Sender<bool>,
    /// Why the driver ended, once it has.
    pub(crate) stopped: watch::Receiver<Option<OrchestratorError>>,
}

impl Orchestrator {
    /// Opens the journal, takes the state folder for this process, and starts. Needs a tokio runtime
    /// with IO and time enabled, of either flavour.
    ///
    /// Jobs that an earlier orchestrator left unfinished there are taken up: trainers that went on are taken
    /// back as they are, results they finished meanwhile count, the tasks of dead ones are tried again. That
    /// takes as long as reading the journal and the bytes of unfinished tasks.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Ok(Self { inner: Arc::new(start::start(config).await?) })
    }

    /// Submits a job. When this returns the job and its tasks are in the journal, fsynced, and will
    /// be worked off. The same id with the same limits and tasks gives the job that is there. Tasks above
    /// 64 KiB are written to files first, at the speed of the disk, unless the job is
    /// [volatile](crate::Durability::Volatile).
    ///
    /// Cancelled before it returns, it may or may not have submitted the job.
    ///
    /// # Errors
    /// See [`SubmitError`]. Those that waiting can help are
    /// [backpressure](SubmitError::is_backpressure): nothing is dropped to make room.
    pub async fn submit(&self, job: Job) -> Result<JobHandle, SubmitError> {
        let (job_id, spec, tasks) = job.check()?;
        let durability = spec.durability;
        let taken = self.inner.budget.take(self.inner.charge_of(&tasks, Charge::of_job(&spec)))?;
        let slab = Inner::allocate_slab(spec.slab).await?;
        let (tasks, taken) = self.inner.take_in(&job_id, durability, tasks, slab.clone(), taken).await?;
        let (reply, answer) = oneshot::channel();
        let (job_id, spec) = (job_id.clone(), Box::new(spec));
        let submit = Message::Submit { job_id, spec, slab, tasks, taken, reply };
        match self.inner.ask(submit, answer).await? {
            Ok(feed) => Ok(self.handle(feed, durability)),
            Err((code, text)) => Err(SubmitError::Rejected { code, text }),
        }
    }

    /// Stops accepting, commits what was decided, removes the sockets and closes the journal. Trainers
    /// are left alone. Handles that wait are told [`OrchestratorError::ShutDown`].
    pub async fn shutdown(&self) {
        self.inner.shutdown.send_replace(true);
        self.inner.stopped().await;
    }
}

/// One job. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct JobHandle {
    feed: Arc<Feed>,
    inner: Arc<Inner>,
    socket: PathBuf,
    durability: Durability,
}

impl JobHandle {
    /// As submitted.
    pub fn id(&self) -> &JobId {
        &self.feed.job_id
    }

    /// Where the job's trainers connect; it exists from shortly after the submission to the job's end.
    pub fn socket_path(&self) -> &Path {
        &self.socket
    }

    /// The job's events from now on.
    pub fn events(&self) -> EventStream {
        EventStream::from_now(Arc::clone(&self.feed), Arc::clone(&self.inner))
    }

    /// The job's events after `seq`, without a gap between those that were and those that come;
    /// [`Seq::START`] for all of them. Progress is live only.
    pub fn events_since(&self, seq: Seq) -> EventStream {
        EventStream::since(Arc::clone(&self.feed), Arc::clone(&self.inner), seq)
    }

    /// Adds a task to an [open](crate::JobSpec::open) job. When this returns the task is in the journal,
    /// fsynced, and will be worked off; submissions that come while another is being written share one
    /// fsync. The same task again, with the same bytes, changes nothing, also when it has ended.
    ///
    /// ```no_run
    /// # async fn run(orchestrator: trainwire::Orchestrator, mut candidates: impl Iterator<Item = f64>)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use std::collections::BTreeMap;
    /// use trainwire::record::Record;
    /// use trainwire::{Job, TrainingTask, What};
    ///
    /// let job = Job::new("search")?.command(["python", "train.py"]).open();
    /// let job = orchestrator.submit(job).await?;
    /// let mut events = job.events();
    /// for (trial, lr) in candidates.enumerate() {
    ///     let params = BTreeMap::from([("lr", lr)]);
    ///     job.submit(TrainingTask::new(format!("trial-{trial}"), "mlp").params(&params)?).await?;
    ///     while let Some(event) = events.next().await {
    ///         if let What::Record(Record::Ended { ending, .. }) = event.what {
    ///             println!("{ending:?}"); // what the next candidate could learn from
    ///             break;
    ///         }
    ///     }
    /// }
    /// job.close().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Cancelled before it returns, it may or may not have submitted the task.
    ///
    /// # Errors
    /// `task_conflict` for a task of this id and other content; `job_closed` once the job takes no more;
    /// `job_not_open` for a job that never did. For the others see [`SubmitError`].
    pub async fn submit(&self, task: TrainingTask) -> Result<Submitted, SubmitError> {
        self.submit_all([task]).await
    }

    /// As [`submit`](Self::submit), with many tasks at a time: all are taken or none.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), for the first task that is refused.
    pub async fn submit_all(
        &self,
        tasks: impl IntoIterator<Item = TrainingTask>,
    ) -> Result<Submitted, SubmitError> {
        let tasks = check_all(tasks)?;
        let taken = self.inner.budget.take(self.inner.charge_of(&tasks, Charge::default()))?;
        let slab = self.feed.slab();
        let (tasks, taken) = self.inner.take_in(self.id(), self.durability, tasks, slab, taken).await?;
        let (reply, answer) = oneshot::channel();
        let add = Message::Add { job: self.feed.job, tasks, taken, reply };
        match self.inner.ask(add, answer).await? {
            Ok((added, existing)) => Ok(Submitted { added, existing }),
            Err((code, text)) => Err(SubmitError::Rejected { code, text }),
        }
    }

    /// Memory for the hyperparameters of a task of this job, to be filled in place: in the job's
    /// [slab](crate::JobSpec::slab) where that has room, else as [`TaskBuffer::new`]. In a slab it holds
    /// what was there before, so write all of it; it is taken until the task has ended and no trainer looks
    /// at it any more, or until the buffer is dropped.
    ///
    /// # Errors
    /// As [`TaskBuffer::new`].
    pub fn task_buffer(
        &self,
        task_id: impl Into<String>,
        model_name: impl Into<String>,
        len: usize,
    ) -> Result<TaskBuffer, BuildError> {
        let (slab, inline_size_max) = (self.feed.slab(), self.inner.config.inline_task_size_max);
        TaskBuffer::in_slab(task_id.into(), model_name.into(), len, slab.as_ref(), inline_size_max)
    }

    /// How much of the job's [slab](crate::JobSpec::slab) is in use; `None` where it has none, or has
    /// ended.
    pub fn slab_usage(&self) -> Option<SlabUsage> {
        Some(self.feed.slab()?.usage())
    }

    /// No more tasks: an [open](crate::JobSpec::open) job ends once those it has do. Until then its
    /// trainers stay, also while there is nothing to do. Journaled and fsynced when this returns. A second
    /// call changes nothing, nor does one for a job that is not open.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn close(&self) -> Result<(), OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        self.inner.ask(Message::Close { job: self.feed.job, reply }, answer).await
    }

    /// Asks for the end of all tasks: waiting ones end at once, running ones within
    /// `stop_grace + term_grace`. An open job takes no more. Returns when the stop is under way.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn stop(&self, reason: StopReason) -> Result<(), OrchestratorError> {
        self.ask_to_stop(None, reason, false).await
    }

    /// As [`stop`](Self::stop), with SIGKILL at once.
    ///
    /// # Errors
    /// The orchestrator is gone.
    pub async fn kill(&self) -> Result<(), OrchestratorError> {
        self.ask_to_stop(None, StopReason::Interrupted, true).await
    }

    /// Asks for the end of one task. One that has ended stays as it is.
    ///
    /// # Errors
    /// There is no such task, or the orchestrator is gone.
    pub async fn stop_task(&self, task_id: &str, reason: StopReason) -> Result<(), OrchestratorError> {
        let task = self.task_no(task_id)?;
        self.ask_to_stop(Some(task), reason, false).await
    }

    /// Waits for the end of all tasks and trainers, and gives what became of them.
    ///
    /// # Errors
    /// The orchestrator ended before the job did.
    pub async fn outcome(&self) -> Result<JobOutcome, OrchestratorError> {
        self.feed.ended().await?;
        Ok(self.feed.outcome())
    }

    async fn ask_to_stop(
        &self,
        task: Option<TaskNo>,
        reason: StopReason,
        kill: bool,
    ) -> Result<(), OrchestratorError> {
        let (reply, answer) = oneshot::channel();
        self.inner.ask(Message::Stop { job: self.feed.job, task, reason, kill, reply }, answer).await
    }
}

/// What became of tasks submitted to an open job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Submitted {
    /// How many were new.
    pub added: usize,
    /// How many were there already, with the same bytes.
    pub existing: usize,
}

impl Inner {
    pub(crate) fn reader(&self) -> Option<Arc<Mutex<Reader>>> {
        self.reader.clone()
    }

    async fn ask<T>(&self, message: Message, answer: oneshot::Receiver<T>) -> Result<T, OrchestratorError> {
        if self.messages.send(message).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return Ok(answer);
        }
        Err(self.stopped().await)
    }

    /// Waits for the driver's end.
    pub(crate) async fn stopped(&self) -> OrchestratorError {
        let mut stopped = self.stopped.clone();
        let error = stopped.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        // A driver that was dropped with its runtime says nothing.
        error.unwrap_or(OrchestratorError::ShutDown)
    }
}

/// The last handle is gone.
impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

#[cfg(test)]
mod tests;
