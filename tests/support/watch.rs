//! Waiting for what a job's events say, with all that was seen as evidence when it does not come.

use std::path::Path;
use std::time::Duration;

use trainwire::record::{Ending, Record, Rung};
use trainwire::{Event, EventStream, JobHandle, JobOutcome, Seq, TaskEnd, What};

/// The events of a job from its beginning.
pub struct Watch {
    job: JobHandle,
    stream: EventStream,
    pub seen: Vec<Event>,
}

impl Watch {
    pub fn new(job: &JobHandle) -> Self {
        Self { job: job.clone(), stream: job.events_since(Seq::START), seen: Vec::new() }
    }

    /// The first event from here on that `pick` takes.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            let Ok(next) = tokio::time::timeout(PATIENCE, self.stream.next()).await else {
                panic!("waited in vain; seen: {:#?}", self.seen);
            };
            let event = next.unwrap_or_else(|| panic!("the job ended without it; seen: {:#?}", self.seen));
            let picked = pick(&event);
            self.seen.push(event);
            if let Some(picked) = picked {
                return picked;
            }
        }
    }

    /// The first record from here on that `pick` takes.
    pub async fn record<T>(&mut self, mut pick: impl FnMut(&Record) -> Option<T>) -> T {
        self.until(|event| match &event.what {
            What::Record(record) => pick(record),
            _ => None,
        })
        .await
    }

    /// The first value a trainer reports under this name.
    pub async fn reported(&mut self, name: &str) -> f64 {
        self.until(|event| match &event.what {
            What::Progress(report) => {
                let column = report.names.iter().position(|known| known == name)?;
                report.values.get(column).copied()
            }
            _ => None,
        })
        .await
    }

    /// As [`Watch::reported`], of a process.
    pub async fn reported_pid(&mut self, name: &str) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "pids are small whole numbers")]
        let pid = self.reported(name).await as i32;
        pid
    }

    /// Everything to the end, and what became of the job.
    pub async fn outcome(&mut self) -> JobOutcome {
        while let Ok(Some(event)) = tokio::time::timeout(PATIENCE, self.stream.next()).await {
            self.seen.push(event);
        }
        within(self.job.outcome()).await.expect("the orchestrator lives")
    }

    /// How the job's only task ended.
    pub async fn only(&mut self) -> TaskEnd {
        let mut tasks = self.outcome().await.tasks;
        assert_eq!(tasks.len(), 1, "{:#?}", self.seen);
        tasks.remove(0).state
    }

    /// All records so far.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.seen.iter().filter_map(|event| match &event.what {
            What::Record(record) => Some(record),
            _ => None,
        })
    }

    /// How deliveries ended so far, in order.
    pub fn endings(&self) -> Vec<&Ending> {
        self.picked(|record| match record {
            Record::Ended { ending, .. } => Some(&**ending),
            _ => None,
        })
    }

    /// The stop ladder as it was climbed so far.
    pub fn rungs(&self) -> Vec<Rung> {
        self.picked(|record| match record {
            Record::Stopping { rung, .. } => Some(*rung),
            _ => None,
        })
    }

    /// The pids that connected so far.
    pub fn pids(&self) -> Vec<i32> {
        self.picked(|record| match record {
            Record::TrainerBound { pid, .. } => Some(*pid),
            _ => None,
        })
    }

    fn picked<'a, T>(&'a self, pick: impl Fn(&'a Record) -> Option<T>) -> Vec<T> {
        self.records().filter_map(pick).collect()
    }
}

/// Fails where it would hang.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
}

/// Waits until a process is no more than a zombie, whoever its parent is.
pub async fn gone(pid: i32) {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    within(async {
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Longer than anything takes, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
