//! Events: committed records and reported progress, to whoever listens, without a gap between what
//! was and what comes.
//!
//! ```text
//!   seq   1 … 41 │ 42 43 …                       a stream since 0 reads 1 … 41 from the journal,
//!   ─────────────┼──────────►                    then 42, 43, … live: publishing and subscribing
//!   in the journal │ live to those listening     happen under one lock, so no record is between
//! ```
//!
//! Those who listen share one ring a job. Who falls out of it reads the records from the journal, and
//! loses only progress, of which it is told how much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::{Notify, broadcast};
use trainwire_protocol::id::JobId;
use trainwire_protocol::message::Report;

use crate::clock;
use crate::error::OrchestratorError;
use crate::journal::Entry;
use crate::outcome::{Fold, JobOutcome};
use crate::record::{JobNo, Record, Seq, TaskNo};
use crate::slab::JobSlab;

/// Something that happened in a job.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Of the record; of progress that of the record before it. A stream can go on from here.
    pub seq: Seq,
    /// When it was decided.
    pub at: SystemTime,
    /// Whose.
    pub job: JobId,
    /// The task's id, where it is about one.
    pub task: Option<Arc<str>>,
    /// 1, 2, …, where it is about a delivery.
    pub attempt: Option<u32>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A fact, committed.
    Record(Record),
    /// A batch of rows of metrics; [`Report::rows`] gives them one by one, with names, step, epoch and
    /// time. Not in the journal: only those who listen get them.
    Progress(Arc<Report>),
    /// This stream fell behind.
    Lagged {
        /// Reports it does not get.
        progress_dropped: u64,
        /// Records are missing too. Only with a journal in memory, which forgets the oldest.
        records_lost: bool,
    },
}

/// A job as its handles, its streams and the driver share it.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) job: JobNo,
    pub(crate) job_id: JobId,
    live: Mutex<Live>,
    /// Told when `end` is set.
    ended: Notify,
    records_kept_max: Option<usize>,
    /// Of a job that has one, until the job ends.
    pub(crate) slab: OnceLock<Weak<JobSlab>>,
}

/// Why nothing more will come.
pub(crate) type End = Result<(), OrchestratorError>;

#[derive(Debug, Default)]
struct Live {
    /// The last record that was published.
    published: Seq,
    /// Up to here nothing more follows from a record: [`Feed::end`] was called.
    settled: Seq,
    /// Reports that were published, to tell those who fall behind how many they missed.
    progress_total: u64,
    /// `None` until somebody listens: 10,000 jobs nobody listens to need no rings.
    ring: Option<broadcast::Sender<Arc<Event>>>,
    /// With a journal in memory: the newest records.
    kept: VecDeque<Kept>,
    /// The last record that was dropped from `kept`.
    forgotten: Seq,
    fold: Fold,
    /// Set when nothing more will come.
    end: Option<Box<End>>,
}

/// An [`Entry`] of this job.
#[derive(Debug)]
struct Kept {
    seq: Seq,
    /// Microseconds, as precise as it was decided.
    at_us: i64,
    task: Option<TaskNo>,
    attempt: Option<u32>,
    record: Record,
}

/// A place in the stream of a job's events.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) ring: broadcast::Receiver<Arc<Event>>,
    /// What `ring` begins after.
    pub(crate) published: Seq,
    pub(crate) progress_total: u64,
}

impl Feed {
    /// `records_kept_max` is set where there is no journal to read from.
    pub(crate) fn new(job: JobNo, job_id: JobId, records_kept_max: Option<usize>) -> Self {
        Self {
            job,
            job_id,
            live: Mutex::default(),
            ended: Notify::new(),
            records_kept_max,
            slab: OnceLock::new(),
        }
    }

    /// The job's slab, where it has one and has not ended.
    pub(crate) fn slab(&self) -> Option<Arc<JobSlab>> {
        self.slab.get()?.upgrade()
    }

    /// Publishes a committed record.
    pub(crate) fn publish(&self, entry: Entry) {
        let mut live = self.lock();
        live.published = entry.seq;
        live.fold.apply(&entry);
        if live.listened_to() {
            let event = Arc::new(self.event(&live, entry.clone()));
            live.send(event);
        }
        if let Some(max) = self.records_kept_max {
            if live.kept.len() >= max
                && let Some(oldest) = live.kept.pop_front()
            {
                live.forgotten = oldest.seq;
            }
            // A little at a time: most jobs have a handful of records.
            if live.kept.len() == live.kept.capacity() {
                let more = (live.kept.len() / 2).max(RECORDS_OF_A_START);
                live.kept.reserve_exact(more);
            }
            let Entry { seq, at, task, attempt, record, .. } = entry;
            live.kept.push_back(Kept { seq, at_us: clock::to_micros(at), task, attempt, record });
        }
    }

    /// Publishes rows of metrics.
    pub(crate) fn publish_progress(
        &self,
        at: SystemTime,
        task: Option<Arc<str>>,
        attempt: u32,
        report: Arc<Report>,
    ) {
        let mut live = self.lock();
        live.progress_total += 1;
        if !live.listened_to() {
            return;
        }
        let what = What::Progress(report);
        let event =
            Event { seq: live.published, at, job: self.job_id.clone(), task, attempt: Some(attempt), what };
        live.send(Arc::new(event));
    }

    /// Nothing more will come. The first call counts.
    pub(crate) fn end(&self, end: End) {
        let mut live = self.lock();
        live.settled = live.published;
        live.end.get_or_insert_with(|| Box::new(end));
        // Those who listen get what is in the ring, then its end.
        live.ring = None;
        drop(live);
        self.ended.notify_waiters();
    }

    /// The job goes on after its end: some of its tasks are tried again.
    pub(crate) fn reopen(&self) {
        self.lock().end = None;
    }

    /// Whether nothing more will come, unless it is reopened.
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Whether this is the last record there is.
    pub(crate) fn is_last(&self, seq: Seq) -> bool {
        self.lock().published <= seq
    }

    /// Waits until a job that has ended with this record is over in every respect, its metrics included. It may
    /// go on by then.
    pub(crate) async fn settled(&self, seq: Seq) {
        loop {
            // Before the look: what comes after it is told.
            let ended = self.ended.notified();
            if self.lock().settled >= seq {
                return;
            }
            ended.await;
        }
    }

    /// Waits for [`Feed::end`].
    pub(crate) async fn ended(&self) -> End {
        loop {
            // Before the look: what comes after it is told.
            let ended = self.ended.notified();
            if let Some(end) = &self.lock().end {
                return (**end).clone();
            }
            ended.await;
        }
    }

    pub(crate) fn outcome(&self) -> JobOutcome {
        self.lock().fold.outcome()
    }

    pub(crate) fn with_fold<T>(&self, look: impl FnOnce(&Fold) -> T) -> T {
        look(&self.lock().fold)
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let mut live = self.lock();
        let (published, progress_total) = (live.published, live.progress_total);
        let ring = if live.end.is_some() {
            broadcast::channel(1).1
        } else {
            live.ring.get_or_insert_with(|| broadcast::Sender::new(RING_EVENTS)).subscribe()
        };
        Subscription { ring, published, progress_total }
    }

    /// With a journal in memory: the records after `since`, and whether older ones are missing.
    pub(crate) fn kept_since(&self, since: Seq, limit: usize) -> (Vec<Event>, bool) {
        let live = self.lock();
        let first = live.kept.partition_point(|entry| entry.seq <= since);
        let events = live.kept.range(first..).take(limit).map(|kept| self.event(&live, self.entry(kept)));
        (events.collect(), since < live.forgotten)
    }

    /// Records read from the journal, as events.
    pub(crate) fn events_of(&self, entries: Vec<Entry>) -> Vec<Event> {
        let live = self.lock();
        entries.into_iter().map(|entry| self.event(&live, entry)).collect()
    }

    fn entry(&self, kept: &Kept) -> Entry {
        let Kept { seq, at_us, task, attempt, ref record } = *kept;
        let at = clock::from_micros(at_us);
        Entry { seq, at, job: Some(self.job), task, attempt, record: record.clone() }
    }

    fn event(&self, live: &Live, entry: Entry) -> Event {
        let task = entry.task.and_then(|task| live.fold.task_id(task)).cloned();
        let Entry { seq, at, attempt, record, .. } = entry;
        let record = without_token(record);
        Event { seq, at, job: self.job_id.clone(), task, attempt, what: What::Record(record) }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // Each change leaves it whole, so a panic elsewhere does not make it wrong.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn listened_to(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.receiver_count() > 0)
    }

    fn send(&self, event: Arc<Event>) {
        if let Some(ring) = &self.ring {
            // An error says that nobody listens any more.
            let _ = ring.send(event);
        }
    }
}

/// A token stays between the journal and the trainer's environment: events are shown and logged.
pub(crate) fn without_token(mut record: Record) -> Record {
    if let Record::TrainerSpawning { token, .. } = &mut record {
        token.clear();
    }
    record
}

/// A job, its task, a trainer, and the task's delivery and start.
const RECORDS_OF_A_START: usize = 5;

/// Events one listener can be behind before it has to read the journal.
const RING_EVENTS: usize = 1_024;
