//! When rows leave, and who sees to it: the caller of `report()` itself, or a watcher that sleeps.
//!
//! ```text
//!   a row                                 the caller
//!   ├─ the first of a delivery ─────────► sends, or has the watcher woken to do it
//!   ├─ the buffer is half full ─────────► the same
//!   ├─ nobody watches, 100 ms are over ─► the same
//!   ├─ nobody watches ──────────────────► wakes the watcher, who sleeps out the 100 ms, sends, and
//!   │                                     sleeps 100 ms more, until he finds nothing to send
//!   └─ somebody watches ────────────────► does nothing
//! ```
//!
//! So a row waits for 100 ms at most, and whoever reports all the time makes no system call at all.
//! The clock is the rows' own: it costs nothing more to read, and a jump of it only makes a frame
//! leave early.

use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When rows were sent, or somebody was told to send them.
    flushed_us: Option<u64>,
    watch: Watch,
}

/// What the one who put a row in has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Then {
    /// Nothing: somebody looks in time.
    Nothing,
    /// Give the rows to the session and send; if somebody else is at the session, say so with
    /// [`RowBuffer::hurry`](super::RowBuffer::hurry).
    Send,
    /// Wake the watcher, who will call [`RowBuffer::watch`](super::RowBuffer::watch).
    Wake,
}

/// What the watcher has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Look {
    /// Give the rows to the session and send.
    pub take: bool,
    /// Look again after this time; `None`: not before being woken.
    pub again: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Watch {
    #[default]
    Nobody,
    /// The watcher looks when the interval is over.
    InTime,
    /// The watcher has been woken to send at once.
    AtOnce,
}

impl Pace {
    pub(super) fn after_row(&mut self, time_us: u64, urgent: bool) -> Then {
        let nobody = self.watch == Watch::Nobody;
        if self.watch != Watch::AtOnce && (urgent || nobody && self.left_us(time_us) == 0) {
            self.flushed_us = Some(time_us);
            return Then::Send;
        }
        if nobody {
            self.watch = Watch::InTime;
            return Then::Wake;
        }
        Then::Nothing
    }

    /// Whether the watcher has to be woken.
    pub(super) fn hurry(&mut self) -> bool {
        std::mem::replace(&mut self.watch, Watch::AtOnce) != Watch::AtOnce
    }

    pub(super) fn look(&mut self, time_us: u64, empty: bool) -> Look {
        let left_us = match self.watch {
            // If there are rows, their sender is on his way.
            Watch::Nobody => return Look { take: false, again: None },
            Watch::InTime => self.left_us(time_us),
            Watch::AtOnce => 0,
        };
        if left_us > 0 {
            return Look { take: false, again: Some(Duration::from_micros(left_us)) };
        }
        if empty {
            self.watch = Watch::Nobody;
            return Look { take: false, again: None };
        }
        self.flushed_us = Some(time_us);
        self.watch = Watch::InTime;
        Look { take: true, again: Some(FLUSH_INTERVAL) }
    }

    /// Until the interval is over; 0 where the clock was set back.
    fn left_us(&self, time_us: u64) -> u64 {
        let passed_us = self.flushed_us.and_then(|flushed_us| time_us.checked_sub(flushed_us));
        passed_us.map_or(0, |passed_us| FLUSH_INTERVAL_US.saturating_sub(passed_us))
    }
}

/// The longest a row waits for company.
pub(in crate::session) const FLUSH_INTERVAL: Duration = Duration::from_micros(FLUSH_INTERVAL_US);
const FLUSH_INTERVAL_US: u64 = 100_000;
