//! Arguments of a script that name parameters: `python train.py --lr {lr}`.
//!
//! `{name}` stands for a parameter of the task, a nested one as `{optimizer.lr}`, or for one of [`NAMES`].
//! A name is made of letters, digits and `_ . - /` and does not begin with a digit, so that braces around
//! anything else (JSON, `{}`), and `${name}`, which is the shell's, stay as they are. `{{name}}` is the text
//! `{name}`.

use serde_json::{Map, Value};

/// What a placeholder may name beside the task's parameters, which go first.
pub const NAMES: [&str; 5] = ["task_id", "model_name", "max_epochs", "attempt", "workdir"];

/// The names in an argument, in their order.
///
/// ```
/// let names: Vec<_> = trainwire::job::placeholders("--lr={lr} {} ${HOME} {{x}}").collect();
/// assert_eq!(names, ["lr"]);
/// ```
pub fn placeholders(argument: &str) -> impl Iterator<Item = &str> {
    Parts(argument).filter_map(|part| match part {
        Part::Name(name) => Some(name),
        Part::Text(_) | Part::Braced(_) => None,
    })
}

/// The argument with its placeholders replaced.
///
/// # Errors
/// The name that `value` does not know.
pub(crate) fn fill(argument: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
    let mut filled = String::with_capacity(argument.len());
    for part in Parts(argument) {
        match part {
            Part::Text(text) => filled += text,
            Part::Braced(name) => filled.extend(["{", name, "}"]),
            Part::Name(name) => filled += &value(name).ok_or(name)?,
        }
    }
    Ok(filled)
}

/// A parameter as one would type it: texts as they are, everything else as JSON.
pub(crate) fn parameter(params: &Map<String, Value>, name: &str) -> Option<String> {
    let found = params.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        inner.split('.').try_fold(params.get(outer)?, |value, key| value.get(key))
    })?;
    Some(match found {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// `{name}`
    Name(&'a str),
    /// `{{name}}`
    Braced(&'a str),
}

/// What is left of an argument.
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(at) = self.0[from..].find('{').map(|at| from + at) {
            let (before, rest) = self.0.split_at(at);
            let part = if before.ends_with('$') {
                None
            } else if let Some((name, after)) = word(&rest[1..]) {
                Some((Part::Name(name), after))
            } else {
                let inner = rest.strip_prefix("{{").and_then(word);
                inner.and_then(|(name, after)| Some((Part::Braced(name), after.strip_prefix('}')?)))
            };
            match part {
                Some(_) if at > 0 => {
                    self.0 = rest;
                    return Some(Part::Text(before));
                }
                Some((part, after)) => {
                    self.0 = after;
                    return Some(part);
                }
                None => from = at + 1,
            }
        }
        Some(Part::Text(std::mem::take(&mut self.0)))
    }
}

/// A name and its closing brace, and what comes after them.
fn word(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.split_once('}')?;
    let first = name.chars().next()?;
    let all = |c: char| c.is_alphanumeric() || "_.-/".contains(c);
    ((first.is_alphabetic() || first == '_') && name.chars().all(all)).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(argument: &str) -> Result<String, &str> {
        let params = serde_json::json!({
            "lr": 0.001, "tiny": 1e-7, "act": "relu", "deep": {"er": {"n": 3}}, "a.b": 1, "on": true, "sizes": [1, 2]
        });
        let Value::Object(params) = params else { unreachable!() };
        fill(argument, |name| parameter(&params, name))
    }

    #[test]
    fn values_are_put_where_their_names_stand() {
        for (argument, wanted) in [
            ("{lr}", "0.001"),
            ("--lr={lr},{act}!", "--lr=0.001,relu!"),
            ("{tiny}", "1e-7"),
            ("{deep.er.n}", "3"),
            ("{a.b}", "1"),
            ("{on}", "true"),
            ("{sizes}", "[1,2]"),
            ("é{lr}é", "é0.001é"),
            ("", ""),
        ] {
            assert_eq!(filled(argument).as_deref(), Ok(wanted), "{argument}");
        }
    }

    #[test]
    fn other_braces_stay() {
        for argument in
            ["{}", "{\"lr\": 1}", "${lr}", "{lr", "lr}", "{ lr }", "{1}", "{0:>5}", "{a,b}", "{{", "}}"]
        {
            assert_eq!(filled(argument).as_deref(), Ok(argument));
        }
        assert_eq!(filled("{{lr}}").as_deref(), Ok("{lr}"));
        assert_eq!(filled("awk {{print}} {{\"a\": {lr}}}").as_deref(), Ok("awk {print} {{\"a\": 0.001}}"));
    }

    #[test]
    fn a_name_nobody_knows_is_told() {
        assert_eq!(filled("{lr} {lrr}"), Err("lrr"));
        assert_eq!(filled("{deep.er.m}"), Err("deep.er.m"));
    }
}
