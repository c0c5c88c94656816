//! The daemon's answers in words.

use std::time::Duration;

use serde_json::Value;

use crate::view::columns::{self, Align, Column};
use crate::view::words::{self, escape};

/// A table of jobs.
pub(crate) fn jobs(answer: &Value, all: bool) -> String {
    let rows: Vec<[String; 4]> = items(answer)
        .map(|job| [text(job, "job"), state(job).to_owned(), counts(job), waits_for(job)])
        .collect();
    if rows.is_empty() {
        return if all { "no jobs" } else { "no jobs; those that have ended are shown with --all" }
            .to_owned();
    }
    table(["JOB", "STATE", "TASKS", "WAITS"], &rows)
}

/// A job with its trainers and tasks.
pub(crate) fn job(job: &Value, tasks: &[Value]) -> String {
    let command: Vec<String> = items(&job["command"]).filter_map(Value::as_str).map(escape).collect();
    let mut lines = vec![
        format!("{}: {}, {}", text(job, "job"), state(job), counts(job)),
        format!("command  {}", command.join(" ")),
        format!("socket   {}", text(job, "socket")),
    ];
    if !waits_for(job).is_empty() {
        lines.push(format!("waits    {}", waits_for(job)));
    }
    for trainer in items(&job["trainers"]) {
        let held: Vec<String> = items(&trainer["tasks"]).filter_map(Value::as_str).map(escape).collect();
        lines.push(format!(
            "trainer  {} (pid {}) {} {}",
            trainer["trainer"],
            trainer["pid"].as_i64().map_or("-".to_owned(), |pid| pid.to_string()),
            text(trainer, "state"),
            held.join(", ")
        ));
    }
    let mut tasks: Vec<&Value> = tasks.iter().collect();
    tasks.sort_by_key(|task| urgency(task));
    let rows: Vec<[String; 4]> = tasks
        .iter()
        .map(|task| [text(task, "task"), text(task, "state"), task["starts"].to_string(), note(task)])
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.push(table(["TASK", "STATE", "ATTEMPTS", ""], &rows));
    }
    lines.join("\n")
}

/// What runs comes first, then what somebody may want to do something about, and what is over well last; tasks of one
/// state in the order of their submission.
fn urgency(task: &Value) -> usize {
    let state = task["state"].as_str().unwrap_or_default();
    BY_URGENCY.iter().position(|known| *known == state).unwrap_or(BY_URGENCY.len())
}

/// One task.
pub(crate) fn task(task: &Value) -> String {
    let mut lines = vec![format!("{}: {}", text(task, "task"), text(task, "state"))];
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<11}{value}"));
        }
    };
    add("note", note(task));
    add("attempts", format!("{} ({} failed, {} lost)", task["starts"], task["failures"], task["losses"]));
    add("checkpoint", text(task, "checkpoint"));
    add("log", text(&task["outcome"], "log"));
    lines.join("\n")
}

/// How a job ended, in one line.
pub(crate) fn job_end(job: &Value) -> String {
    format!("{}: {}", text(job, "job"), counts(job))
}

/// Those that were given up.
pub(crate) fn dead_letters(answer: &Value) -> String {
    let letters: Vec<String> = items(answer).map(dead_letter).collect();
    if letters.is_empty() { "no dead letters".to_owned() } else { letters.join("\n\n") }
}

fn dead_letter(letter: &Value) -> String {
    let mut lines =
        vec![format!("{} of {}: {}", text(letter, "task"), text(letter, "job"), text(letter, "cause"))];
    for attempt in items(&letter["evidence"]) {
        let error = &attempt["error"];
        let what = match (error["type"].as_str(), error["text"].as_str()) {
            // All there is.
            (Some("exit" | ""), Some(said)) => escape(said),
            (Some(kind), Some(said)) => {
                format!("{}: {}", escape(kind), escape(said.lines().next().unwrap_or_default()))
            }
            _ => text(attempt, "ending"),
        };
        let took = Duration::from_millis(attempt["duration_ms"].as_u64().unwrap_or_default());
        lines.push(format!("  attempt {}: {what}, after {}", attempt["attempt"], words::duration(took)));
        let last = last_progress(&attempt["last_progress"]);
        if !last.is_empty() {
            lines.push(format!("    last reported: {last}"));
        }
    }
    let last = items(&letter["evidence"]).last();
    let traceback = last.and_then(|attempt| attempt["error"]["traceback"].as_str()).unwrap_or_default();
    lines.extend(words::log_lines(traceback).into_iter().map(|line| format!("  ┆ {line}")));
    let tail = letter["log_tail"].as_str().unwrap_or_default();
    lines.extend(words::log_lines(tail).into_iter().map(|line| format!("  │ {line}")));
    if !text(letter, "log").is_empty() {
        lines.push(format!("  log: {}", text(letter, "log")));
    }
    lines.join("\n")
}

/// `epoch 2 · loss 0.25`
fn last_progress(last: &Value) -> String {
    let place = ["epoch", "step"].into_iter().filter_map(|name| Some((name, last[name].as_f64()?)));
    let metrics = last["metrics"].as_object().into_iter().flatten();
    let metrics = metrics.filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)));
    words::metrics(place.chain(metrics))
}

fn state(job: &Value) -> &'static str {
    match (job["ended"].as_bool(), job["open"].as_bool(), job["tasks"]["running"].as_u64()) {
        (Some(true), ..) => "ended",
        (_, _, Some(1..)) => "running",
        (_, Some(true), _) => "open",
        _ => "waiting",
    }
}

/// Those there are: `3 running, 2 waiting, 1 succeeded`.
fn counts(job: &Value) -> String {
    let said: Vec<String> = ["running", "waiting", "succeeded", "stopped", "pruned", "cancelled", "dead"]
        .iter()
        .filter_map(|name| Some((name, job["tasks"][name].as_u64().filter(|number| *number > 0)?)))
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    if said.is_empty() { "no tasks".to_owned() } else { said.join(", ") }
}

fn waits_for(value: &Value) -> String {
    text(&value["waits_for"], "text")
}

/// What is to be said of a task beside its state.
fn note(task: &Value) -> String {
    let outcome = &task["outcome"];
    if let Some(cause) = outcome["cause"].as_str() {
        return escape(cause);
    }
    if let Some(metrics) = outcome["metrics"].as_object() {
        let said: Vec<String> = metrics
            .iter()
            .map(|(name, value)| match value {
                Value::Number(number) => {
                    format!("{} {}", escape(name), words::number(number.as_f64().unwrap_or(f64::NAN)))
                }
                Value::String(said) => format!("{} {}", escape(name), escape(said)),
                other => format!("{} {other}", escape(name)),
            })
            .collect();
        return said.join(" · ");
    }
    waits_for(task)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().map(escape).unwrap_or_default()
}

/// The columns of a table, by what they are called.
fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let column = |(at, head): (usize, &&str)| {
        Column::new(*head, Align::Left, rows.iter().map(|row| row[at].clone()).collect())
    };
    columns::lines(&heads.iter().enumerate().map(column).collect::<Vec<_>>()).join("\n")
}

const BY_URGENCY: &[&str] = &[
    "stuck",
    "stopping",
    "running",
    "delivered",
    "dead",
    "stopped",
    "waiting",
    "pruned",
    "cancelled",
    "succeeded",
];
