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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(Escaped("a\u{1b}[2Jb\nc é").to_string(), "a\\u{1b}[2Jb\\nc é");
    }
}
