//! Reported rows as JSON lines, one file a task, written by a thread of its own.
//!
//! No row is fsynced: metrics are for looking at, and nothing rests on them. They are in the file
//! within a second, and all of them are before anyone hears that the job has ended.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use trainwire_protocol::message::Report;

use crate::clock;
use crate::error::StartError;
use crate::events::Feed;
use crate::record::TaskNo;

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct MetricsWriter {
    orders: Option<Sender<Order>>,
    /// Tasks with a file that may be open: for the others the thread need not be woken.
    open: HashSet<TaskNo>,
    /// Reports handed over and not written yet.
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Write { task: TaskNo, path: PathBuf, attempt: u32, report: Arc<Report> },
    Close { task: TaskNo },
    EndJob { feed: Arc<Feed> },
}

impl MetricsWriter {
    pub(crate) fn start() -> Result<Self, StartError> {
        let (orders, inbox) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("trainwire-rows".to_owned())
            .spawn(move || Files::default().run(&inbox, &written))
            .map_err(|error| StartError::System { what: "thread", text: error.to_string() })?;
        Ok(Self { orders: Some(orders), open: HashSet::new(), waiting, thread: Some(thread) })
    }

    /// Appends a report's rows. Where the disk is slower than the trainers, reports are left out, and
    /// the log says so.
    pub(crate) fn write(&mut self, task: TaskNo, path: PathBuf, attempt: u32, report: Arc<Report>) {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_REPORTS_MAX {
            tracing::warn!(path = %path.display(), rows = report.times_us.len(), "the disk is too slow for all metrics; rows are left out of the file");
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.open.insert(task);
        self.send(Order::Write { task, path, attempt, report });
    }

    /// No more rows will come for this attempt.
    pub(crate) fn close(&mut self, task: TaskNo) {
        if self.open.remove(&task) {
            self.send(Order::Close { task });
        }
    }

    /// Ends the job's feed once all rows are in their files.
    pub(crate) fn end_job(&self, feed: Arc<Feed>) {
        self.send(Order::EndJob { feed });
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after `orders` is gone.
            let _ = orders.send(order);
        }
    }
}

/// Writes what is left.
impl Drop for MetricsWriter {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Files {
    open: HashMap<TaskNo, BufWriter<File>>,
}

impl Files {
    fn run(mut self, inbox: &Receiver<Order>, waiting: &AtomicUsize) {
        let mut flush_at = clock::monotonic() + FLUSH_INTERVAL;
        loop {
            let left = flush_at.saturating_duration_since(clock::monotonic());
            match inbox.recv_timeout(left) {
                Ok(Order::Write { task, path, attempt, report }) => {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    if let Err(error) = self.append(task, &path, attempt, &report) {
                        tracing::warn!(path = %path.display(), %error, "metrics cannot be written");
                        self.open.remove(&task);
                    }
                }
                Ok(Order::Close { task }) => {
                    // Dropping a BufWriter flushes it.
                    self.open.remove(&task);
                }
                Ok(Order::EndJob { feed }) => {
                    self.flush();
                    feed.end(Ok(()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if flush_at <= clock::monotonic() {
                self.flush();
                flush_at = clock::monotonic() + FLUSH_INTERVAL;
            }
        }
    }

    fn append(&mut self, task: TaskNo, path: &Path, attempt: u32, report: &Report) -> io::Result<()> {
        let file = match self.open.entry(task) {
            std::collections::hash_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                place.insert(BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?))
            }
        };
        write_rows(file, attempt, report)
    }

    fn flush(&mut self) {
        for file in self.open.values_mut() {
            if let Err(error) = file.flush() {
                tracing::warn!(%error, "metrics cannot be written");
            }
        }
    }
}

/// Appends a line for each row. Not a number and the infinities are `null`; of columns with one name
/// the last counts. `thinned` are rows the trainer left out before this one.
fn write_rows(out: &mut impl Write, attempt: u32, report: &Report) -> io::Result<()> {
    let mut columns: Vec<(usize, String)> = Vec::with_capacity(report.names.len());
    for (column, name) in report.names.iter().enumerate() {
        if !report.names[column + 1..].contains(name) {
            columns.push((column, serde_json::to_string(name)?));
        }
    }
    let mut thinned = report.thinned;
    for row in report.rows() {
        write!(out, "{{\"time_us\":{},\"attempt\":{attempt}", row.time_us)?;
        if let Some(step) = row.step {
            write!(out, ",\"step\":{step}")?;
        }
        if let Some(epoch) = row.epoch {
            out.write_all(b",\"epoch\":")?;
            serde_json::to_writer(&mut *out, &epoch)?;
        }
        out.write_all(b",\"metrics\":{")?;
        for (place, (column, name)) in columns.iter().enumerate() {
            out.write_all(if place == 0 { b"" } else { b"," })?;
            out.write_all(name.as_bytes())?;
            out.write_all(b":")?;
            serde_json::to_writer(&mut *out, &row.values.get(*column))?;
        }
        out.write_all(b"}")?;
        if std::mem::take(&mut thinned) > 0 {
            write!(out, ",\"thinned\":{}", report.thinned)?;
        }
        out.write_all(b"}\n")?;
    }
    Ok(())
}

/// Rows are in the file at most this long after they came.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// A report has at most 64 KiB: with this many the queue holds less than 256 MiB, mostly far less.
const WAITING_REPORTS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use trainwire_protocol::id::{Delivery, JobId};

    use super::*;
    use crate::record::JobNo;

    #[tokio::test]
    async fn all_rows_are_in_the_file_when_the_job_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics/a.jsonl");
        let report = Report {
            delivery: Delivery(1),
            names: ["loss".into(), "acc".into()].into(),
            times_us: vec![10, 20],
            steps: None,
            epochs: Some(vec![0.0, 1.0]),
            values: vec![0.5, f64::NAN, 0.25, 0.75],
            thinned: 3,
        };
        let mut writer = MetricsWriter::start().unwrap();
        let feed = Arc::new(Feed::new(JobNo(1), JobId::new("a").unwrap(), None));
        writer.write(TaskNo(1), path.clone(), 2, Arc::new(report));
        writer.end_job(Arc::clone(&feed));
        feed.ended().await.unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            rows,
            [
                serde_json::json!({"time_us": 10, "attempt": 2, "epoch": 0.0, "metrics": {"loss": 0.5, "acc": null}, "thinned": 3}),
                serde_json::json!({"time_us": 20, "attempt": 2, "epoch": 1.0, "metrics": {"loss": 0.25, "acc": 0.75}}),
            ]
        );
    }
}
