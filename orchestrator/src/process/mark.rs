//! How everything a trainer started is known: by a variable of its environment, which children
//! inherit wherever they go, also into a session of their own and past the death of their parents.

use std::fs;

use trainwire_protocol::id::Token;

/// The first half of a trainer's token: as random as it need be, and no good for a Hello. The token
/// itself is taken out of the environment when the trainer connects, so its children have not got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Of the trainer that was given this token.
    pub(crate) fn of(token: &Token) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = token.0;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// What [`VARIABLE`] is set to.
    pub(crate) fn to_hex(self) -> String {
        format!("{:016x}", self.0)
    }

    /// That of a process, as it was started; `None` for one without, a dead one, and one that may not be
    /// looked at.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        Self::find(&fs::read(format!("/proc/{pid}/environ")).ok()?)
    }

    /// In an environment as proc_pid_environ(5) describes it.
    fn find(environment: &[u8]) -> Option<Self> {
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|pair| pair.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
        let value = std::str::from_utf8(value).ok().filter(|value| value.len() == 16)?;
        u64::from_str_radix(value, 16).ok().map(Self)
    }
}

/// Set for every trainer that is started.
pub(crate) const VARIABLE: &str = "TRAINWIRE_TRAINER";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_half_the_token_and_is_found_among_other_variables() {
        let mark = Mark::of(&Token(*b"0123456789abcdef"));
        assert_eq!(mark.to_hex(), "3031323334353637");
        assert_eq!(Mark::find(b"A=B\0TRAINWIRE_TRAINER=3031323334353637\0Z=\0"), Some(mark));
        for other in [
            &b""[..],
            b"TRAINWIRE_TRAINER=303132333435363\0",
            b"TRAINWIRE_TRAINER=30313233343536370\0",
            b"XTRAINWIRE_TRAINER=3031323334353637\0",
            b"TRAINWIRE_TRAINER_=3031323334353637\0",
        ] {
            assert_eq!(Mark::find(other), None, "{other:?}");
        }
    }
}
