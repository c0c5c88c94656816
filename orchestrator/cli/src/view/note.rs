//! Events worth a line, in words.

use std::time::SystemTime;

use trainwire::record::{Condition, Ending, Exit, Next, Record, Rung};
use trainwire::{Event, What};

use super::words;
use crate::board::{Board, State};
use crate::view::paint::Paint;

/// One line.
#[derive(Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) kind: Kind,
    /// Empty for what is not about one task.
    pub(crate) task: String,
    pub(crate) text: String,
}

/// What sort of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Succeeded,
    Failed,
    Stopped,
    /// Another attempt will follow.
    Again,
    /// Seen on the bars of a live view; worth a line only where there are none.
    Detail,
}

impl Note {
    /// What there is to say about an event that the board has not taken in yet.
    pub(crate) fn of(event: &Event, board: &Board) -> Option<Self> {
        let What::Record(record) = &event.what else { return None };
        let (kind, text) = match record {
            Record::Started { .. } => (Kind::Detail, format!("started{}", attempt(event.attempt, board))),
            Record::TrainerNoticed { trainer, condition } => {
                let text = match condition {
                    Condition::Responsive => "is heard again",
                    Condition::Unresponsive => "is unresponsive",
                    Condition::Detached => "lost its connection",
                };
                (Kind::Detail, format!("trainer {} {text}", trainer.0))
            }
            Record::TrainerEnded { trainer, exit, start_failed: true } => {
                let how = match exit {
                    Exit::NotStarted { .. } => "",
                    _ => "did not connect: ",
                };
                (Kind::Again, format!("trainer {}: {how}{}", trainer.0, words::exit(exit)))
            }
            Record::Stopping { reason, rung, .. } => {
                let text = match rung {
                    Rung::Asked => "asked to stop",
                    Rung::Terminated => "sent SIGTERM",
                    Rung::Killed => "sent SIGKILL",
                };
                (Kind::Detail, format!("{text} ({})", words::reason(*reason)))
            }
            Record::Stuck { .. } => {
                (Kind::Failed, "still there 30 s after SIGKILL; its slot stays taken".to_owned())
            }
            Record::Ended { ending, next, .. } => ended(event, ending, next, board),
            _ => return None,
        };
        let task = event.task.as_deref().map(words::escape).unwrap_or_default();
        Some(Self { kind, task, text })
    }

    /// The line's sign.
    pub(crate) fn mark(&self, paint: Paint) -> String {
        match self.kind {
            Kind::Succeeded => paint.green("✓"),
            Kind::Failed => paint.red("✗"),
            Kind::Stopped => paint.yellow("■"),
            Kind::Again => paint.yellow("↻"),
            Kind::Detail => " ".to_owned(),
        }
    }
}

fn ended(event: &Event, ending: &Ending, next: &Next, board: &Board) -> (Kind, String) {
    let took = took(event, board).map_or(String::new(), |took| format!(" after {took}"));
    match (next, ending) {
        (Next::Succeeded, Ending::Succeeded { metrics }) => {
            let metrics = words::scalars(metrics);
            let gap = if metrics.is_empty() { "" } else { "  " };
            (Kind::Succeeded, format!("succeeded{took}{gap}{metrics}"))
        }
        (Next::Queued { after }, _) => {
            let kind = if matches!(ending, Ending::Returned { .. }) { Kind::Detail } else { Kind::Again };
            let attempt = event.attempt.unwrap_or(1);
            (
                kind,
                format!(
                    "attempt {attempt}: {}{took}; again in {}",
                    words::ending(ending),
                    words::duration(*after)
                ),
            )
        }
        (Next::Stopped | Next::Cancelled, _) => (Kind::Stopped, format!("{}{took}", words::ending(ending))),
        (_, _) => (Kind::Failed, format!("{}{took}{}", words::ending(ending), attempt(event.attempt, board))),
    }
}

/// How long the attempt took.
fn took(event: &Event, board: &Board) -> Option<String> {
    match &board.task(event.task.as_ref()?)?.state {
        State::Running(running) => Some(words::duration(since(running.since, event.at))),
        _ => None,
    }
}

fn since(start: SystemTime, end: SystemTime) -> std::time::Duration {
    end.duration_since(start).unwrap_or_default()
}

/// Said from the second attempt on.
fn attempt(attempt: Option<u32>, board: &Board) -> String {
    match attempt {
        Some(attempt @ 2..) => format!(" (attempt {attempt} of {})", board.attempts_max.max(attempt)),
        _ => String::new(),
    }
}
