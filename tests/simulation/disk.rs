//! A disk with a journal: written is not synced, and what is not synced does not survive a power cut.

use std::time::{Duration, Instant};

use trainwire::Record;

use crate::random::Random;

/// See the module. Outlives the orchestrator.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// In the log, as other processes would read it.
    pub(crate) records: Vec<Record>,
    /// How many of them are on the disk itself.
    synced: usize,
    /// Where each commit since then ends.
    commits: Vec<usize>,
    /// No room until then.
    pub(crate) full_until: Option<Instant>,
    /// The next commit fails.
    pub(crate) fails: bool,
    /// Of one commit, in milliseconds.
    pub(crate) latency_ms: u64,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// Nothing was written; again at that time.
    NoRoom(Instant),
    /// An error; whether it was written is unknown.
    Failed,
}

impl Disk {
    pub(crate) fn new(latency_ms: u64) -> Self {
        Self { latency_ms, ..Self::default() }
    }

    pub(crate) fn takes(&self, random: &mut Random) -> Duration {
        random.ms(0, self.latency_ms)
    }

    /// As SQLite in WAL mode: with an fsync, if a record asks for it, of everything before.
    pub(crate) fn commit(&mut self, now: Instant, batch: &[Record], random: &mut Random) -> Written {
        if self.full_until.is_some_and(|until| now < until) {
            return Written::NoRoom(now + Duration::from_millis(500));
        }
        if std::mem::take(&mut self.fails) {
            if random.chance(50) {
                self.write(batch);
            }
            return Written::Failed;
        }
        self.write(batch);
        if batch.iter().any(Record::must_sync) {
            self.sync();
        }
        Written::Done
    }

    /// All of it or nothing survives.
    pub(crate) fn write(&mut self, batch: &[Record]) {
        self.records.extend_from_slice(batch);
        self.commits.push(self.records.len());
    }

    pub(crate) fn sync(&mut self) {
        self.synced = self.records.len();
        self.commits.clear();
    }

    /// What was not synced is lost, or some of the last of it.
    pub(crate) fn cut_power(&mut self, random: &mut Random) {
        self.commits.insert(0, self.synced);
        let kept = random.pick(&self.commits).unwrap_or(self.synced);
        self.records.truncate(kept);
        self.sync();
    }
}
