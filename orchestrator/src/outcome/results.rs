//! A job's results: a row a task, with what it was given and what it has reported. Put together from three places:
//! the records (state, attempts, result), the bytes of the tasks (parameters), and the files of reported rows.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use trainwire_protocol::id::JobId;
use trainwire_protocol::task::VerifiedTask;

use super::{Fold, Folding, TaskEnd};
use crate::journal::{Reader, StoredBytes};
use crate::layout::Layout;
use crate::process;
use crate::record::{Ending, Metrics, Scalar, TaskNo};

/// What came of a task so far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskResult {
    /// Unique in the job.
    pub task_id: Arc<str>,
    /// Where it is in its life.
    pub standing: Standing,
    /// Attempts that reached the trainer's code.
    pub attempts: u32,
    /// What it was given, as JSON. `None` where that is not kept beside the records: hyperparameters above 64 KiB,
    /// or a journal in memory; and where it is no msgpack map.
    pub params: Option<Map<String, Value>>,
    /// The last value of each metric any attempt has reported, and above them what the task ended with.
    pub metrics: Metrics,
    /// Of a dead letter: why.
    pub cause: Option<String>,
    /// Of the last attempt's exception.
    pub traceback: Option<String>,
    /// Of a dead letter: the last lines of its trainer's output, as they were written.
    pub log_tail: Option<String>,
    /// The newest of any attempt.
    pub checkpoint: Option<PathBuf>,
    /// The output of the trainer that had it last.
    pub log: Option<PathBuf>,
    /// Of the last attempt that is over.
    pub duration: Option<Duration>,
}

/// Where a task is in its life, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// For its first attempt, or its next.
    Waiting,
    /// With a trainer.
    Running,
    /// Over, with a result.
    Succeeded,
    /// Over, by an interrupt.
    Stopped,
    /// Over, because what it reported was not worth its time.
    Pruned,
    /// Over, not wanted any more.
    Cancelled,
    /// Over, out of budget.
    Dead,
}

impl Standing {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Stopped => "stopped",
            Self::Pruned => "pruned",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

/// A row as the records have it, and whose it is.
pub(crate) struct Unfilled {
    task: TaskNo,
    row: TaskResult,
}

impl Fold {
    /// Of the tasks at these places in the order of their submission.
    pub(crate) fn results(&self, places: Range<usize>) -> Vec<Unfilled> {
        let tasks = self.tasks.iter().take(places.end).skip(places.start);
        tasks.map(|task| Unfilled { task: task.number, row: self.result_of(task) }).collect()
    }

    fn result_of(&self, task: &Folding) -> TaskResult {
        let last = task.spans.last();
        let standing = match &task.end {
            None if last.is_some_and(|span| !span.over) => Standing::Running,
            None => Standing::Waiting,
            Some(TaskEnd::Succeeded { .. }) => Standing::Succeeded,
            Some(TaskEnd::Stopped { .. }) if task.is_pruned() => Standing::Pruned,
            Some(TaskEnd::Stopped { .. }) => Standing::Stopped,
            Some(TaskEnd::Cancelled) => Standing::Cancelled,
            Some(TaskEnd::Dead { .. }) => Standing::Dead,
        };
        let metrics = match &task.end {
            Some(TaskEnd::Succeeded { metrics } | TaskEnd::Stopped { metrics }) => metrics.clone(),
            _ => Metrics::new(),
        };
        let (cause, log_tail, evidence) = match &task.end {
            Some(TaskEnd::Dead { cause, log_tail, evidence }) => {
                (Some(cause.clone()), Some(log_tail.clone()), evidence.last())
            }
            _ => (None, None, None),
        };
        let traceback = match evidence {
            Some(Ending::Failed { error, .. } | Ending::Retry { error, .. }) => Some(error.traceback.clone()),
            _ => None,
        };
        let attempts = task.spans.iter().filter(|span| span.started).count();
        TaskResult {
            task_id: Arc::clone(&task.task_id),
            standing,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            params: None,
            metrics,
            cause,
            traceback: traceback.filter(|text| !text.is_empty()),
            log_tail: log_tail.filter(|text| !text.is_empty()),
            checkpoint: task.checkpoint.clone(),
            log: last.and_then(|span| Some(self.logs.get(&span.trainer)?.path.clone())),
            duration: task.spans.iter().any(|span| span.over).then_some(task.duration),
        }
    }
}

impl Unfilled {
    /// With what lies elsewhere. Blocks for as long as the disk takes.
    pub(crate) fn fill(self, layout: &Layout, job: &JobId, reader: Option<&Reader>) -> TaskResult {
        let Self { task, mut row } = self;
        row.params = reader.and_then(|reader| params(reader, task));
        let mut metrics = reported(&layout.metrics(job, task, &row.task_id));
        for (name, value) in std::mem::take(&mut row.metrics) {
            set(&mut metrics, name, value);
        }
        row.metrics = metrics;
        row
    }
}

fn params(reader: &Reader, task: TaskNo) -> Option<Map<String, Value>> {
    let Ok(StoredBytes::Row(bytes)) = reader.bytes_of(task) else { return None };
    let task = VerifiedTask::verify(Bytes::from(bytes)).ok()?;
    process::params::to_json(&task.hyperparams_bytes()).ok()
}

/// The last value of each metric in a file of reported rows; a last line may be half written.
fn reported(path: &Path) -> Metrics {
    let mut metrics = Metrics::new();
    // None yet, or of a task that never reports.
    let Ok(file) = File::open(path) else { return metrics };
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        let Ok(Row { metrics: Named(row) }) = serde_json::from_slice(&line) else { continue };
        for (name, value) in row {
            set(&mut metrics, name, Scalar::Number(value.unwrap_or(f64::NAN)));
        }
    }
    metrics
}

fn set(metrics: &mut Metrics, name: String, value: Scalar) {
    match metrics.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => metrics.push((name, value)),
    }
}

/// What is read of a reported row.
#[derive(serde::Deserialize)]
struct Row {
    metrics: Named,
}

/// In the order in which they stand.
struct Named(Vec<(String, Option<f64>)>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metrics by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Named, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Named(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_metric_counts_and_half_a_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let rows = [
            r#"{"time_us":1,"attempt":1,"metrics":{"loss":0.5,"acc":0.1}}"#,
            r#"{"time_us":2,"attempt":1,"epoch":1.0,"metrics":{"lr":1,"loss":null}}"#,
            r#"{"time_us":3,"attempt":2,"metrics":{"acc":0.3}}"#,
            r#"{"time_us":4,"attempt":2,"metrics":{"acc":0."#,
        ];
        std::fs::write(&path, rows.join("\n")).unwrap();
        let metrics = reported(&path);
        let names: Vec<_> = metrics.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["loss", "acc", "lr"]);
        assert!(matches!(metrics[0].1, Scalar::Number(loss) if loss.is_nan()));
        assert_eq!(metrics[1].1, Scalar::Number(0.3));
        assert!(reported(&folder.path().join("none.jsonl")).is_empty());
    }
}
