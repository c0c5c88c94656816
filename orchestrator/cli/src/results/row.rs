//! A row of results. Names and meanings stay, keys are added.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::{Map, Value};
use trainwire::{Standing, TaskResult};

use crate::ranking::Ranking;
use crate::view::json::metrics_object;

/// A task.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) task: String,
    pub(crate) state: &'static str,
    /// Those that reached the trainer's code.
    pub(crate) attempts: u32,
    /// Left out where they are not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
    /// Not a number and the infinities are `null`.
    pub(crate) metrics: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_tail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
}

impl From<TaskResult> for Row {
    fn from(result: TaskResult) -> Self {
        let metrics = match metrics_object(&result.metrics) {
            Value::Object(metrics) => metrics,
            _ => Map::new(),
        };
        Self {
            task: result.task_id.to_string(),
            state: result.standing.as_str(),
            attempts: result.attempts,
            params: result.params,
            metrics,
            duration_ms: result.duration.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            cause: result.cause,
            traceback: result.traceback,
            log_tail: result.log_tail,
            checkpoint: result.checkpoint.map(|path| path.display().to_string()),
            log: result.log.map(|path| path.display().to_string()),
        }
    }
}

impl Row {
    /// Dead ones come last, where the eye is when a long table has run through.
    fn is_dead(&self) -> bool {
        self.state == Standing::Dead.as_str()
    }
}

/// The best first.
///
/// # Errors
/// In words: no row has this metric.
pub(crate) fn rank(rows: &mut [Row], ranking: &Ranking) -> Result<(), String> {
    let metric = ranking.metric.as_str();
    let names = names(rows, |row| Some(&row.metrics));
    if !rows.is_empty() && !names.contains(&metric) {
        let nearest = names.iter().min_by_key(|name| strsim::damerau_levenshtein(name, metric));
        let hint = nearest.map_or_else(
            || "none has reported anything".to_owned(),
            |nearest| format!("did you mean {nearest}? There are {}", names.join(", ")),
        );
        return Err(format!("no task has reported {metric}; {hint}"));
    }
    let score = |row: &Row| row.metrics.get(metric).and_then(Value::as_f64);
    rows.sort_by(|one, other| match one.is_dead().cmp(&other.is_dead()) {
        Ordering::Equal => ranking.compare(score(one), score(other)),
        dead => dead,
    });
    Ok(())
}

/// The keys of a map of each row, in the order in which they first appear.
pub(crate) fn names<'a>(
    rows: &'a [Row],
    of: impl Fn(&'a Row) -> Option<&'a Map<String, Value>>,
) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    let all = rows.iter().filter_map(of).flat_map(Map::keys).map(String::as_str);
    all.filter(|name| seen.insert(*name)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn row(task: &str, state: &'static str, params: &Value, metrics: &Value) -> Row {
        Row {
            task: task.to_owned(),
            state,
            attempts: 1,
            params: params.as_object().cloned(),
            metrics: metrics.as_object().cloned().unwrap_or_default(),
            duration_ms: Some(1_500),
            cause: None,
            traceback: None,
            log_tail: None,
            checkpoint: None,
            log: None,
        }
    }

    #[test]
    fn the_best_come_first_the_unknown_after_them_and_the_dead_last() {
        let row = |task, state, loss: Value| row(task, state, &json!({}), &json!({ "loss": loss }));
        let mut rows = vec![
            row("a", "dead", json!(0.0)),
            row("b", "succeeded", json!(null)),
            row("c", "pruned", json!(0.5)),
            row("d", "succeeded", json!(0.25)),
        ];
        let mut ranked = |ranking: Option<Ranking>| {
            rank(&mut rows, &ranking.unwrap()).unwrap();
            rows.iter().map(|row| row.task.clone()).collect::<String>()
        };
        assert_eq!(ranked(Ranking::new(None, Some("loss"))), "dcba");
        assert_eq!(ranked(Ranking::new(Some("loss"), None)), "cdba");
        let error = rank(&mut rows, &Ranking::new(Some("lost"), None).unwrap()).unwrap_err();
        assert_eq!(error, "no task has reported lost; did you mean loss? There are loss");
    }
}
