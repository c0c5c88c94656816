//! The closing table: what became of each task, and of the failed ones why.

use std::cmp::Ordering;
use std::path::Path;
use std::time::SystemTime;

use super::columns::{self, Align, Column};
use super::fit;
use super::paint::Paint;
use super::words;
use crate::board::{Board, End, Ended, State, Task};
use crate::ranking::Ranking;

/// The table, the failures below it, and the sum; one text, ending with a line's end. `columns` is
/// the window's width, or `None` where nothing is cut.
pub(crate) fn table(board: &Board, now: SystemTime, columns: Option<usize>, paint: Paint) -> String {
    let mut tasks = sorted(board);
    // An interrupted sweep of 200 has 170 lines to say nothing on.
    let unbegun = |task: &Task, ended: &Ended| task.attempts == 0 && ended.end != End::Failed;
    let left_out = tasks.iter().filter(|(task, ended)| unbegun(task, ended)).count();
    let left_out = if left_out > UNBEGUN_SHOWN { left_out } else { 0 };
    tasks.retain(|(task, ended)| left_out == 0 || !unbegun(task, ended));
    let mut text = rows(&tasks, board.ranking.as_ref(), columns, paint);
    if left_out > 0 {
        text.push_str(&paint.dim(&format!("… and {left_out} tasks that were stopped before they began")));
        text.push('\n');
    }
    text.push_str(&failures_of(&tasks, paint));
    text.push_str(&sum(board, now, paint));
    text
}

/// The failures alone.
pub(crate) fn failures(board: &Board, paint: Paint) -> String {
    failures_of(&sorted(board), paint)
}

/// What ended without success comes last, where the eye is when a long table has run through; within
/// that the best ones first, or the order of the spec.
fn sorted(board: &Board) -> Vec<(&Task, &Ended)> {
    let mut tasks: Vec<_> = board
        .tasks
        .iter()
        .filter_map(|task| match &task.state {
            State::Ended(ended) => Some((task, ended)),
            _ => None,
        })
        .collect();
    tasks.sort_by(|(one, ended), (other, ended_too)| {
        let better =
            || board.ranking.as_ref().map_or(Ordering::Equal, |by| by.compare(one.score, other.score));
        ended.end.cmp(&ended_too.end).then_with(better)
    });
    tasks
}

fn rows(tasks: &[(&Task, &Ended)], ranking: Option<&Ranking>, window: Option<usize>, paint: Paint) -> String {
    let mut metrics = metric_names(tasks);
    if let Some(ranking) = ranking {
        metrics.retain(|name| *name != ranking.metric);
        metrics.insert(0, &ranking.metric);
    }
    let of_tasks = |cell: &dyn Fn(&Task, &Ended) -> String| -> Vec<String> {
        tasks.iter().map(|(task, ended)| cell(task, ended)).collect()
    };
    let log = |task: &Task| task.log.as_deref().map_or("–".to_owned(), file_name);
    let mut columns = vec![
        Column::new("TASK", Align::Id, of_tasks(&|task, _| words::escape(&task.task_id))).narrows(0),
        Column::new("STATE", Align::Left, of_tasks(&|_, ended| state(ended.end).to_owned())),
        Column::new("ATTEMPTS", Align::Right, of_tasks(&|task, _| task.attempts.to_string())).goes(0),
        Column::new(
            "TIME",
            Align::Right,
            of_tasks(&|task, _| task.duration().map_or("–".to_owned(), words::duration)),
        ),
    ];
    columns.extend(metrics.iter().enumerate().map(|(at, name)| {
        let value = |task: &Task, ended: &Ended| {
            if ranking.is_some_and(|ranking| ranking.metric == *name) {
                return task.score.map_or("–".to_owned(), words::number);
            }
            let value = ended.metrics.iter().find(|(metric, _)| metric == name);
            value.map_or("–".to_owned(), |(_, value)| words::scalar(value))
        };
        Column::new(words::escape(name).to_uppercase(), Align::Right, of_tasks(&value)).goes(at + 1)
    }));
    if tasks.iter().any(|(_, ended)| !ended.cause.is_empty()) {
        let cause = |_: &Task, ended: &Ended| fit::cut(&ended.cause, CAUSE_COLUMNS_MAX);
        columns.push(Column::new("CAUSE", Align::Left, of_tasks(&cause)).narrows(1));
    }
    // The folder of the logs stands below.
    columns.push(Column::new("LOG", Align::Left, of_tasks(&|task, _| log(task))).goes(usize::MAX));
    if let Some(window) = window {
        columns::fit_into(&mut columns, window);
    }
    let mut lines = columns::lines(&columns).into_iter();
    let mut text = format!("{}\n", paint.dim(&lines.next().unwrap_or_default()));
    for (line, (_, ended)) in lines.zip(tasks) {
        // Coloured when it is padded: the codes take no room.
        let state = state(ended.end);
        let coloured = format!("  {}", colour(ended.end, state, paint));
        text.push_str(&line.replacen(&format!("  {state}"), &coloured, 1));
        text.push('\n');
    }
    text
}

/// In the order in which they first appear, as far as a table can hold them.
fn metric_names<'a>(tasks: &[(&'a Task, &'a Ended)]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in tasks.iter().flat_map(|(_, ended)| &ended.metrics) {
        if names.len() < METRICS_SHOWN && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn failures_of(tasks: &[(&Task, &Ended)], paint: Paint) -> String {
    let failed: Vec<_> = tasks.iter().filter(|(_, ended)| ended.end == End::Failed).collect();
    let mut text = String::new();
    let mut shown_causes: Vec<(&str, &str)> = Vec::new();
    let mut left_out = 0;
    for (task, ended) in &failed {
        // A sweep mostly fails in one way; to read it once is enough.
        let way = (ended.cause.as_str(), ended.last_words.as_str());
        if shown_causes.contains(&way) || shown_causes.len() == FAILURES_SHOWN {
            left_out += 1;
            continue;
        }
        shown_causes.push(way);
        text.push_str(&format!(
            "\n{} {}: {}\n",
            paint.red("✗"),
            paint.bold(&words::escape(&task.task_id)),
            ended.cause
        ));
        let lines = words::log_lines(&ended.last_words);
        let skipped = lines.len().saturating_sub(LOG_LINES_SHOWN);
        for line in &lines[skipped..] {
            text.push_str(&format!("  {} {line}\n", paint.dim("│")));
        }
        if let Some(log) = &task.log {
            text.push_str(&format!("  {}\n", paint.dim(&relative(log))));
        }
    }
    match left_out {
        0 => {}
        1 => text.push_str("\n1 more task failed like these.\n"),
        more => text.push_str(&format!("\n{more} more tasks failed like these.\n")),
    }
    text
}

fn sum(board: &Board, now: SystemTime, paint: Paint) -> String {
    let totals = board.totals();
    let mut parts =
        vec![format!("{} of {} succeeded", totals.succeeded, words::count(board.tasks.len(), "task"))];
    if totals.failed > 0 {
        parts.push(paint.red(&format!("{} failed", totals.failed)));
    }
    if totals.stopped > 0 {
        parts.push(paint.yellow(&format!("{} stopped", totals.stopped)));
    }
    let took = words::duration(now.duration_since(board.started_at).unwrap_or_default());
    format!("\n{} in {took}\nlogs in {}\n", parts.join(", "), relative(&board.logs_dir))
}

fn state(end: End) -> &'static str {
    match end {
        End::Succeeded => "succeeded",
        End::Stopped => "stopped",
        End::Cancelled => "cancelled",
        End::Failed => "failed",
    }
}

fn colour(end: End, text: &str, paint: Paint) -> String {
    match end {
        End::Succeeded => paint.green(text),
        End::Stopped | End::Cancelled => paint.yellow(text),
        End::Failed => paint.red(text),
    }
}

fn file_name(path: &Path) -> String {
    words::escape(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

/// As one would type it from here.
fn relative(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let shown = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    words::escape(&shown.to_string_lossy())
}

/// Tasks that never began are listed up to here, counted above.
const UNBEGUN_SHOWN: usize = 8;

/// The whole of it stands below the table.
const CAUSE_COLUMNS_MAX: usize = 60;

/// Columns of a table that is read at a glance; the journal and `--json` have all.
const METRICS_SHOWN: usize = 6;

/// Ways of failing that are told.
const FAILURES_SHOWN: usize = 5;

/// The end of a traceback.
const LOG_LINES_SHOWN: usize = 10;

#[cfg(test)]
mod tests;
