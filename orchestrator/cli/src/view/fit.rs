//! Text in columns of a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text, or as much of its beginning as fits, with `…` for the rest.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used < columns
    });
    let mut kept: String = kept.collect();
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// The text with its middle left out, where ids differ least often.
pub(crate) fn cut_middle(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let tail_columns = columns / 3;
    let mut used = 0;
    let mut tail: Vec<_> = text
        .chars()
        .rev()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= tail_columns
        })
        .collect();
    tail.reverse();
    let tail = String::from_iter(tail);
    cut(text, columns - tail.width()) + &tail
}

/// Cut or filled up with spaces on the right.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let gap = columns - text.width();
    text + &" ".repeat(gap)
}

/// Cut or filled up with spaces on the left.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns - text.width()) + &text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits_its_columns() {
        for text in ["", "abc", "abcdefghij", "日本語テキスト", "e\u{301}tude étude"] {
            for columns in 0..12 {
                assert_eq!(width(&left(text, columns)), columns, "{text:?}");
                assert_eq!(width(&right(text, columns)), columns, "{text:?}");
                assert!(width(&cut_middle(text, columns)) <= columns, "{text:?}");
            }
        }
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut_middle("abcdefghijkl", 9), "abcde…jkl");
        assert_eq!(right("日本", 5), " 日本");
    }
}
