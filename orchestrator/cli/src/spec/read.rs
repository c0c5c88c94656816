//! Values of a spec, each of the type its key wants; mistakes are kept, and reading goes on.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};
use trainwire::limits::STRING_SIZE_BYTES_MAX;

use super::error::SpecError;
use crate::duration::{self, DurationError};
use crate::size::{self, SizeError};

/// A value and where it stands.
pub(super) type Node<'a> = Spanned<DeValue<'a>>;

/// Collects mistakes.
pub(super) struct Reader<'a> {
    pub(super) source: &'a str,
    pub(super) errors: Vec<SpecError>,
    /// A task reads standard input, so no other can.
    pub(super) input_taken: bool,
}

impl Reader<'_> {
    pub(super) fn push(&mut self, error: SpecError) {
        self.errors.push(error);
    }

    /// A key that is not `known` in this `place`.
    pub(super) fn unknown(&mut self, key: &str, span: Range<usize>, place: &str, known: &[&str]) {
        let nearest = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(key, name), name))
            .min()
            .filter(|(distance, name)| *distance <= name.len().div_ceil(3));
        let label = nearest.map_or("not known".to_owned(), |(_, name)| format!("did you mean `{name}`?"));
        let help = format!("{place} takes {}", wrap(known));
        self.push(SpecError::new(span, format!("unknown key `{key}` in {place}"), label).help(help));
    }

    fn wrong_type<T>(&mut self, key: &str, value: &Node<'_>, expected: &str) -> Option<T> {
        let message = format!("`{key}` must be {expected}, not {}", type_name(value.get_ref()));
        self.push(SpecError::new(value.span(), message, format!("expected {expected}")));
        None
    }

    pub(super) fn refuse<T>(
        &mut self,
        key: &str,
        value: &Node<'_>,
        why: impl std::fmt::Display,
    ) -> Option<T> {
        let said = self.source.get(value.span()).filter(|said| said.len() <= QUOTED_SIZE_BYTES_MAX);
        let message = match said.filter(|said| !said.contains('\n')) {
            Some(said) => format!("`{key}` cannot be {said}"),
            None => format!("`{key}` cannot be this"),
        };
        self.push(SpecError::new(value.span(), message, why.to_string()));
        None
    }

    /// Text without NUL, which no program could be given.
    pub(super) fn text(&mut self, key: &str, value: &Node<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                self.refuse(key, value, "contains a NUL character")
            }
            DeValue::String(text) => Some(text.to_string()),
            _ => self.wrong_type(key, value, "text in quotes"),
        }
    }

    /// As [`Reader::text`], for names that travel to the trainer.
    pub(super) fn name(&mut self, key: &str, value: &Node<'_>) -> Option<String> {
        let text = self.text(key, value)?;
        match text.len() {
            0 => self.refuse(key, value, "is empty"),
            length if length > STRING_SIZE_BYTES_MAX => self.refuse(
                key,
                value,
                format!("has {length} bytes, at most {STRING_SIZE_BYTES_MAX} are allowed"),
            ),
            _ => Some(text),
        }
    }

    pub(super) fn truth(&mut self, key: &str, value: &Node<'_>) -> Option<bool> {
        value.get_ref().as_bool().or_else(|| self.wrong_type(key, value, "true or false"))
    }

    pub(super) fn count<T>(&mut self, key: &str, value: &Node<'_>, min: T, max: T) -> Option<T>
    where
        T: TryFrom<i64> + Into<i64> + std::fmt::Display + Copy,
    {
        let Some(number) = value.get_ref().as_integer() else {
            return self.wrong_type(key, value, "a whole number");
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if (min.into()..=max.into()).contains(&number) => T::try_from(number).ok(),
            _ => self.refuse(key, value, format!("must be from {min} to {max}")),
        }
    }

    pub(super) fn duration(&mut self, key: &str, value: &Node<'_>, zero: bool) -> Option<Duration> {
        let parse = if zero { duration::parse } else { duration::parse_positive };
        match value.get_ref() {
            DeValue::String(text) => parse(text).map_or_else(|error| self.refuse(key, value, error), Some),
            DeValue::Integer(_) | DeValue::Float(_) => {
                let message = format!("`{key}` has no unit");
                self.push(
                    SpecError::new(value.span(), message, "write e.g. \"5s\"")
                        .help(DurationError::Syntax.to_string()),
                );
                None
            }
            _ => self.wrong_type(key, value, "a duration, e.g. \"5s\""),
        }
    }

    pub(super) fn size(&mut self, key: &str, value: &Node<'_>) -> Option<u64> {
        match value.get_ref() {
            DeValue::String(text) => {
                size::parse(text).map_or_else(|error| self.refuse(key, value, error), Some)
            }
            DeValue::Integer(_) | DeValue::Float(_) => {
                let message = format!("`{key}` has no unit");
                self.push(
                    SpecError::new(value.span(), message, "write e.g. \"256MiB\"")
                        .help(SizeError::Syntax.to_string()),
                );
                None
            }
            _ => self.wrong_type(key, value, "a size, e.g. \"256MiB\""),
        }
    }

    pub(super) fn list<'v>(
        &mut self,
        key: &str,
        value: &'v Node<'v>,
        expected: &str,
    ) -> Option<&'v [Node<'v>]> {
        match value.get_ref() {
            DeValue::Array(list) => Some(list),
            _ => self.wrong_type(key, value, expected),
        }
    }

    pub(super) fn table<'v>(&mut self, key: &str, value: &'v Node<'v>) -> Option<&'v DeTable<'v>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(
                key,
                value,
                &format!("a table: [{key}] on a line of its own, then name = value"),
            ),
        }
    }

    /// Parameters, of any type msgpack knows.
    pub(super) fn params(&mut self, key: &str, value: &Node<'_>) -> Option<Table> {
        let table = self.table(key, value)?;
        Some(self.params_of(table))
    }

    fn params_of(&mut self, table: &DeTable<'_>) -> Table {
        let entries = table.iter().filter_map(|(name, value)| {
            let name = name.get_ref().to_string();
            Some((name.clone(), self.param(&name, value)?))
        });
        entries.collect()
    }

    pub(super) fn param(&mut self, key: &str, value: &Node<'_>) -> Option<Value> {
        Some(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => return self.refuse(key, value, "does not fit into 64 bits"),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => return self.refuse(key, value, "is not a number"),
            },
            DeValue::Array(list) => {
                Value::Array(list.iter().filter_map(|item| self.param(key, item)).collect())
            }
            DeValue::Table(table) => Value::Table(self.params_of(table)),
            DeValue::Datetime(_) => return self.refuse(key, value, "msgpack has no dates: put it in quotes"),
        })
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Names with commas, in lines that fit a terminal.
fn wrap(names: &[&str]) -> String {
    let mut text = String::new();
    let mut width = 0;
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            let separator = if width > LIST_WIDTH { ",\n" } else { ", " };
            width = if width > LIST_WIDTH { 0 } else { width };
            text.push_str(separator);
        }
        text.push_str(name);
        width += name.len() + 2;
    }
    text
}

const LIST_WIDTH: usize = 60;

/// What is repeated in a message; longer values are only pointed at.
const QUOTED_SIZE_BYTES_MAX: usize = 40;
