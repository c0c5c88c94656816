//! What goes wrong.

use std::time::Instant;

use crate::random::Random;

/// One misfortune.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mischief {
    /// A connection is lost with everything under way.
    Cut,
    /// A trainer is killed by somebody else.
    Kill,
    /// A trainer stops for a while, and maybe for longer than anybody waits.
    Freeze,
    /// A trainer's code wants no more work.
    Leave,
    /// Somebody wants an end of a task, or of a whole job.
    Stop,
    /// The disk becomes slow, or fast again.
    Slow,
    /// The disk is full for a while.
    Full,
    /// Bytes take long.
    Latency,
    /// The wall clock is set.
    Clock,
}

impl Mischief {
    pub(crate) fn pick(random: &mut Random) -> Self {
        match random.below(100) {
            0..30 => Self::Cut,
            30..40 => Self::Kill,
            40..52 => Self::Freeze,
            52..55 => Self::Leave,
            55..68 => Self::Stop,
            68..76 => Self::Slow,
            76..82 => Self::Full,
            82..94 => Self::Latency,
            _ => Self::Clock,
        }
    }

    /// When the next one comes: some runs are quieter than others.
    pub(crate) fn next(now: Instant, pace_ms: u64, random: &mut Random) -> Instant {
        now + random.ms(1, pace_ms)
    }
}
