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
    /// The orchestrator is killed, and started again.
    Crash,
    /// The machine loses its power.
    PowerCut,
    /// The next commit fails, which ends the orchestrator.
    DiskFails,
}

impl Mischief {
    pub(crate) fn pick(random: &mut Random) -> Self {
        match random.below(100) {
            0..27 => Self::Cut,
            27..36 => Self::Kill,
            36..46 => Self::Freeze,
            46..49 => Self::Leave,
            49..60 => Self::Stop,
            60..67 => Self::Slow,
            67..72 => Self::Full,
            72..82 => Self::Latency,
            82..87 => Self::Clock,
            87..94 => Self::Crash,
            94..97 => Self::PowerCut,
            _ => Self::DiskFails,
        }
    }

    /// When the next one comes: some runs are quieter than others.
    pub(crate) fn next(now: Instant, pace_ms: u64, random: &mut Random) -> Instant {
        now + random.ms(1, pace_ms)
    }
}
