//! A grid of parameters: every combination is a task.

use toml::{Table, Value};

use crate::value;

/// One parameter and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

/// One value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// As it was written: `1e-3` stays `1e-3` in the task's id.
    pub(crate) text: String,
    pub(crate) value: Value,
}

/// One task of the grid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Combination {
    /// E.g. `lr=0.1,alpha=0.001`.
    pub(crate) task_id: String,
    pub(crate) params: Table,
}

/// Reads `--grid lr=0.1,0.01`.
pub(crate) fn parse_axis(text: &str) -> Result<Axis, String> {
    let (name, values) = split(text, "lr=0.1,0.01")?;
    let points: Vec<_> = values
        .split(',')
        .map(|text| Point { text: text.trim_matches('"').to_owned(), value: value::typed(text) })
        .collect();
    if points.iter().any(|point| point.text.is_empty()) {
        return Err(format!("a value of {name} is empty; write e.g. {name}=1,2"));
    }
    if let Some(text) = repeated(&points) {
        return Err(format!("{name}={text} is there twice; each value makes a task of its own"));
    }
    Ok(Axis::new(name.to_owned(), points))
}

/// Reads `--param epochs=5`.
pub(crate) fn parse_param(text: &str) -> Result<(String, Value), String> {
    let (name, value) = split(text, "batch_size=64")?;
    Ok((name.to_owned(), value::typed(value)))
}

/// All combinations, the last axis varying fastest. Without axes: none.
pub(crate) fn product(axes: &[Axis]) -> Result<Vec<Combination>, String> {
    if axes.is_empty() {
        return Ok(Vec::new());
    }
    let size = axes.iter().try_fold(1_usize, |size, axis| size.checked_mul(axis.points.len()));
    if size.is_none_or(|size| size > GRID_TASKS_MAX) {
        let lengths: Vec<_> = axes.iter().map(|axis| axis.points.len().to_string()).collect();
        return Err(format!(
            "the grid has {} tasks, at most {GRID_TASKS_MAX} are allowed",
            lengths.join(" × ")
        ));
    }
    let mut combinations = vec![Combination { task_id: String::new(), params: Table::new() }];
    for axis in axes {
        combinations = combinations
            .iter()
            .flat_map(|before| axis.points.iter().map(|point| before.and(&axis.name, point)))
            .collect();
    }
    Ok(combinations)
}

/// The first value that is there twice.
pub(crate) fn repeated(points: &[Point]) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    points.iter().map(|point| point.text.as_str()).find(|text| !seen.insert(*text))
}

impl Axis {
    /// Beside numbers with a fraction whole ones become such too: a parameter has one type, and code that
    /// takes a float may refuse an int. The ids stay as they were written.
    pub(crate) fn new(name: String, mut points: Vec<Point>) -> Self {
        if points.iter().any(|point| point.value.is_float()) {
            for point in &mut points {
                let whole = point.value.as_integer().and_then(|whole| i32::try_from(whole).ok());
                if let Some(whole) = whole {
                    point.value = Value::Float(whole.into());
                }
            }
        }
        Self { name, points }
    }
}

impl Combination {
    fn and(&self, name: &str, point: &Point) -> Self {
        let comma = if self.task_id.is_empty() { "" } else { "," };
        let mut params = self.params.clone();
        params.insert(name.to_owned(), point.value.clone());
        Self { task_id: format!("{}{comma}{name}={}", self.task_id, point.text), params }
    }
}

fn split<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name, value)),
        _ => Err(format!("write name=value, e.g. {example}")),
    }
}

/// A slip of the finger, not a sweep: each task is a row in the journal and a line in the table.
pub(crate) const GRID_TASKS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_axis_varies_fastest() {
        let axes = [parse_axis("lr=0.1,1e-2").unwrap(), parse_axis("kind=sgd,\"2\"").unwrap()];
        let grid = product(&axes).unwrap();
        let ids: Vec<_> = grid.iter().map(|task| task.task_id.as_str()).collect();
        assert_eq!(ids, ["lr=0.1,kind=sgd", "lr=0.1,kind=2", "lr=1e-2,kind=sgd", "lr=1e-2,kind=2"]);
        assert_eq!(grid[3].params["lr"], Value::Float(0.01));
        assert_eq!(grid[3].params["kind"], Value::String("2".into()));
    }

    #[test]
    fn whole_numbers_beside_others_become_floats_and_keep_their_spelling() {
        let axis = parse_axis("lr=0.1,1,auto,true").unwrap();
        let values =
            [Value::Float(0.1), Value::Float(1.0), Value::String("auto".into()), Value::Boolean(true)];
        assert!(axis.points.iter().map(|point| &point.value).eq(&values), "{axis:?}");
        assert_eq!(product(&[axis]).unwrap()[1].task_id, "lr=1");
        assert_eq!(parse_axis("depth=1,2").unwrap().points[0].value, Value::Integer(1));
    }

    #[test]
    fn no_axes_no_tasks() {
        assert_eq!(product(&[]), Ok(Vec::new()));
    }

    #[test]
    fn slips_are_refused() {
        for text in ["lr", "=1", "lr=", "lr=1,", "lr=,1", "lr=1,1"] {
            assert!(parse_axis(text).is_err(), "{text:?}");
        }
        let axis = Axis { name: "x".into(), points: parse_axis("x=1,2,3,4,5,6,7,8,9,10").unwrap().points };
        let error = product(&vec![axis; 6]).unwrap_err();
        assert!(error.contains("10 × 10 × 10 × 10 × 10 × 10"), "{error}");
    }
}
