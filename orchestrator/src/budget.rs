//! What submissions may take of this process: tasks, memory, open files. Running out is a typed
//! error for the one who submits, never something dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

use crate::config::Config;
use crate::error::{StartError, SubmitError};
use crate::job::JobSpec;

/// The limits, and how much of them is taken.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: Charge,
    descriptor_limit: u64,
    taken: Mutex<Charge>,
}

/// An amount of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) tasks: usize,
    pub(crate) bytes: u64,
    pub(crate) descriptors: u64,
}

impl Charge {
    /// What a job takes beside its tasks, from its submission to its end.
    pub(crate) fn of_job(spec: &JobSpec) -> Self {
        let descriptors = descriptors_of(spec) + u64::from(spec.slab.is_some());
        Self { tasks: 0, bytes: spec.slab.unwrap_or(0), descriptors }
    }
}

impl Charge {
    pub(crate) fn add(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.bytes += other.bytes;
        self.descriptors += other.descriptors;
    }
}

impl Budget {
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let (descriptor_limit, _) = getrlimit(Resource::RLIMIT_NOFILE)
            .map_err(|error| StartError::System { what: "limit of open files", text: error.to_string() })?;
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        let own = open + DESCRIPTORS_RESERVED;
        let needed = own + descriptors_of(&JobSpec::default());
        if descriptor_limit < needed {
            return Err(StartError::Descriptors { limit: descriptor_limit, needed });
        }
        let limit = Charge {
            tasks: config.unfinished_tasks_max,
            bytes: config.unfinished_bytes_max,
            descriptors: descriptor_limit - own,
        };
        Ok(Self { limit, descriptor_limit, taken: Mutex::default() })
    }

    /// Takes all of it or nothing.
    pub(crate) fn take(self: &Arc<Self>, charge: Charge) -> Result<Taken, SubmitError> {
        let mut taken = self.lock();
        if charge.tasks > self.limit.tasks.saturating_sub(taken.tasks) {
            let (unfinished, submitted, limit) = (taken.tasks, charge.tasks, self.limit.tasks);
            return Err(SubmitError::QueueFull { unfinished, submitted, limit });
        }
        if charge.bytes > self.limit.bytes.saturating_sub(taken.bytes) {
            let (held, submitted, limit) = (taken.bytes, charge.bytes, self.limit.bytes);
            return Err(SubmitError::BytesFull { held, submitted, limit });
        }
        let free = self.limit.descriptors.saturating_sub(taken.descriptors);
        if charge.descriptors > free {
            let (needed, limit) = (charge.descriptors, self.descriptor_limit);
            return Err(SubmitError::Descriptors { needed, free, limit });
        }
        taken.tasks += charge.tasks;
        taken.bytes += charge.bytes;
        taken.descriptors += charge.descriptors;
        Ok(Taken { budget: Arc::clone(self), charge })
    }

    /// Takes what was taken before a restart, whatever the limits are now.
    pub(crate) fn restore(&self, charge: Charge) {
        let mut taken = self.lock();
        taken.tasks += charge.tasks;
        taken.bytes += charge.bytes;
        taken.descriptors += charge.descriptors;
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, charge: Charge) {
        let mut taken = self.lock();
        taken.tasks = taken.tasks.saturating_sub(charge.tasks);
        taken.bytes = taken.bytes.saturating_sub(charge.bytes);
        taken.descriptors = taken.descriptors.saturating_sub(charge.descriptors);
    }

    fn lock(&self) -> MutexGuard<'_, Charge> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Taken for a submission, and given back with it unless the job is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct Taken {
    budget: Arc<Budget>,
    charge: Charge,
}

impl Taken {
    /// A part of it is not needed after all.
    pub(crate) fn give_back(&mut self, part: Charge) {
        self.budget.give_back(part);
        self.charge.tasks = self.charge.tasks.saturating_sub(part.tasks);
        self.charge.bytes = self.charge.bytes.saturating_sub(part.bytes);
        self.charge.descriptors = self.charge.descriptors.saturating_sub(part.descriptors);
    }

    /// Takes what turned out to be needed instead of what was thought to be.
    pub(crate) fn settle(&mut self, thought: Charge, needed: Charge) -> Result<(), SubmitError> {
        if thought == needed {
            return Ok(());
        }
        self.give_back(thought);
        let more = self.budget.take(needed)?;
        self.charge.tasks += needed.tasks;
        self.charge.bytes += needed.bytes;
        self.charge.descriptors += needed.descriptors;
        more.keep();
        Ok(())
    }

    /// The job or tasks are there: each task gives back its part as it ends.
    pub(crate) fn keep(mut self) {
        self.charge = Charge::default();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.give_back(self.charge);
    }
}

/// What a job may have open at a time, its large tasks aside: the listener and one connection that is
/// being answered, and for each trainer its connection, its pidfd, its metrics and, of one that is started, its log.
fn descriptors_of(spec: &JobSpec) -> u64 {
    2 + (3 + u64::from(!spec.attach)) * u64::from(spec.trainers)
}

/// The journal, the runtime, a process being started, and what the embedding program opens meanwhile.
const DESCRIPTORS_RESERVED: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_refused_by_name_and_takes_nothing() {
        let config = Config { unfinished_tasks_max: 10, unfinished_bytes_max: 100, ..Config::default() };
        let budget = Arc::new(Budget::new(&config).unwrap());
        let charge = Charge { tasks: 6, bytes: 60, descriptors: 1 };
        let taken = budget.take(charge).unwrap();
        assert_eq!(budget.take(Charge { tasks: 5, ..Charge::default() }).unwrap_err().code(), "queue_full");
        assert_eq!(budget.take(Charge { bytes: 41, ..Charge::default() }).unwrap_err().code(), "bytes_full");
        let all_descriptors = Charge { descriptors: u64::MAX, ..Charge::default() };
        let error = budget.take(all_descriptors).unwrap_err();
        assert_eq!(error.code(), "descriptors_full");
        assert!(error.is_backpressure());
        drop(taken);
        assert_eq!(*budget.lock(), Charge::default());
        let mut taken = budget.take(charge).unwrap();
        taken.give_back(Charge { tasks: 2, bytes: 20, descriptors: 1 });
        assert_eq!(*budget.lock(), Charge { tasks: 4, bytes: 40, descriptors: 0 });
        drop(taken);
        assert_eq!(*budget.lock(), Charge::default());
        budget.take(charge).unwrap().keep();
        assert_eq!(*budget.lock(), charge);
    }
}
