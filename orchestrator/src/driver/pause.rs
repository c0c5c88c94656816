//! After a pause of this process (SIGSTOP, a suspended machine, a debugger) the deadlines look
//! missed, but only because nobody looked. So the sockets are read first.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Driver;
use crate::clock;
use crate::connection::Command;
use crate::scheduler::Input;

/// Connections that still read what came during the pause.
pub(super) struct CatchingUp {
    /// Ends when each of them has handed over what it read: it holds a sender until then.
    guards: mpsc::Receiver<()>,
}

impl CatchingUp {
    /// Waits for the last one; for ever, if nobody is catching up.
    pub(super) async fn done(catching_up: &mut Option<Self>) {
        match catching_up {
            Some(this) => while this.guards.recv().await.is_some() {},
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// The timer set for `due` has fired.
    pub(super) fn alarm(&mut self, due: Option<Instant>) {
        self.now = clock::now();
        let late = due.map(|due| self.now.monotonic.saturating_duration_since(due)).unwrap_or_default();
        if late < PAUSE_MIN || self.connections.is_empty() {
            return self.time_out();
        }
        tracing::warn!(
            late_ms = late.as_millis(),
            "this process was paused; reading all sockets before any deadline"
        );
        let (guard, guards) = mpsc::channel(1);
        for slot in self.connections.values() {
            // One that is gone has handed over all it had.
            let _ = slot.commands.send(Command::CatchUp(guard.clone()));
        }
        self.catching_up = Some(CatchingUp { guards });
    }

    pub(super) fn time_out(&mut self) {
        self.now = clock::now();
        self.decide(Input::Timeout);
    }
}

/// A timer this late was not merely scheduled late.
const PAUSE_MIN: Duration = Duration::from_millis(500);
