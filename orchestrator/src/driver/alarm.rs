//! When the driver looks at the clock. One timer serves every deadline there is.
//!
//! After a pause of this process (SIGSTOP, a suspended machine, a debugger) the deadlines look missed,
//! but only because nobody looked. So the sockets are read first.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Driver;
use crate::clock;
use crate::scheduler::Input;

impl Driver {
    /// The first of all deadlines.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let connection = self.alarms.peek().map(|Reverse((at, _))| *at);
        let deadlines =
            [self.scheduler.poll_timeout(), connection, self.listeners.deadline(), self.slabs.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// The timer set for `due` has fired.
    pub(super) fn alarm(&mut self, due: Option<Instant>) {
        self.now = clock::now();
        let late = due.map(|due| self.now.monotonic.saturating_duration_since(due)).unwrap_or_default();
        if late >= PAUSE_MIN && !self.connections.is_empty() {
            tracing::warn!(
                late_ms = late.as_millis(),
                "this process was paused; reading all sockets before any deadline"
            );
            self.catch_up();
            self.now = clock::now();
        }
        self.time_out_connections();
        if self.scheduler.poll_timeout().is_some_and(|at| at <= self.now.monotonic) {
            self.decide(Input::Timeout);
        }
        self.tend_listeners();
        self.slabs.look_for_the_gone(self.now.monotonic);
    }
}

/// A timer this late was not merely scheduled late.
const PAUSE_MIN: Duration = Duration::from_millis(500);
