//! Names and numbers that travel: job ids, deliveries, instances, tokens.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::{JOB_ID_SIZE_BYTES_MAX, TOKEN_SIZE_BYTES};

/// The name of a job: `[A-Za-z0-9]+([._-][A-Za-z0-9]+)*`, at most 76 bytes.
///
/// It becomes a part of a socket's path, so it can hold neither a separator nor `..`; a value of
/// this type is the proof. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Arc<str>);

/// Why a text is not a job id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobIdError {
    /// Nothing at all.
    #[error(
        "a job id cannot be empty; use 1 to {JOB_ID_SIZE_BYTES_MAX} of A-Z a-z 0-9 with single . _ - between them"
    )]
    Empty,
    /// The socket's path would not fit.
    #[error(
        "a job id has at most {JOB_ID_SIZE_BYTES_MAX} bytes (its socket's path may have 107), this one has {size_bytes}"
    )]
    TooLong {
        /// What it has.
        size_bytes: usize,
    },
    /// A separator, a space, a NUL, a letter outside ASCII …
    #[error(
        "job id: {character:?} at byte {at} is not allowed; use A-Z a-z 0-9 with single . _ - between them"
    )]
    Character {
        /// The first offender.
        character: char,
        /// Its place.
        at: usize,
    },
    /// `.`, `_` or `-` first, last or twice in a row.
    #[error("job id: {character:?} at byte {at} must stand between two letters or digits")]
    Separator {
        /// The first offender.
        character: char,
        /// Its place.
        at: usize,
    },
}

impl JobId {
    /// Checks a text.
    pub fn new(text: &str) -> Result<Self, JobIdError> {
        if text.is_empty() {
            return Err(JobIdError::Empty);
        }
        if text.len() > JOB_ID_SIZE_BYTES_MAX {
            return Err(JobIdError::TooLong { size_bytes: text.len() });
        }
        let mut after_alphanumeric = false;
        for (at, character) in text.char_indices() {
            match character {
                _ if character.is_ascii_alphanumeric() => after_alphanumeric = true,
                '.' | '_' | '-' if after_alphanumeric && at + 1 < text.len() => after_alphanumeric = false,
                '.' | '_' | '-' => return Err(JobIdError::Separator { character, at }),
                _ => return Err(JobIdError::Character { character, at }),
            }
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JobIdError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        "bad_job_id"
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for JobId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// One handing of one task to one trainer, numbered from 1 across the whole journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery(pub u64);

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A recycled piece of memory that an orchestrator shares with its trainers, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlabId(pub u64);

impl fmt::Display for SlabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A trainer process, as long as it lives: 128 bits it chose at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(pub u128);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({:032x})", self.0)
    }
}

/// What a trainer started by the orchestrator shows at its first Hello: 128 random bits from its
/// environment. Compared in constant time, never printed.
#[derive(Clone, Copy)]
pub struct Token(pub [u8; TOKEN_SIZE_BYTES]);

impl Token {
    /// 32 hexadecimal digits, as in the environment.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The inverse of [`Token::to_hex`]; `None` for anything but 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 2 * TOKEN_SIZE_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self(u128::from_str_radix(text, 16).ok()?.to_be_bytes()))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |seen, (a, b)| seen | (a ^ b));
        difference == 0
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_that_fit_a_socket_path() {
        for text in ["a", "digits", "digits-2026.11_b", "A1", &"x".repeat(76)] {
            assert_eq!(JobId::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn job_ids_that_do_not() {
        use JobIdError::{Character, Empty, Separator, TooLong};
        assert_eq!(JobId::new(""), Err(Empty));
        assert_eq!(JobId::new(&"x".repeat(300)), Err(TooLong { size_bytes: 300 }));
        assert_eq!(JobId::new("a/b"), Err(Character { character: '/', at: 1 }));
        assert_eq!(JobId::new("a\0b"), Err(Character { character: '\0', at: 1 }));
        assert_eq!(JobId::new("é"), Err(Character { character: 'é', at: 0 }));
        assert_eq!(JobId::new(".."), Err(Separator { character: '.', at: 0 }));
        assert_eq!(JobId::new("a..b"), Err(Separator { character: '.', at: 2 }));
        assert_eq!(JobId::new("a-"), Err(Separator { character: '-', at: 1 }));
    }

    #[test]
    fn tokens_survive_the_environment() {
        let token = Token(*b"0123456789abcdef");
        assert_eq!(Token::from_hex(&token.to_hex()), Some(token));
        assert_eq!(Token::from_hex("+123456789abcdef0123456789abcdef"), None);
        assert_eq!(Token::from_hex("abc"), None);
    }
}
