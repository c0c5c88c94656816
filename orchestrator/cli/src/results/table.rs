//! Rows for people: parameters and metrics as columns, as far as the window holds them.

use std::time::Duration;

use serde_json::Value;

use super::row::{self, Row};
use crate::view::columns::{self, Align, Column};
use crate::view::fit;
use crate::view::words::{self, escape};

/// The table and the sum below it. `leading` is the metric the rows are ordered by, `window` the columns there are;
/// `None` where nothing is cut.
pub(crate) fn text(rows: &[Row], leading: Option<&str>, window: Option<usize>) -> String {
    if rows.is_empty() {
        return "no tasks".to_owned();
    }
    let of_rows = |cell: &dyn Fn(&Row) -> String| rows.iter().map(cell).collect::<Vec<_>>();
    let mut columns = vec![
        Column::new("TASK", Align::Id, of_rows(&|row| escape(&row.task))).narrows(0),
        Column::new("STATE", Align::Left, of_rows(&|row| row.state.to_owned())),
        Column::new("ATTEMPTS", Align::Right, of_rows(&|row| row.attempts.to_string())).goes(0),
        Column::new("TIME", Align::Right, of_rows(&|row| row.duration_ms.map_or(NONE.to_owned(), time)))
            .goes(1),
    ];
    let mut metrics = row::names(rows, |row| Some(&row.metrics));
    metrics.sort_by_key(|name| leading != Some(*name));
    if leading.is_some() && !metrics.is_empty() {
        columns.push(metric(rows, metrics.remove(0)));
    }
    let params = row::names(rows, |row| row.params.as_ref());
    let values = params.into_iter().map(|name| parameter(rows, name));
    let values = values.chain(metrics.into_iter().map(|name| metric(rows, name)));
    columns.extend(values.enumerate().map(|(at, column)| column.goes(at + 2)));
    if rows.iter().any(|row| row.cause.is_some()) {
        let first_line =
            |row: &Row| escape(row.cause.as_deref().unwrap_or_default().lines().next().unwrap_or(""));
        let cells = of_rows(&|row| fit::cut(&first_line(row), CAUSE_COLUMNS_MAX));
        columns.push(Column::new("CAUSE", Align::Left, cells).narrows(1));
    }
    let left_out = window.map_or_else(Vec::new, |window| columns::fit_into(&mut columns, window));
    let mut text = columns::lines(&columns).join("\n") + "\n\n";
    if !left_out.is_empty() {
        text.push_str(&format!("too narrow for {}; --csv has all\n", left_out.join(", ")));
    }
    text + &sum(rows) + &failures(rows)
}

/// Why tasks were given up, each way once: the end of what they wrote, and where the rest of it is.
fn failures(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let Some(cause) = row.cause.as_deref() else { continue };
        let last_words = row.traceback.as_deref().or(row.log_tail.as_deref()).unwrap_or_default();
        if shown.len() == FAILURES_SHOWN || shown.contains(&(cause, last_words)) {
            continue;
        }
        shown.push((cause, last_words));
        text.push_str(&format!("\n\n✗ {}: {}", escape(&row.task), escape(cause)));
        let lines = words::log_lines(last_words);
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
            text.push_str(&format!("\n  │ {line}"));
        }
        if let Some(log) = &row.log {
            text.push_str(&format!("\n  {}", escape(log)));
        }
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn parameter(rows: &[Row], name: &str) -> Column {
    let values = || rows.iter().map(|row| row.params.as_ref()?.get(name));
    let numbers = values().flatten().all(Value::is_number);
    let cells = values().map(|value| value.map_or(NONE.to_owned(), param)).collect();
    Column::new(head(name), if numbers { Align::Right } else { Align::Left }, cells)
}

fn metric(rows: &[Row], name: &str) -> Column {
    let cell = |row: &Row| match row.metrics.get(name) {
        None => NONE.to_owned(),
        Some(Value::Null) => "nan".to_owned(),
        Some(Value::Number(number)) => words::number(number.as_f64().unwrap_or(f64::NAN)),
        Some(other) => param(other),
    };
    Column::new(head(name), Align::Right, rows.iter().map(cell).collect())
}

fn param(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        other => escape(&other.to_string()),
    }
}

fn head(name: &str) -> String {
    escape(name).to_uppercase()
}

fn time(millis: u64) -> String {
    words::duration(Duration::from_millis(millis))
}

/// E.g. `3 tasks: 2 succeeded, 1 dead`.
fn sum(rows: &[Row]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in rows {
        match counts.iter_mut().find(|(state, _)| *state == row.state) {
            Some((_, count)) => *count += 1,
            None => counts.push((row.state, 1)),
        }
    }
    let counts: Vec<_> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!("{}: {}", words::count(rows.len(), "task"), counts.join(", "))
}

/// In the place of a value that is not there.
const NONE: &str = "–";

/// Ways of failing that are told.
const FAILURES_SHOWN: usize = 3;

/// The end of a traceback.
const LINES_SHOWN: usize = 10;

/// The whole of it stands below the table.
const CAUSE_COLUMNS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::row::tests::row;
    use super::*;

    fn rows() -> Vec<Row> {
        let mut failed = row("lr=5,act=relu", "dead", &json!({ "lr": 5, "act": "relu" }), &json!({}));
        failed.cause = Some("failed once: ValueError: the loss is not a number any more".to_owned());
        failed.traceback = Some("Traceback:\nValueError: the loss is not a number any more\n".to_owned());
        failed.log = Some("/logs/trainer-2.log".to_owned());
        vec![
            row(
                "lr=0.1,act=tanh",
                "succeeded",
                &json!({ "lr": 0.1, "act": "tanh" }),
                &json!({ "acc": 0.97111, "loss": null }),
            ),
            failed,
        ]
    }

    #[test]
    fn parameters_and_metrics_are_columns() {
        let golden = "\
TASK             STATE      ATTEMPTS   TIME  ACT    LR     ACC  LOSS  CAUSE
lr=0.1,act=tanh  succeeded         1  1.5 s  tanh  0.1  0.9711   nan
lr=5,act=relu    dead              1  1.5 s  relu    5       –     –  failed once: ValueError: the loss is not a number any more

2 tasks: 1 succeeded, 1 dead

✗ lr=5,act=relu: failed once: ValueError: the loss is not a number any more
  │ Traceback:
  │ ValueError: the loss is not a number any more
  /logs/trainer-2.log
";
        assert_eq!(text(&rows(), None, None), golden);
        let led = text(&rows(), Some("loss"), None);
        assert!(
            led.starts_with("TASK             STATE      ATTEMPTS   TIME  LOSS  ACT    LR     ACC  CAUSE\n"),
            "{led}"
        );
    }

    #[test]
    fn a_narrow_window_takes_from_causes_and_ids_and_then_the_last_columns() {
        for window in [50, 60, 72, 90, 200] {
            let text = text(&rows(), None, Some(window));
            for line in text.lines().take(3) {
                assert!(fit::width(line) <= window, "{window}: {line}");
            }
        }
        let narrow = text(&rows(), None, Some(72));
        assert!(narrow.contains("\n\ntoo narrow for ACC, LOSS; --csv has all\n2 tasks"), "{narrow}");
        assert_eq!(text(&[], None, Some(80)), "no tasks");
    }
}
