//! msgpack, read without allocating and without recursing: hyperparameters come from anywhere, and a
//! decoder that builds values first can be made to build gigabytes out of a few megabytes.
//!
//! ```
//! use trainwire_protocol::msgpack::{Token, Walker};
//!
//! let tokens: Result<Vec<_>, _> = Walker::new(b"\x81\xa2lr\x92\x01\xc0").collect();
//! assert_eq!(tokens?, [Token::Map(1), Token::Str("lr"), Token::Array(2), Token::Uint(1), Token::Nil]);
//! # Ok::<(), trainwire_protocol::msgpack::MsgpackError>(())
//! ```

use crate::limits::MSGPACK_DEPTH_MAX;

/// Checks that the bytes are exactly one msgpack value.
///
/// # Errors
///
/// What is wrong, and at which byte.
pub fn check(bytes: &[u8]) -> Result<(), MsgpackError> {
    Walker::new(bytes).try_for_each(|token| token.map(drop))
}

/// The smallest part of a value: a scalar, or the head of an array or map whose elements follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer in one of the signed forms; it may be positive.
    Int(i64),
    /// An integer in one of the unsigned forms.
    Uint(u64),
    /// 32 bit floating point.
    F32(f32),
    /// 64 bit floating point.
    F64(f64),
    /// Text, checked to be UTF-8.
    Str(&'a str),
    /// Bytes.
    Bin(&'a [u8]),
    /// This many values follow. At least as many bytes do, so it is safe to make room for them.
    Array(u32),
    /// This many pairs of key and value follow. At least twice as many bytes do.
    Map(u32),
    /// An application's type and its bytes, e.g. -1 for a timestamp.
    Ext(i8, &'a [u8]),
}

/// Why bytes are not one msgpack value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not msgpack at byte {at_byte}: {kind}")]
pub struct MsgpackError {
    /// What is wrong.
    pub kind: MsgpackErrorKind,
    /// Where: the first byte of the value concerned, or the end.
    pub at_byte: usize,
}

/// See [`MsgpackError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MsgpackErrorKind {
    /// The bytes end where a value should begin or go on.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// A length is larger than what is left.
    #[error("a length reaches beyond the end of the bytes")]
    LengthBeyondEnd,
    /// 0xc1, which msgpack never uses.
    #[error("0xc1 begins no value")]
    Reserved,
    /// More than [`MSGPACK_DEPTH_MAX`] arrays and maps inside each other.
    #[error("arrays and maps are nested deeper than {MSGPACK_DEPTH_MAX}")]
    TooDeep,
    /// A text that is none.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// Something follows the value.
    #[error("bytes follow the value")]
    TrailingBytes,
}

impl MsgpackError {
    /// Stable, for programs. Codes are never renamed; new ones are only added.
    pub fn code(&self) -> &'static str {
        match self.kind {
            MsgpackErrorKind::Truncated => "msgpack_truncated",
            MsgpackErrorKind::LengthBeyondEnd => "msgpack_length",
            MsgpackErrorKind::Reserved => "msgpack_reserved",
            MsgpackErrorKind::TooDeep => "msgpack_too_deep",
            MsgpackErrorKind::NotUtf8 => "msgpack_not_utf8",
            MsgpackErrorKind::TrailingBytes => "msgpack_trailing_bytes",
        }
    }
}

/// Gives the tokens of one value in order. Ends after the value, or after the first error.
#[derive(Clone, Debug)]
pub struct Walker<'a> {
    bytes: &'a [u8],
    /// `at <= bytes.len()`
    at: usize,
    /// Values missing in each open array or map, the innermost last, which is not 0.
    missing: [u64; MSGPACK_DEPTH_MAX],
    /// `depth <= MSGPACK_DEPTH_MAX`
    depth: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Inside,
    Over,
}

impl<'a> Walker<'a> {
    /// At the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, missing: [0; MSGPACK_DEPTH_MAX], depth: 0, state: State::Start }
    }

    /// The place of the next token.
    pub fn at_byte(&self) -> usize {
        self.at
    }

    fn step(&mut self) -> Result<Option<Token<'a>>, MsgpackErrorKind> {
        if self.state == State::Inside && self.depth == 0 {
            return if self.at == self.bytes.len() { Ok(None) } else { Err(MsgpackErrorKind::TrailingBytes) };
        }
        self.state = State::Inside;
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let token = token(&mut rest)?;
        let values = match token {
            Token::Array(count) => u64::from(count),
            Token::Map(pairs) => 2 * u64::from(pairs),
            _ => 0,
        };
        // Every value has a byte, so a count beyond the rest is a lie, and is found before anyone
        // makes room for it.
        if values > rest.len() as u64 {
            return Err(MsgpackErrorKind::LengthBeyondEnd);
        }
        if let Some(missing) = self.innermost() {
            *missing -= 1;
        }
        if values > 0 {
            *self.missing.get_mut(self.depth).ok_or(MsgpackErrorKind::TooDeep)? = values;
            self.depth += 1;
        }
        while self.innermost().is_some_and(|missing| *missing == 0) {
            self.depth -= 1;
        }
        self.at = self.bytes.len() - rest.len();
        Ok(Some(token))
    }

    fn innermost(&mut self) -> Option<&mut u64> {
        self.depth.checked_sub(1).and_then(|top| self.missing.get_mut(top))
    }
}

impl<'a> Iterator for Walker<'a> {
    type Item = Result<Token<'a>, MsgpackError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Over {
            return None;
        }
        let token = self.step();
        if !matches!(token, Ok(Some(_))) {
            self.state = State::Over;
        }
        token.map_err(|kind| MsgpackError { kind, at_byte: self.at }).transpose()
    }
}

impl std::iter::FusedIterator for Walker<'_> {}

/// Takes one token off the front.
fn token<'a>(rest: &mut &'a [u8]) -> Result<Token<'a>, MsgpackErrorKind> {
    let [head] = number(rest)?;
    Ok(match head {
        0x00..=0x7f => Token::Uint(head.into()),
        0x80..=0x8f => Token::Map((head & 0x0f).into()),
        0x90..=0x9f => Token::Array((head & 0x0f).into()),
        0xa0..=0xbf => Token::Str(text(take(rest, (head & 0x1f).into())?)?),
        0xc0 => Token::Nil,
        0xc1 => return Err(MsgpackErrorKind::Reserved),
        0xc2 => Token::Bool(false),
        0xc3 => Token::Bool(true),
        0xc4 => Token::Bin(blob(rest, Width::One)?),
        0xc5 => Token::Bin(blob(rest, Width::Two)?),
        0xc6 => Token::Bin(blob(rest, Width::Four)?),
        0xc7 => ext(rest, Width::One)?,
        0xc8 => ext(rest, Width::Two)?,
        0xc9 => ext(rest, Width::Four)?,
        0xca => Token::F32(f32::from_be_bytes(number(rest)?)),
        0xcb => Token::F64(f64::from_be_bytes(number(rest)?)),
        0xcc => Token::Uint(u8::from_be_bytes(number(rest)?).into()),
        0xcd => Token::Uint(u16::from_be_bytes(number(rest)?).into()),
        0xce => Token::Uint(u32::from_be_bytes(number(rest)?).into()),
        0xcf => Token::Uint(u64::from_be_bytes(number(rest)?)),
        0xd0 => Token::Int(i8::from_be_bytes(number(rest)?).into()),
        0xd1 => Token::Int(i16::from_be_bytes(number(rest)?).into()),
        0xd2 => Token::Int(i32::from_be_bytes(number(rest)?).into()),
        0xd3 => Token::Int(i64::from_be_bytes(number(rest)?)),
        0xd4..=0xd8 => {
            let kind = i8::from_be_bytes(number(rest)?);
            Token::Ext(kind, take(rest, 1 << (head - 0xd4))?)
        }
        0xd9 => Token::Str(text(blob(rest, Width::One)?)?),
        0xda => Token::Str(text(blob(rest, Width::Two)?)?),
        0xdb => Token::Str(text(blob(rest, Width::Four)?)?),
        0xdc => Token::Array(length(rest, Width::Two)?),
        0xdd => Token::Array(length(rest, Width::Four)?),
        0xde => Token::Map(length(rest, Width::Two)?),
        0xdf => Token::Map(length(rest, Width::Four)?),
        0xe0..=0xff => Token::Int(i8::from_be_bytes([head]).into()),
    })
}

/// How many bytes a length takes.
#[derive(Clone, Copy)]
enum Width {
    One,
    Two,
    Four,
}

fn length(rest: &mut &[u8], width: Width) -> Result<u32, MsgpackErrorKind> {
    Ok(match width {
        Width::One => u8::from_be_bytes(number(rest)?).into(),
        Width::Two => u16::from_be_bytes(number(rest)?).into(),
        Width::Four => u32::from_be_bytes(number(rest)?),
    })
}

fn blob<'a>(rest: &mut &'a [u8], width: Width) -> Result<&'a [u8], MsgpackErrorKind> {
    let size_bytes = length(rest, width)?;
    take(rest, size_bytes)
}

fn ext<'a>(rest: &mut &'a [u8], width: Width) -> Result<Token<'a>, MsgpackErrorKind> {
    let size_bytes = length(rest, width)?;
    let kind = i8::from_be_bytes(number(rest)?);
    Ok(Token::Ext(kind, take(rest, size_bytes)?))
}

fn text(bytes: &[u8]) -> Result<&str, MsgpackErrorKind> {
    str::from_utf8(bytes).map_err(|_| MsgpackErrorKind::NotUtf8)
}

fn take<'a>(rest: &mut &'a [u8], size_bytes: u32) -> Result<&'a [u8], MsgpackErrorKind> {
    let (taken, after) =
        rest.split_at_checked(size_bytes as usize).ok_or(MsgpackErrorKind::LengthBeyondEnd)?;
    *rest = after;
    Ok(taken)
}

fn number<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], MsgpackErrorKind> {
    let (number, after) = rest.split_first_chunk().ok_or(MsgpackErrorKind::Truncated)?;
    *rest = after;
    Ok(*number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> (MsgpackErrorKind, usize) {
        let error = check(bytes).unwrap_err();
        (error.kind, error.at_byte)
    }

    #[test]
    fn errors_name_the_byte() {
        use MsgpackErrorKind::{LengthBeyondEnd, NotUtf8, Reserved, TrailingBytes, Truncated};
        assert_eq!(error(b""), (Truncated, 0));
        assert_eq!(error(b"\xcb\x00"), (Truncated, 0));
        assert_eq!(error(b"\x92\x01\xcd"), (Truncated, 2));
        assert_eq!(error(b"\x93\x01\x02"), (LengthBeyondEnd, 0));
        assert_eq!(error(b"\x91\xdf\xff\xff\xff\xff"), (LengthBeyondEnd, 1));
        assert_eq!(error(b"\x91\xc6\xff\xff\xff\xff\x00"), (LengthBeyondEnd, 1));
        assert_eq!(error(b"\x92\x01\xc1"), (Reserved, 2));
        assert_eq!(error(b"\x91\xa2\xff\xfe"), (NotUtf8, 1));
        assert_eq!(error(b"\x80\x80"), (TrailingBytes, 1));
    }

    #[test]
    fn depth_is_bounded_wherever_the_nesting_is() {
        let mut bytes = vec![0x91; MSGPACK_DEPTH_MAX];
        bytes.push(0xc0);
        assert_eq!(check(&bytes), Ok(()));
        bytes.insert(0, 0x91);
        assert_eq!(error(&bytes), (MsgpackErrorKind::TooDeep, MSGPACK_DEPTH_MAX));
        assert_eq!(error(&[0x91; 10_000]), (MsgpackErrorKind::TooDeep, MSGPACK_DEPTH_MAX));
    }

    #[test]
    fn nothing_follows_an_error_or_the_end() {
        let mut walker = Walker::new(b"\x92\xc1\x01");
        assert!(walker.next().unwrap().is_ok());
        assert!(walker.next().unwrap().is_err());
        assert!(walker.next().is_none());
        let mut walker = Walker::new(b"\x90");
        assert_eq!(walker.next(), Some(Ok(Token::Array(0))));
        assert!(walker.next().is_none());
        assert!(walker.next().is_none());
    }
}
