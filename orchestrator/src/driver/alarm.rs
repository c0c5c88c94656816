//! When the driver looks at the clock. One timer serves every deadline there is.
//!
//! After a pause of this process (SIGSTOP, a frozen virtual machine, a debugger) the deadlines look missed,
//! but only because nobody looked. So the sockets are read first, and the Scheduler's clock stands still for as
//! long as the pause was: a trainer that was about to connect again has the time it had before. A suspended
//! machine is no pause, for its monotonic clock stands still for all of us.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Driver;
use crate::clock;
use crate::planted;
use crate::scheduler::{Input, Now};

impl Driver {
    /// The first of all deadlines.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let connection = self.alarms.peek().map(|Reverse((at, _))| *at);
        let deadlines = [
            self.scheduler_deadline(),
            connection,
            self.listeners.deadline(),
            self.leftovers.deadline(),
            self.ended.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The time as the Scheduler is told it.
    pub(super) fn scheduler_now(&self) -> Now {
        let monotonic = self.now.monotonic.checked_sub(self.paused).unwrap_or(self.now.monotonic);
        Now { monotonic, wall: self.now.wall }
    }

    fn scheduler_deadline(&self) -> Option<Instant> {
        self.scheduler.poll_timeout()?.checked_add(self.paused)
    }

    /// Looks at the clock. `due` is when the timer should have fired at the latest.
    pub(super) fn wake(&mut self, due: Option<Instant>) {
        self.now = clock::now();
        let Some(due) = due else { return };
        let late = self.now.monotonic.saturating_duration_since(due.max(self.awake_since));
        if late < PAUSE_MIN {
            return;
        }
        tracing::warn!(
            late_ms = late.as_millis(),
            "this process was paused; reading all sockets before any deadline"
        );
        // First of all: what waited in the sockets came in time.
        self.awake_since = self.now.monotonic;
        if planted::is("pauses-count") {
            return;
        }
        self.paused += late;
        self.accept_waiting();
        self.catch_up();
        self.now = clock::now();
    }

    /// The timer has fired.
    pub(super) fn alarm(&mut self) {
        self.time_out_connections();
        if self.scheduler_deadline().is_some_and(|at| at <= self.now.monotonic) {
            self.decide(Input::Timeout);
        }
        self.tend_listeners();
        self.look_for_leftovers();
        self.look_for_ended();
    }
}

/// A timer this late was not merely scheduled late.
const PAUSE_MIN: Duration = Duration::from_millis(500);
