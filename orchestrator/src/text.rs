//! Text from outside, made fit for logs.

use std::fmt::{self, Write};

/// Shows a text with its control characters escaped, so that no task id can move a terminal's
/// cursor or forge a line of a log.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// As [`Escaped`], for several lines: newlines and tabs stay.
pub(crate) fn escape_lines(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => escaped.push(character),
            _ if character.is_control() => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(Escaped("a\u{1b}[2Jb\nc é").to_string(), "a\\u{1b}[2Jb\\nc é");
        assert_eq!(escape_lines("50%\r100%\n\tdone\u{7}"), "50%\\r100%\n\tdone\\u{7}");
    }
}
