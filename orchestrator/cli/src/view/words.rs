//! Facts in words, safe to show on a terminal.

use std::time::Duration;

use trainwire::job::StopReason;
use trainwire::record::{Ending, Exit, Metrics, Rung, Scalar, TrainerFailure};
use trainwire::status::Wait;

/// Text of others, on one line: what would move the cursor, ring or turn the direction of writing
/// is shown as its code. Colours are left out.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = skip_escape_sequence(rest) {
            rest = after;
            continue;
        }
        match character {
            '\t' => safe.push_str("    "),
            c if c.is_control() || TURNS_DIRECTION.contains(&c) => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
        rest = &rest[character.len_utf8()..];
    }
    safe
}

/// The lines of a log as a terminal would have shown them: a progress bar that redraws itself with
/// carriage returns is one line.
pub(crate) fn log_lines(log: &str) -> Vec<String> {
    let shown = |line: &str| escape(line.trim_end().rsplit('\r').next().unwrap_or_default());
    log.trim_end().lines().map(shown).collect()
}

/// What ended a delivery, e.g. `ValueError: lr is negative`.
pub(crate) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Succeeded { .. } => "succeeded".to_owned(),
        Ending::Failed { error, exit: exited } => failure(error, exited.as_ref()),
        Ending::Retry { error, .. } => format!("asked for a retry: {}", failure(error, None)),
        Ending::Crashed { exit: exited } => format!("crashed: {}", exit(exited)),
        Ending::Lost => "not heard of for lost_timeout".to_owned(),
        Ending::Stalled => "no progress for stall_timeout".to_owned(),
        Ending::Stopped { reason, rung, .. } => stopped(*reason, *rung),
        Ending::Returned { code } => format!("not begun ({})", escape(code)),
    }
}

/// How a process ended.
pub(crate) fn exit(exit: &Exit) -> String {
    match exit {
        Exit::NotStarted { error, .. } => escape(error),
        Exit::Code { .. } => exit.to_string(),
        Exit::Signal { out_of_memory: true, .. } => "killed: out of memory".to_owned(),
        Exit::Signal { signal, core_dumped, .. } => {
            let name = nix::sys::signal::Signal::try_from(*signal)
                .map_or(format!("signal {signal}"), |s| s.to_string());
            format!("killed by {name}{}", if *core_dumped { ", core dumped" } else { "" })
        }
        Exit::Unknown => "ended, nobody knows how".to_owned(),
    }
}

/// Why a stop was asked for.
pub(crate) fn reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "cancelled",
        StopReason::Interrupted => "interrupted",
        StopReason::Stalled => "no progress",
        StopReason::Lost => "not heard of",
        StopReason::Pruned => "pruned",
        _ => "asked to stop",
    }
}

/// What a task waits for.
pub(crate) fn wait(wait: Wait) -> String {
    match wait {
        Wait::Socket => "for the job's socket".to_owned(),
        Wait::Backoff { left } => format!("{} until the next attempt", duration(left)),
        Wait::NextStart { left } => format!("{} until a trainer is started again", duration(left)),
        Wait::TrainerStarting => "for a trainer that is starting".to_owned(),
        Wait::TrainersBusy { trainers } => {
            format!("for one of {} to be free", count(trainers, "busy trainer"))
        }
        Wait::TrainersUnavailable { unresponsive, disconnected, leaving } => {
            let parts =
                [(unresponsive, "unresponsive"), (disconnected, "disconnected"), (leaving, "leaving")];
            let said = parts.iter().filter(|(number, _)| *number > 0);
            let said: Vec<_> = said.map(|(number, how)| format!("{number} {how}")).collect();
            format!("for a trainer: {}", said.join(", "))
        }
        Wait::Slots { needed, free, ahead } => {
            let turn =
                if ahead > 0 { format!(", after {}", count(ahead, "other job")) } else { String::new() };
            format!("for {}, {free} free{turn}", count(needed, "slot"))
        }
        Wait::TrainerByHand => "for a trainer started by hand".to_owned(),
        _ => "for something this version has no words for".to_owned(),
    }
}

/// Metrics in one line, e.g. `loss 0.1234 · accuracy 0.9711`.
pub(crate) fn metrics<'a>(metrics: impl IntoIterator<Item = (&'a str, f64)>) -> String {
    let shown: Vec<_> =
        metrics.into_iter().map(|(name, value)| format!("{} {}", escape(name), number(value))).collect();
    shown.join(" · ")
}

/// A result's metrics in one line.
pub(crate) fn scalars(metrics: &Metrics) -> String {
    let shown: Vec<_> =
        metrics.iter().map(|(name, value)| format!("{} {}", escape(name), scalar(value))).collect();
    shown.join(" · ")
}

/// A number or a text.
pub(crate) fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Number(value) => number(*value),
        Scalar::Text(text) => escape(text),
    }
}

/// Four significant digits; whole numbers whole, and short ones as they are.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value.is_finite() && value.to_string().len() <= SHORT_NUMBER_COLUMNS => {
            (value + 0.0).to_string()
        }
        _ if !value.is_finite() => value.to_string().to_lowercase(),
        _ if value.fract() == 0.0 && size < 1e9 => format!("{:.0}", value + 0.0),
        1e6.. => format!("{value:.3e}"),
        1e3.. => format!("{value:.0}"),
        1e2.. => format!("{value:.1}"),
        1e1.. => format!("{value:.2}"),
        1e0.. => format!("{value:.3}"),
        1e-1.. => format!("{value:.4}"),
        1e-2.. => format!("{value:.5}"),
        1e-3.. => format!("{value:.6}"),
        _ => format!("{value:.3e}"),
    }
}

/// A time that passed: `0.4 s`, `12.3 s`, `2:05`, `1:02:05`.
pub(crate) fn duration(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        clock(duration)
    }
}

/// A time that passes: `0:12`, `2:05`, `1:02:05`.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn failure(error: &TrainerFailure, exited: Option<&Exit>) -> String {
    let text = escape(error.text.lines().next().unwrap_or_default());
    match (error.kind.as_str(), exited) {
        ("exit" | "", Some(exited)) if text.is_empty() => exit(exited),
        ("exit" | "", _) => text,
        (kind, _) if text.is_empty() => escape(kind),
        (kind, _) => format!("{}: {text}", escape(kind)),
    }
}

fn stopped(why: StopReason, rung: Rung) -> String {
    let how = match rung {
        Rung::Asked => "stopped",
        Rung::Terminated => "stopped by SIGTERM",
        Rung::Killed => "killed",
    };
    format!("{how} ({})", reason(why))
}

/// What follows a CSI sequence (`ESC [ … letter`) at the start of the text.
fn skip_escape_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='?' | ' '..='/'))?;
    let last = parameters[end..].chars().next()?;
    matches!(last, '@'..='~').then(|| &parameters[end + 1..])
}

/// `0.001`, `-0.25`, `12345`.
const SHORT_NUMBER_COLUMNS: usize = 5;

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm.
const TURNS_DIRECTION: &[char] = &[
    '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(escape("a\x1b[31;1mred\x1b[0m b"), "ared b");
        assert_eq!(escape("\x1b]0;title\x07 \x1b[2"), "\\u{1b}]0;title\\u{7} \\u{1b}[2");
        assert_eq!(escape("a\tb\nc\u{202e}d\u{9b}e"), "a    b\\nc\\u{202e}d\\u{9b}e");
        assert_eq!(log_lines("10%\r50%\r100%\r\nüber\n\n"), ["100%", "über"]);
    }

    #[test]
    fn numbers_keep_four_digits() {
        let shown = [
            (0.97111, "0.9711"),
            (12.3456, "12.35"),
            (20.0, "20"),
            (-0.0, "0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.12, "0.12"),
            (12345.6, "12346"),
            (1.234e-5, "1.234e-5"),
            (1.5e12, "1.500e12"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in shown {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration(Duration::from_millis(430)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(125)), "2:05");
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
    }
}
