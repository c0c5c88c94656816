//! Rows as CSV (RFC 4180, lines ended as Unix does), with the columns `to_csv` of the Python package has.

use serde_json::Value;

use super::row::{self, Row};

/// A line of names, and a line a row.
pub(crate) fn text(rows: &[Row]) -> String {
    let params = row::names(rows, |row| row.params.as_ref());
    let metrics = row::names(rows, |row| Some(&row.metrics));
    let mut head: Vec<String> = ["task", "state", "attempts"].map(str::to_owned).into();
    head.extend(params.iter().map(|name| format!("params.{name}")));
    head.extend(metrics.iter().map(|name| format!("metrics.{name}")));
    head.extend(["duration_s", "error", "log"].map(str::to_owned));
    let mut lines = vec![line(&head)];
    lines.extend(rows.iter().map(|row| {
        let mut cells = vec![row.task.clone(), row.state.to_owned(), row.attempts.to_string()];
        cells.extend(params.iter().map(|name| plain(row.params.as_ref().and_then(|of| of.get(*name)))));
        cells.extend(metrics.iter().map(|name| plain(row.metrics.get(*name))));
        cells.push(row.duration_ms.map(seconds).unwrap_or_default());
        cells.push(row.cause.clone().unwrap_or_default());
        cells.push(row.log.clone().unwrap_or_default());
        line(&cells)
    }));
    lines.join("\n")
}

/// Numbers with all their digits, texts without quotes, what JSON has beyond that as JSON.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn line(cells: &[String]) -> String {
    cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",")
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn every_row_has_every_column() {
        let mut failed = row("b,\"2\"", "dead", &json!({ "lr": 1, "layers": [1, 2] }), &json!({}));
        failed.cause = Some("failed once:\nno".to_owned());
        let succeeded =
            row("a", "succeeded", &json!({ "lr": 0.1 }), &json!({ "loss": 1e-300, "best": "b.pt" }));
        assert_eq!(
            text(&[succeeded, failed]),
            "task,state,attempts,params.lr,params.layers,metrics.best,metrics.loss,duration_s,error,log\n\
             a,succeeded,1,0.1,,b.pt,1e-300,1.500,,\n\
             \"b,\"\"2\"\"\",dead,1,1,\"[1,2]\",,,1.500,\"failed once:\nno\","
        );
        assert_eq!(text(&[]), "task,state,attempts,duration_s,error,log");
    }
}
