//! Lines for a log file or a pipe: one for each thing that happens, and now and then how far a task
//! is. A hundred running tasks do not write more than one.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::note::{Kind, Note};
use super::paint::Paint;
use super::words;
use crate::board::{Board, Running, State, Task};

/// Writes to standard error.
#[derive(Debug)]
pub(crate) struct Plain {
    paint: Paint,
    /// When a line about a running task was last written, and what it said.
    told: HashMap<Arc<str>, (SystemTime, String)>,
    last_progress: SystemTime,
}

impl Plain {
    pub(crate) fn new(paint: Paint) -> Self {
        Self { paint, told: HashMap::new(), last_progress: SystemTime::UNIX_EPOCH }
    }

    /// Something happened.
    pub(crate) fn note(&mut self, note: &Note, at: SystemTime, board: &Board) -> io::Result<()> {
        if note.kind != Kind::Detail {
            self.told.remove(note.task.as_str());
        }
        let text = match note.kind {
            Kind::Failed => self.paint.red(&note.text),
            Kind::Succeeded => self.paint.green(&note.text),
            _ => note.text.clone(),
        };
        self.write(&note.task, &text, at, board)
    }

    /// The task whose turn it is: the one not spoken of for longest.
    pub(crate) fn tick(&mut self, board: &Board, now: SystemTime) -> io::Result<()> {
        if age(self.last_progress, now) < PROGRESS_INTERVAL_ANY {
            return Ok(());
        }
        let due = board
            .tasks
            .iter()
            .filter_map(|task| match &task.state {
                State::Running(running) => {
                    Some((self.told.get(&task.task_id).map_or(running.since, |told| told.0), task, running))
                }
                _ => None,
            })
            .filter(|(told_at, ..)| age(*told_at, now) >= PROGRESS_INTERVAL_TASK)
            .min_by_key(|(told_at, ..)| *told_at);
        let Some((_, task, running)) = due else { return Ok(()) };
        let text = progress(task, running, now);
        let before = self.told.insert(task.task_id.clone(), (now, text.clone()));
        self.last_progress = now;
        if text.is_empty() || before.is_some_and(|(_, before)| before == text) {
            return Ok(());
        }
        self.write(&words::escape(&task.task_id), &text, now, board)
    }

    fn write(&self, task: &str, text: &str, at: SystemTime, board: &Board) -> io::Result<()> {
        let elapsed = words::clock(age(board.started_at, at));
        let colon = if task.is_empty() { "" } else { ": " };
        writeln!(io::stderr().lock(), "{}  {task}{colon}{text}", self.paint.dim(&format!("{elapsed:>7}")))
    }
}

fn progress(task: &Task, running: &Running, now: SystemTime) -> String {
    let mut parts = Vec::new();
    if let Some(done) = running.pace.done(task.max_epochs) {
        parts.push(format!("epoch {} of {}", done.floor(), task.max_epochs));
    }
    if !running.latest.is_empty() {
        parts.push(words::metrics(
            running.latest.iter().map(|(name, value)| (name.as_str(), *value)).take(METRICS_SHOWN),
        ));
    }
    if let Some(left) = running.pace.left(task.max_epochs, now) {
        parts.push(format!("{} left", words::clock(left)));
    }
    parts.join(", ")
}

fn age(since: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(since).unwrap_or_default()
}

/// Between two lines about how far one task is.
const PROGRESS_INTERVAL_TASK: Duration = Duration::from_secs(10);

/// Between two lines about how far any task is.
const PROGRESS_INTERVAL_ANY: Duration = Duration::from_secs(1);

/// More than these make a line hard to scan; the metrics file has all.
const METRICS_SHOWN: usize = 4;
