//! What is wrong with a spec, shown where it is: file, line, column, the line itself, and what is
//! allowed there.

use std::ops::Range;
use std::path::Path;

use unicode_width::UnicodeWidthStr;

use crate::view::paint::Paint;
use crate::view::words::escape;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpecError {
    /// Bytes of the source.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) message: String,
    /// Beside the marked place; may be empty.
    pub(crate) label: String,
    /// What is allowed; may be empty.
    pub(crate) help: String,
}

impl SpecError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { span, message: message.into(), label: label.into(), help: String::new() }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// As rustc does it, so that editors find the place.
    pub(crate) fn render(&self, file: &Path, source: &str, paint: Paint) -> String {
        let place = Place::of(source, &self.span);
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        let bar = paint.blue("|");
        let marks = paint.red(&format!("{} {}", "^".repeat(place.width), escape(&self.label)));
        let mut text = format!(
            "{}: {}\n{gutter}{} {}:{}:{}\n{gutter} {bar}\n{} {bar} {}\n{gutter} {bar} {}{}\n",
            paint.red("error"),
            paint.bold(&escape(&self.message)),
            paint.blue("-->"),
            escape(&file.to_string_lossy()),
            place.line,
            place.column,
            paint.blue(&number),
            place.text,
            " ".repeat(place.indent),
            marks.trim_end(),
        );
        for (index, line) in self.help.lines().enumerate() {
            let lead = if index == 0 {
                format!("{gutter} {} {}: ", paint.blue("="), paint.bold("help"))
            } else {
                format!("{gutter}         ")
            };
            text.push_str(&format!("{lead}{}\n", escape(line)));
        }
        text
    }
}

/// Where a span is, for people.
struct Place {
    /// From 1 on.
    line: usize,
    /// In characters, from 1 on.
    column: usize,
    /// The line, safe to show.
    text: String,
    /// Columns on the screen before the span.
    indent: usize,
    /// Columns on the screen under the span's part of this line.
    width: usize,
}

impl Place {
    fn of(source: &str, span: &Range<usize>) -> Self {
        let start = boundary(source, span.start);
        let end = boundary(source, span.end.max(start));
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[line_start..].find('\n').map_or(source.len(), |at| line_start + at);
        let shown = |range: Range<usize>| escape(source[range].trim_end_matches('\r'));
        let before = shown(line_start..start.min(line_end));
        let marked =
            shown(start.min(line_end)..end.clamp(start, line_end.max(start)).min(line_end.max(start)));
        Self {
            line: source[..start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            indent: before.width(),
            width: marked.width().max(1),
            text: shown(line_start..line_end),
        }
    }
}

/// The nearest place at or before `at` where a character begins, or the end.
fn boundary(source: &str, at: usize) -> usize {
    (0..=at.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, span: Range<usize>) -> String {
        SpecError::new(span, "bad", "here").help("one\ntwo").render(Path::new("a.toml"), source, Paint::PLAIN)
    }

    #[test]
    fn the_place_is_marked() {
        let text = render("a = 1\n\tb = \"日本\"\n", 11..19);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "error: bad",
                " --> a.toml:2:6",
                "  |",
                "2 |     b = \"日本\"",
                "  |         ^^^^^^ here",
                "  = help: one",
                "          two",
            ]
        );
    }

    #[test]
    fn spans_at_the_edges() {
        for source in ["", "\n", "a", "a\r\nb", "日"] {
            for start in 0..=source.len() + 1 {
                for end in start..=source.len() + 1 {
                    let text = render(source, start..end);
                    assert!(text.contains('^'), "{source:?} {start}..{end}");
                }
            }
        }
    }
}
