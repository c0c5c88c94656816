//! Hyperparameters that come from outside: a file, a FIFO, standard input.

use std::fs::{self, File};
use std::io;

use trainwire::{BuildError, TaskBuffer, TrainingTask};

use crate::plan::PlannedTask;

/// Reads a task's hyperparameters straight into the memory it will travel in.
///
/// # Errors
/// In words, for whoever named the path.
pub(crate) fn read(path: &str, task: &PlannedTask) -> Result<TrainingTask, String> {
    let buffer = if path == STANDARD_INPUT {
        TaskBuffer::read_from(&task.task_id, &task.model_name, io::stdin())
    } else {
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        TaskBuffer::read_from(&task.task_id, &task.model_name, file)
    };
    let say = |error: BuildError| error.to_string();
    let buffer = buffer.map_err(say)?;
    match task.max_epochs {
        Some(epochs) => buffer.max_epochs(epochs),
        None => buffer,
    }
    .finish()
    .map_err(say)
}

/// Whether it is there, without reading it.
///
/// # Errors
/// As [`read`].
pub(crate) fn check(path: &str) -> Result<(), String> {
    match path {
        STANDARD_INPUT => Ok(()),
        path => fs::metadata(path).map(drop).map_err(|error| unreadable(&error)),
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

pub(crate) const STANDARD_INPUT: &str = "-";
