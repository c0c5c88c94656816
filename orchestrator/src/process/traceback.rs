//! What a Python script that fails says last, where it is all that is known: the traceback the interpreter
//! wrote into the log.
//!
//! ```text
//! Traceback (most recent call last):
//!   File "train.py", line 3, in <module>
//!     raise ValueError("lr is negative")
//! ValueError: lr is negative
//! ```

use crate::record::TrainerFailure;

/// The last traceback in the end of a log, if nothing else was said after it than its exception's own text.
/// Of a chain (`During handling of the above exception …`) it is the last exception that counts.
pub(super) fn find(log_tail: &str) -> Option<TrainerFailure> {
    let lines: Vec<&str> = log_tail.lines().collect();
    let first = lines.iter().rposition(|line| line.starts_with(HEADING))?;
    // Frames are indented; what is not names the exception. Its text may have several lines.
    let end = first + 1 + lines.get(first + 1..)?.iter().position(|line| is_exception(line))?;
    let (kind, text) = lines[end].split_once(": ").unwrap_or((lines[end], ""));
    Some(TrainerFailure {
        kind: kind.rsplit('.').next().unwrap_or(kind).trim_end_matches(':').to_owned(),
        text: text.to_owned(),
        traceback: lines[first..].join("\n"),
        fatal: false,
    })
}

/// E.g. `ValueError: lr is negative`, `torch.OutOfMemoryError`.
fn is_exception(line: &str) -> bool {
    let kind = line.split(':').next().unwrap_or(line);
    !kind.is_empty()
        && kind.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && kind.chars().all(|c| c.is_alphanumeric() || "._".contains(c))
}

const HEADING: &str = "Traceback (most recent call last):";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_exception_is_the_cause() {
        let log = "epoch 1\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n\n\
                   During handling of the above exception, another exception occurred:\n\n\
                   Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    f()\n    ~^^\n\
                   lab.errors.BadRate: lr is negative: -1\n";
        let failure = find(log).unwrap();
        assert_eq!(failure.to_string(), "BadRate: lr is negative: -1");
        assert!(failure.traceback.starts_with("Traceback (most recent call last):\n  File \"a.py\", line 3"));
        assert!(failure.traceback.ends_with("lr is negative: -1"));
        assert_eq!(
            find("Traceback (most recent call last):\n  File \"a\"\nKeyboardInterrupt").unwrap().text,
            ""
        );
    }

    #[test]
    fn without_one_nothing_is_said() {
        for log in ["", "error: no\n", "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n"]
        {
            assert_eq!(find(log), None, "{log:?}");
        }
    }
}
