//! Forgetting jobs that have ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use super::{Driver, Message};
use crate::record::{JobNo, Seq};
use crate::retention;
use crate::scheduler::Input;

/// Those that may be forgotten.
#[derive(Default)]
pub(super) struct Ended {
    /// In the order of their ends, which the wall clock need not know.
    jobs: BTreeMap<Seq, EndedJob>,
    /// When to look; set while there is a rule.
    look_at: Option<Instant>,
    /// Their folders are being measured.
    measuring: bool,
}

/// The wall clock is asked once, at the start: nothing is forgotten because it was set.
struct EndedJob {
    job: JobNo,
    /// How long ago it had ended when it was noted.
    age: Duration,
    noted: Instant,
}

impl Ended {
    /// With the time since their ends.
    fn ages(&self, now: Instant) -> impl ExactSizeIterator<Item = (JobNo, Duration)> {
        self.jobs.values().map(move |ended| {
            (ended.job, ended.age.saturating_add(now.saturating_duration_since(ended.noted)))
        })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }
}

impl Driver {
    /// Jobs that had ended before this orchestrator was started.
    pub(super) fn ended_before(&mut self, jobs: BTreeMap<Seq, (JobNo, SystemTime)>) {
        let noted = self.now.monotonic;
        let noted = |(seq, (job, at))| {
            let age = self.now.wall.duration_since(at).unwrap_or_default();
            (seq, EndedJob { job, age, noted })
        };
        self.ended.jobs = jobs.into_iter().map(noted).collect();
        self.look_for_ended_soon();
    }

    pub(super) fn job_ended(&mut self, seq: Seq, job: JobNo) {
        self.ended.jobs.insert(seq, EndedJob { job, age: Duration::ZERO, noted: self.now.monotonic });
        self.look_for_ended_soon();
    }

    /// Some of its tasks are tried again.
    pub(super) fn job_goes_on(&mut self, job: JobNo) {
        self.ended.jobs.retain(|_, ended| ended.job != job);
    }

    fn look_for_ended_soon(&mut self) {
        if self.config.retention.is_limited() && !self.ended.jobs.is_empty() {
            self.ended.look_at = Some(self.now.monotonic);
        }
    }

    pub(super) fn look_for_ended(&mut self) {
        if self.ended.look_at.is_none_or(|at| at > self.now.monotonic) {
            return;
        }
        let over = self.config.retention.over(self.ended.ages(self.now.monotonic));
        let wait = match over.len() > FORGOTTEN_PER_LOOK {
            true => SOON,
            false => self.config.retention.age.unwrap_or(INTERVAL).clamp(SOON, INTERVAL),
        };
        self.ended.look_at = Some(self.now.monotonic + wait);
        for job in over.into_iter().take(FORGOTTEN_PER_LOOK) {
            self.decide(Input::Forget { job });
        }
        if self.config.retention.bytes.is_some() && !self.ended.measuring {
            self.measure();
        }
    }

    fn measure(&mut self) {
        self.ended.measuring = true;
        let folder = |job: &JobNo| Some((*job, self.layout.job(&self.jobs.get(job)?.feed.job_id)));
        let folders: Vec<_> = self.ended.jobs.values().filter_map(|ended| folder(&ended.job)).collect();
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let measured = tokio::task::spawn_blocking(move || {
                folders.into_iter().map(|(job, folder)| (job, retention::size_of(&folder))).collect()
            });
            if let Ok(sizes) = measured.await {
                // Nobody listens once the driver has ended.
                let _ = sender.send(Message::Measured { sizes }).await;
            }
        });
    }

    /// Oldest first.
    pub(super) fn measured(&mut self, sizes: &[(JobNo, u64)]) {
        self.ended.measuring = false;
        for job in self.config.retention.too_large(sizes) {
            self.decide(Input::Forget { job });
        }
    }

    /// The journal has forgotten it.
    pub(super) fn forgotten(&mut self, job: JobNo) {
        self.ended.jobs.retain(|_, ended| ended.job != job);
        let Some(slot) = self.jobs.remove(&job) else { return };
        let job_id = &slot.feed.job_id;
        let (folder, work) = (self.layout.job(job_id), self.layout.work_of(job_id));
        let delete_work = self.config.retention.delete_work;
        tokio::task::spawn_blocking(move || retention::delete(&folder, &work, delete_work));
    }
}

/// Between two looks when nothing has ended.
const INTERVAL: Duration = Duration::from_secs(60);

/// When there is more to do.
const SOON: Duration = Duration::from_millis(10);

/// Others get their turns in between.
const FORGOTTEN_PER_LOOK: usize = 64;
