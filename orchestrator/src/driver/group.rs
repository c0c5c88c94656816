//! Records that are committed together, and what follows once they are.

use std::sync::Arc;

use trainwire_protocol::id::JobId;
use trainwire_protocol::message::Report;

use super::attribute::attribute;
use super::last_row::LastRow;
use super::{Driver, JobSlot};
use crate::budget::Charge;
use crate::clock;
use crate::discard::discard;
use crate::events::{Feed, without_token};
use crate::intake::Intake;
use crate::job::JobSpec;
use crate::journal::{Batch, Commit, Entry};
use crate::payload::Payload;
use crate::planted;
use crate::record::{DeliveryNo, Ending, JobNo, LastProgress, Next, Record, Seq, TaskNo};
use crate::scheduler::{ConnectionNo, Decision, Effect, Input};
use crate::slab::JobSlab;
use crate::spool;
use crate::text::Escaped;

/// See the module.
#[derive(Default)]
pub(super) struct Group {
    batch: Batch,
    /// In the order in which they were decided.
    acts: Vec<Act>,
}

enum Act {
    /// The next entry of the batch is an event now.
    Publish,
    Progress {
        task: TaskNo,
        attempt: u32,
        report: Report,
    },
    Perform(Effect),
    Tell(Tell),
}

/// Gives an answer to who asked.
pub(super) type Tell = Box<dyn FnOnce() + Send>;

impl Group {
    /// The disk is far behind: no more is taken until it has caught up.
    pub(super) fn is_full(&self) -> bool {
        self.acts.len() >= ACTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acts.is_empty()
    }
}

impl Driver {
    /// Decides on tasks that come in, and keeps those that are taken. Gives back the
    /// others: they are there already, or were refused.
    pub(super) fn take_in(&mut self, input: Input, tasks: Vec<Intake>) -> Vec<Intake> {
        let decided_before = self.collecting.batch.entries.len();
        self.decide(input);
        let batch = &mut self.collecting.batch;
        let taken = batch.entries.iter().skip(decided_before).filter_map(|entry| match &entry.record {
            Record::TaskSubmitted { task, task_id, .. } => Some((*task, task_id)),
            _ => None,
        });
        // In the order of the tasks.
        let mut taken = taken.peekable();
        let mut others = Vec::new();
        for intake in tasks {
            let task_id = intake.payload.task().task_id();
            let Some((task, _)) = taken.next_if(|(_, taken_id)| ***taken_id == *task_id) else {
                others.push(intake);
                continue;
            };
            if self.writer.is_some() {
                batch.payloads.push((task, intake.stored));
            }
            self.payloads.insert(task, intake.payload);
        }
        others
    }

    /// Decides on another chance, and gives the tasks that have it.
    pub(super) fn decide_requeue(&mut self, input: Input) -> Vec<TaskNo> {
        let decided_before = self.collecting.batch.entries.len();
        self.decide(input);
        let decided = self.collecting.batch.entries.iter().skip(decided_before);
        let requeued = decided.filter_map(|entry| match &entry.record {
            Record::Requeued { task } => Some(*task),
            _ => None,
        });
        requeued.collect()
    }

    pub(super) fn decide(&mut self, input: Input) {
        let decision = self.scheduler.handle(self.scheduler_now(), input);
        self.decided(decision);
    }

    pub(super) fn decided(&mut self, decision: Decision) {
        for mut record in decision.records {
            match &mut record {
                Record::Delivered { delivery, trainer, log_from, .. } => {
                    *log_from = self.mark_log(*trainer, *delivery);
                }
                Record::Ended { delivery, ending, next, last_progress, waits_since, .. } => {
                    self.add_evidence(*delivery, ending, next, last_progress);
                    if matches!(next, Next::Queued { after } if !after.is_zero()) {
                        *waits_since = clock::uptime().map(Box::new);
                    }
                }
                _ => {}
            }
            if let Record::TrainerBound { trainer, attached: true, start_ticks, boot_id, .. } = &mut record
                && let Some(identity) = self.watch_attached(*trainer)
            {
                *start_ticks = Some(identity.start_time_ticks);
                *boot_id = Some(clock::boot_id_text(identity.boot_id));
            }
            self.seq = Seq(self.seq.0 + 1);
            if let Record::JobSubmitted { job, spec } = &record {
                self.open_job(*job, spec);
            }
            if let Record::LimitsChanged { job, spec } = &record {
                self.change_limits(*job, spec);
            }
            let (job, task, attempt) = attribute(self.scheduler.state(), &record);
            let entry = Entry { seq: self.seq, at: self.now.wall, job, task, attempt, record };
            self.collecting.batch.entries.push(entry);
            self.collecting.acts.push(Act::Publish);
        }
        self.collecting.acts.extend(decision.effects.into_iter().map(Act::Perform));
    }

    /// What the Scheduler does not know of an attempt that did not succeed.
    fn add_evidence(
        &mut self,
        delivery: DeliveryNo,
        ending: &Ending,
        next: &mut Next,
        last_progress: &mut Option<Box<LastProgress>>,
    ) {
        let last_row = self.last_rows.remove(&delivery);
        if !matches!(ending, Ending::Succeeded { .. }) {
            *last_progress = last_row.map(|row| Box::new(row.into()));
        }
        if let Next::Dead { log_tail, .. } = next
            && log_tail.is_empty()
            && let Some(delivered) = self.scheduler.state().delivery(delivery)
        {
            *log_tail = self.log_tail_of(delivered.trainer, delivery).into();
        }
    }

    /// Rows count only for the delivery the connection's trainer has: late ones change nothing.
    pub(super) fn report(&mut self, connection: ConnectionNo, report: Report) {
        // Nor on a full disk, where they would pile up here.
        if self.room.is_exhausted() {
            return;
        }
        let state = self.scheduler.state();
        let Some((task, holder)) = state
            .open_delivery(report.delivery.0)
            .and_then(|(number, task)| Some((number, task.state.holder()?)))
        else {
            return;
        };
        let Some(delivered) = state.delivery(report.delivery.0) else { return };
        if self.scheduler.trainer_of(connection) == Some(holder.trainer) {
            if let Some(row) = LastRow::of(&report) {
                self.last_rows.insert(report.delivery.0, row);
            }
            self.collecting.acts.push(Act::Progress { task, attempt: delivered.attempt, report });
        }
    }

    /// Answers a question once everything the answer rests on is committed.
    pub(super) fn tell(&mut self, tell: Tell) {
        self.collecting.acts.push(Act::Tell(tell));
    }

    pub(super) fn commit_or_perform(&mut self) {
        if self.committing.is_some() || self.collecting.acts.is_empty() {
            return;
        }
        if planted::is("answered-before-the-commit") {
            self.answer_early();
        }
        let mut group = std::mem::replace(&mut self.collecting, std::mem::take(&mut self.spare));
        match &self.writer {
            Some(writer) if !group.batch.entries.is_empty() => {
                writer.commit(std::mem::take(&mut group.batch));
                self.committing = Some(group);
            }
            _ => self.perform_all(group),
        }
    }

    /// A planted fault.
    fn answer_early(&mut self) {
        let is_answer =
            |act: &mut Act| matches!(act, Act::Perform(Effect::Ack { .. } | Effect::Answer { .. }));
        let acts = self.collecting.acts.extract_if(.., is_answer).collect();
        self.perform_all(Group { acts, ..Group::default() });
        self.flush();
    }

    /// The writer has made the batch as durable as it must be, or has no room for it yet.
    pub(super) fn committed(&mut self, commit: Commit) {
        let Commit::Done(batch) = commit else { return self.room.set_exhausted(true) };
        self.room.set_exhausted(false);
        if let Some(mut group) = self.committing.take() {
            group.batch = batch;
            self.perform_all(group);
        }
    }

    fn perform_all(&mut self, mut group: Group) {
        let mut entries = group.batch.entries.drain(..);
        for act in group.acts.drain(..) {
            match act {
                Act::Publish => {
                    if let Some(entry) = entries.next() {
                        self.publish(entry);
                    }
                }
                Act::Progress { task, attempt, report } => self.publish_progress(task, attempt, report),
                Act::Perform(effect) => self.perform(effect),
                Act::Tell(tell) => tell(),
            }
        }
        drop(entries);
        group.batch.payloads.clear();
        if group.acts.capacity().max(group.batch.entries.capacity()) <= SPARE_ACTS_MAX {
            self.spare = group;
        }
    }

    fn publish(&mut self, entry: Entry) {
        if let Record::JobForgotten { job, .. } = entry.record {
            return self.forgotten(job);
        }
        let Some(job) = entry.job else { return };
        let Some(slot) = self.jobs.get(&job) else { return };
        slot.trace(&entry);
        let feed = Arc::clone(&slot.feed);
        match &entry.record {
            Record::Ended { delivery, next, .. } => {
                self.forget_delivery(*delivery);
                if let (Some(task), false) = (entry.task, matches!(next, Next::Queued { .. })) {
                    self.release_task(task);
                }
            }
            Record::Closed { task, .. } => self.release_task(*task),
            Record::JobEnded { .. } => {
                let seq = entry.seq;
                feed.publish(entry);
                self.budget.give_back(Charge::of_job(&slot.spec));
                self.job_ended(seq, job);
                if let Some(folder) = self.layout.spool(&feed.job_id) {
                    tokio::task::spawn_blocking(move || spool::clear(&folder));
                }
                if let Some(slab) = self.jobs.get_mut(&job).and_then(|slot| slot.slab.take()) {
                    slab.close();
                    discard(slab);
                }
                match &self.metrics {
                    Some(metrics) => metrics.end_job(feed),
                    None => feed.end(Ok(())),
                }
                return;
            }
            _ => {}
        }
        feed.publish(entry);
    }

    fn publish_progress(&mut self, task_no: TaskNo, attempt: u32, report: Report) {
        let Some(task) = self.scheduler.state().task(task_no) else { return };
        let Some(slot) = self.jobs.get(&task.job) else { return };
        // One for all: the file and whoever listens.
        let report = Arc::new(report);
        if let Some(metrics) = &mut self.metrics {
            let path = self.layout.metrics(&slot.feed.job_id, task_no, &task.task_id);
            metrics.write(task_no, path, attempt, Arc::clone(&report));
        }
        slot.feed.publish_progress(self.now.wall, Some(Arc::clone(&task.task_id)), attempt, report);
    }

    fn open_job(&mut self, job: JobNo, spec: &Arc<JobSpec>) {
        // The Scheduler takes no other.
        let Ok(job_id) = JobId::new(&spec.job_id) else { return };
        let kept_max = self.writer.is_none().then_some(self.config.volatile_records_max);
        let slab = self.slabs.arriving.take();
        self.open_slot(Arc::new(Feed::new(job, job_id, kept_max)), Arc::clone(spec), slab);
    }

    pub(super) fn open_slot(&mut self, feed: Arc<Feed>, spec: Arc<JobSpec>, slab: Option<Arc<JobSlab>>) {
        if let Some(slab) = &slab {
            // Each job has one at most, and gets it here.
            let _ = feed.slab.set(Arc::downgrade(slab));
        }
        self.jobs.insert(feed.job, JobSlot { feed, spec, slab });
    }

    /// A job that had ended goes on. Without a slab: its tasks have memory of their own.
    pub(super) fn reopen_job(&mut self, job: JobNo) {
        self.job_goes_on(job);
        let Some(spec) = self.scheduler.state().job(job).map(|job| Arc::clone(&job.spec)) else { return };
        let Some(slot) = self.jobs.get_mut(&job) else { return };
        slot.feed.reopen();
        slot.spec = spec;
    }

    /// What the job takes of the budget changes with its limits.
    fn change_limits(&mut self, job: JobNo, spec: &Arc<JobSpec>) {
        let ended = self.scheduler.state().job(job).is_none_or(|job| job.ended);
        let Some(slot) = self.jobs.get_mut(&job) else { return };
        let before = std::mem::replace(&mut slot.spec, Arc::clone(spec));
        if !ended {
            self.budget.give_back(Charge::of_job(&before));
            self.budget.restore(Charge::of_job(&slot.spec));
        }
    }

    fn release_task(&mut self, task: TaskNo) {
        if let Some(payload) = self.payloads.remove(&task) {
            self.budget.give_back(payload.charge());
            if let Payload::Sealed { .. } = payload {
                discard(payload);
            }
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.close(task);
        }
    }
}

impl JobSlot {
    /// Logs a record inside the spans of its job, task and delivery.
    fn trace(&self, entry: &Entry) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let _job = tracing::info_span!("job", id = %self.feed.job_id).entered();
        let task_id = entry.task.and_then(|task| self.feed.with_fold(|fold| fold.task_id(task).cloned()));
        let _task = task_id.map(|id| tracing::info_span!("task", id = %Escaped(&id)).entered());
        let _delivery = entry.attempt.map(|attempt| tracing::info_span!("delivery", attempt).entered());
        let record = serde_json::to_string(&without_token(entry.record.clone())).unwrap_or_default();
        tracing::debug!(seq = entry.seq.0, "{}", Escaped(&record));
    }
}

/// More memory than this is given back: a crowd that comes at once is rare.
const SPARE_ACTS_MAX: usize = 512;

/// Some ten thousand tasks' worth.
const ACTS_MAX: usize = 65_536;
