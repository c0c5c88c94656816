//! Durations as people write them: `250ms`, `5s`, `10m`, `1h`, `1h30m`.

use std::time::Duration;

/// Reads a duration: whole numbers, each with a unit, added up.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(DurationError::Syntax),
        };
        let number: u32 = number.parse().map_err(|_| DurationError::Syntax)?;
        total = unit
            .checked_mul(number)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    match total {
        _ if text.is_empty() => Err(DurationError::Syntax),
        total if total > DURATION_MAX => Err(DurationError::TooLong),
        total => Ok(total),
    }
}

/// As [`parse`], for limits that would fire at once if they were nothing.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, DurationError> {
    match parse(text)? {
        Duration::ZERO => Err(DurationError::Zero),
        duration => Ok(duration),
    }
}

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurationError {
    /// No number, no unit, another unit, a sign, a fraction.
    Syntax,
    /// More than [`DURATION_MAX`].
    TooLong,
    /// Nothing, where that makes no sense.
    Zero,
}

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syntax => {
                "a duration is a whole number with its unit ms, s, m or h, e.g. 250ms, 5s, 10m, 1h30m"
            }
            Self::TooLong => "the longest duration is 8784h, a year",
            Self::Zero => "must be longer than nothing",
        })
    }
}

impl std::error::Error for DurationError {}

/// A year: far beyond every use, and far from what overflows an instant.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn anything_else() {
        for text in ["", "5", "s", "5 s", "1.5s", "-1s", "5sec", "5s ", "99999999999s", "٣s"] {
            assert_eq!(parse(text), Err(DurationError::Syntax), "{text:?}");
        }
        assert_eq!(parse("9999h"), Err(DurationError::TooLong));
        assert_eq!(parse("4294967295h4294967295h"), Err(DurationError::TooLong));
        assert_eq!(parse_positive("0ms"), Err(DurationError::Zero));
    }
}
