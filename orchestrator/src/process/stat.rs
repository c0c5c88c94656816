//! A process as /proc shows it.

use std::fs;
use std::path::Path;

/// What of proc_pid_stat(5) is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Of processes.
    pub(super) group: i32,
    /// It runs no code any more, has no memory and holds nothing open; it may wait to be reaped.
    pub(super) dead: bool,
}

impl Stat {
    /// `None` for one that is gone.
    pub(super) fn of(process: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(process.join("stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name before may hold anything, parentheses included.
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        // Field 20; a process whose first thread has ended while others go on is called a zombie too.
        let threads: u32 = fields.nth(14)?.parse().ok()?;
        Some(Self { group, dead: matches!(state, "Z" | "X") && threads <= 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_proc_are_read_behind_the_name() {
        let line = |state: &str, threads: u32| {
            format!("7 (a) b (c) {state} 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0 1")
        };
        for (state, threads, dead) in [("S", 1, false), ("Z", 1, true), ("Z", 3, false), ("X", 0, true)] {
            assert_eq!(
                Stat::parse(&line(state, threads)),
                Some(Stat { group: 42, dead }),
                "{state} {threads}"
            );
        }
        assert_eq!(Stat::parse(""), None);
        let own = Stat { group: nix::unistd::getpgrp().as_raw(), dead: false };
        assert_eq!(Stat::of(Path::new("/proc/self")), Some(own));
    }
}
