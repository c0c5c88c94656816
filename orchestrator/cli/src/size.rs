//! Amounts of memory, as people write them.

use trainwire::job::{SLAB_SIZE_BYTES_MAX, SLAB_SIZE_BYTES_MIN};

/// A whole number with its unit, in bytes.
pub(crate) fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(SizeError::Syntax),
    };
    if number.is_empty() {
        return Err(SizeError::Syntax);
    }
    // Only too many digits are left to be wrong.
    let size_bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size_bytes
        .filter(|size_bytes| (SLAB_SIZE_BYTES_MIN..=SLAB_SIZE_BYTES_MAX).contains(size_bytes))
        .ok_or(SizeError::Range)
}

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeError {
    /// No number, no unit, another unit, a sign, a fraction.
    Syntax,
    /// More or less than a slab can have.
    Range,
}

impl std::fmt::Display for SizeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syntax => "a size is a whole number with its unit MiB, GiB or TiB, e.g. 256MiB, 4GiB",
            Self::Range => "must be from 1MiB to 1TiB",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_its_unit() {
        assert_eq!(parse("256MiB"), Ok(256 << 20));
        assert_eq!(parse("4GiB"), Ok(4 << 30));
        assert_eq!(parse("1TiB"), Ok(1 << 40));
        for text in ["", "256", "MiB", "256MB", "256 MiB", "1.5GiB", "-1GiB", "1GiB2MiB", "256mib"] {
            assert_eq!(parse(text), Err(SizeError::Syntax), "{text:?}");
        }
        for text in ["0MiB", "2TiB", "99999999999999999999GiB", "99999999999999TiB"] {
            assert_eq!(parse(text), Err(SizeError::Range), "{text:?}");
        }
    }
}
