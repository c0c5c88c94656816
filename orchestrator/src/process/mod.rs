//! Trainer processes: started in a group of their own, watched through a pidfd, read from a log.

mod exit;
pub(crate) mod group;
mod log;
mod oom;
mod params;
mod spawn;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trainwire_unix::{Kernel, PidFd};

use crate::scheduler::Signal;

use exit::{of_child, of_stranger};
pub(crate) use log::tail;
pub(crate) use spawn::{Order, ScriptTask, spawn};

/// A trainer process we started, or one that was started by hand and joined.
#[derive(Clone, Debug)]
pub(crate) struct TrainerProcess {
    pidfd: Arc<PidFd>,
    reach: Reach,
}

/// Whom a signal reaches.
#[derive(Clone, Debug)]
enum Reach {
    /// The group we created for it. Its leader is our child and is not reaped before [`forget`], so
    /// that neither its number nor the group's can come to mean somebody else.
    ///
    /// [`forget`]: TrainerProcess::forget
    OwnGroup {
        log: PathBuf,
        /// We sent SIGKILL, so one that ends it is no evidence of anything.
        killed: Arc<AtomicBool>,
    },
    /// Somebody else's process: it alone.
    Alone,
}

impl TrainerProcess {
    /// A process that joined by hand.
    pub(crate) fn attached(pidfd: Arc<PidFd>) -> Self {
        Self { pidfd, reach: Reach::Alone }
    }

    /// The group we created for it, as long as it is not [forgotten](Self::forget).
    pub(crate) fn group(&self) -> Option<i32> {
        match self.reach {
            Reach::OwnGroup { .. } => self.pidfd.pid().map(u32::cast_signed),
            Reach::Alone => None,
        }
    }

    /// Where its output goes; unknown of a process that was started by hand.
    pub(crate) fn log(&self) -> Option<&PathBuf> {
        match &self.reach {
            Reach::OwnGroup { log, .. } => Some(log),
            Reach::Alone => None,
        }
    }

    /// Signals the group we created, or the process alone. One that is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Terminate => trainwire_unix::Signal::SIGTERM,
            Signal::Kill => trainwire_unix::Signal::SIGKILL,
        };
        let sent = match &self.reach {
            Reach::OwnGroup { killed, .. } => {
                killed.fetch_or(signal == Signal::Kill, Ordering::Relaxed);
                self.pidfd.signal_group(number, Kernel::Running)
            }
            Reach::Alone => self.pidfd.signal(number),
        };
        if let Err(error) = sent {
            tracing::debug!(pid = self.pidfd.pid(), %error, "signal not sent");
        }
    }

    /// After its death: kills what is left of its group, then gives its number back.
    pub(crate) fn forget(self) {
        if let Reach::OwnGroup { .. } = self.reach {
            // ESRCH, where nothing is left.
            let _ = self.pidfd.signal_group(trainwire_unix::Signal::SIGKILL, Kernel::Running);
            // ECHILD, where the embedding program reaps all children itself.
            let _ = self.pidfd.reap();
        }
    }

    /// Readable once it is dead.
    pub(crate) fn pidfd(&self) -> &PidFd {
        &self.pidfd
    }

    /// How it ended; call it when it is dead.
    pub(crate) fn exit(&self) -> crate::record::Exit {
        match &self.reach {
            Reach::OwnGroup { killed, .. } => of_child(&self.pidfd, killed),
            Reach::Alone => of_stranger(&self.pidfd),
        }
    }
}

#[cfg(test)]
mod tests;
