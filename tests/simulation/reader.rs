//! The independent reader: it knows the records' meaning and nothing of the code that wrote them.

use std::collections::{BTreeMap, BTreeSet};

use trainwire::Record;
use trainwire::record::{Ending, Next};

/// What somebody was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Promise {
    /// The job is in the journal, with these tasks.
    Submitted { job_id: String, task_ids: Vec<String> },
    /// Tasks of an open job are.
    Added { job_id: String, task_ids: Vec<String> },
    /// The checkpoint or result is stored.
    Stored { delivery: u64, seq: u64 },
    /// Something newer has taken its place.
    Superseded { delivery: u64, seq: u64 },
}

/// What the records say.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    jobs: BTreeMap<u64, Job>,
    tasks: BTreeMap<u64, Task>,
    deliveries: BTreeMap<u64, Delivery>,
    trainers_ended: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Job {
    job_id: String,
    ended: u32,
}

#[derive(Debug, Default)]
struct Task {
    job: u64,
    task_id: String,
    open_delivery: Option<u64>,
    /// How it ended, each time; only a requeue allows for more than one.
    ends: Vec<&'static str>,
    results: u32,
}

#[derive(Debug, Default)]
struct Delivery {
    task: u64,
    trainer: u64,
    checkpoints: BTreeSet<u64>,
    /// The result's number, if a result ended it.
    ended: Option<Option<u64>>,
}

impl Reader {
    /// Reads all, and looks at each in its place.
    pub(crate) fn read<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut reader = Self::default();
        for record in records {
            reader.take(record);
        }
        reader
    }

    fn take(&mut self, record: &Record) {
        match record {
            Record::JobSubmitted { job, spec } => {
                assert!(self.jobs.values().all(|known| known.job_id != spec.job_id), "twice: {record:?}");
                let known = self.jobs.insert(job.0, Job { job_id: spec.job_id.clone(), ended: 0 });
                assert!(known.is_none(), "a number twice: {record:?}");
            }
            Record::TaskSubmitted { task, job, task_id, .. } => {
                assert!(self.jobs.get(&job.0).is_some_and(|job| job.ended == 0), "no such job: {record:?}");
                let new = Task { job: job.0, task_id: task_id.to_string(), ..Task::default() };
                assert!(self.tasks.insert(task.0, new).is_none(), "a number twice: {record:?}");
            }
            Record::TrainerEnded { trainer, .. } => {
                assert!(self.trainers_ended.insert(trainer.0), "a trainer ended twice: {record:?}");
                let holds =
                    self.deliveries.values().find(|open| open.trainer == trainer.0 && open.ended.is_none());
                assert!(holds.is_none(), "its delivery is open: {record:?} {holds:?}");
            }
            Record::Delivered { delivery, task, trainer, .. } => {
                assert!(!self.trainers_ended.contains(&trainer.0), "to a dead trainer: {record:?}");
                let of = self.tasks.get_mut(&task.0).expect("a task");
                assert_eq!(of.open_delivery, None, "out twice: {record:?}");
                assert!(of.ends.is_empty(), "it was over: {record:?}");
                of.open_delivery = Some(*delivery);
                let new = Delivery { task: task.0, trainer: trainer.0, ..Delivery::default() };
                assert!(self.deliveries.insert(*delivery, new).is_none(), "a number twice: {record:?}");
            }
            Record::Started { delivery } | Record::Stopping { delivery, .. } | Record::Stuck { delivery } => {
                self.open(*delivery, record);
            }
            Record::Checkpointed { delivery, seq, .. } => {
                let new = self.open(*delivery, record).checkpoints.insert(*seq);
                assert!(new, "stored twice: {record:?}");
            }
            Record::Superseded { delivery, .. } => {
                let ended = self.deliveries.get(delivery).is_none_or(|known| known.ended.is_some());
                assert!(ended, "superseded while open: {record:?}");
            }
            Record::Ended { delivery, seq, ending, next, .. } => {
                let over = self.open(*delivery, record);
                over.ended = Some(*seq);
                let task = over.task;
                let of = self.tasks.get_mut(&task).expect("a task");
                of.open_delivery = None;
                let succeeded = matches!(**ending, Ending::Succeeded { .. });
                of.results += u32::from(succeeded);
                assert_eq!(succeeded, matches!(next, Next::Succeeded), "{record:?}");
                of.ends.extend(terminal(next));
            }
            Record::Closed { task, next } => {
                let of = self.tasks.get_mut(&task.0).expect("a task");
                assert_eq!(of.open_delivery, None, "it is out: {record:?}");
                assert!(of.ends.is_empty(), "it was over: {record:?}");
                of.ends.extend(terminal(next));
            }
            Record::JobEnded { job } => {
                let open = self.tasks.values().find(|task| task.job == job.0 && task.ends.is_empty());
                assert!(open.is_none(), "a task is not over: {record:?} {open:?}");
                let of = self.jobs.get_mut(&job.0).expect("a job");
                of.ended += 1;
                assert_eq!(of.ended, 1, "ended twice: {record:?}");
            }
            _ => {}
        }
    }

    fn open(&mut self, delivery: u64, record: &Record) -> &mut Delivery {
        let known = self.deliveries.get_mut(&delivery).expect("a delivery");
        assert_eq!(known.ended, None, "the delivery is over: {record:?}");
        known
    }

    /// Every promise is kept.
    pub(crate) fn check(&self, promises: &[Promise]) {
        for promise in promises {
            match promise {
                Promise::Submitted { job_id, task_ids } | Promise::Added { job_id, task_ids } => {
                    let job = self.jobs.iter().find(|(_, job)| job.job_id == *job_id);
                    let (job, _) = job.unwrap_or_else(|| panic!("lost: {promise:?}"));
                    let has = |task_id: &String| {
                        let of_it = |task: &&Task| task.job == *job && task.task_id == *task_id;
                        self.tasks.values().filter(of_it).count() == 1
                    };
                    assert!(task_ids.iter().all(has), "lost: {promise:?}");
                }
                Promise::Stored { delivery, seq } => {
                    let known = self.deliveries.get(delivery).unwrap_or_else(|| panic!("lost: {promise:?}"));
                    let stored = known.ended == Some(Some(*seq)) || known.checkpoints.contains(seq);
                    assert!(stored, "lost: {promise:?} {known:?}");
                }
                Promise::Superseded { delivery, seq } => {
                    // What is sent again is there already.
                    let passed = |known: &Delivery| known.ended.is_some() || known.checkpoints.contains(seq);
                    assert!(self.deliveries.get(delivery).is_none_or(passed), "nothing newer: {promise:?}");
                }
            }
        }
    }

    /// Everything has come to exactly one end.
    pub(crate) fn check_end(&self) {
        for task in self.tasks.values() {
            assert_eq!(task.ends.len(), 1, "not exactly one end: {task:?}");
            assert_eq!(task.results, u32::from(task.ends == ["succeeded"]), "{task:?}");
        }
        for job in self.jobs.values() {
            assert_eq!(job.ended, 1, "not over: {job:?}");
        }
    }
}

fn terminal(next: &Next) -> Option<&'static str> {
    match next {
        Next::Queued { .. } => None,
        Next::Succeeded => Some("succeeded"),
        Next::Cancelled => Some("cancelled"),
        Next::Stopped => Some("stopped"),
        Next::Dead { .. } => Some("dead"),
    }
}
