//! Trainer processes: started in a group of their own, watched through a pidfd, read from a log.

mod error_file;
mod exit;
mod log;
mod mark;
mod oom;
pub(crate) mod params;
mod spawn;
mod stat;
mod sweep;
mod traceback;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trainwire_protocol::id::Token;
use trainwire_unix::{Errno, Kernel, PidFd, ProcessIdentity};

use crate::record::TrainerFailure;
use crate::scheduler::Signal;

use exit::{of_own, of_stranger};
pub(crate) use log::{Log, tail};
use mark::Mark;
pub(crate) use spawn::{Order, ScriptTask, spawn};
pub(crate) use sweep::{Remains, sweep};

/// A trainer process we started, or one that was started by hand and joined.
#[derive(Clone, Debug)]
pub(crate) struct TrainerProcess {
    pidfd: Arc<PidFd>,
    reach: Reach,
}

/// Whom a signal reaches.
#[derive(Clone, Debug)]
enum Reach {
    /// The group we created for it. A leader that is our child is not [reaped](TrainerProcess::reap)
    /// before all of it is gone, so that neither its number nor the group's can come to mean somebody
    /// else. One that an orchestrator before us started is reaped by whoever inherited it.
    OwnGroup(Arc<OwnGroup>),
    /// Somebody else's process: it alone.
    Alone,
}

/// What we know of a process that leads a group we created.
#[derive(Debug)]
struct OwnGroup {
    started_by: StartedBy,
    log: Log,
    /// By which everything it started is known.
    mark: Mark,
    /// We sent SIGKILL, so one that ends it is no evidence of anything.
    killed: AtomicBool,
    tree: Mutex<Tree>,
}

/// Who will reap it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartedBy {
    /// This process.
    Us,
    /// One before it.
    Predecessor(ProcessIdentity),
}

/// What a process we started has become.
#[derive(Debug, Default)]
struct Tree {
    /// Who hung on it when it was signalled.
    noted: Vec<ProcessIdentity>,
    /// Its number may mean somebody else by now.
    reaped: bool,
}

impl TrainerProcess {
    /// A process that joined by hand.
    pub(crate) fn attached(pidfd: Arc<PidFd>) -> Self {
        Self { pidfd, reach: Reach::Alone }
    }

    /// A trainer that an orchestrator before us started: this very process, or `None` if it is gone.
    ///
    /// # Errors
    /// The kernel's, such as no descriptor left.
    pub(crate) fn adopted(
        identity: &ProcessIdentity,
        log: PathBuf,
        token: &Token,
    ) -> io::Result<Option<Self>> {
        oom::begin_counting();
        let Some(pidfd) = identity.open()? else { return Ok(None) };
        let log = Log::of_predecessor(log);
        Ok(Some(Self::leader(pidfd, StartedBy::Predecessor(*identity), log, Mark::of(token))))
    }

    /// Of a group we created.
    fn leader(pidfd: PidFd, started_by: StartedBy, log: Log, mark: Mark) -> Self {
        let (killed, tree) = (AtomicBool::default(), Mutex::default());
        let reach = Reach::OwnGroup(Arc::new(OwnGroup { started_by, log, mark, killed, tree }));
        Self { pidfd: Arc::new(pidfd), reach }
    }

    /// The group we created for it, as long as it is not [reaped](Self::reap).
    pub(crate) fn group(&self) -> Option<i32> {
        match self.reach {
            Reach::OwnGroup(_) => self.pidfd.pid().map(u32::cast_signed),
            Reach::Alone => None,
        }
    }

    /// The number of that group for as long as anyone may ask: only where we say when it is reaped.
    fn lasting_group(&self) -> Option<i32> {
        match &self.reach {
            Reach::OwnGroup(own) if own.started_by == StartedBy::Us => self.group(),
            _ => None,
        }
    }

    /// Where its output goes; unknown of a process that was started by hand.
    pub(crate) fn log(&self) -> Option<&Log> {
        match &self.reach {
            Reach::OwnGroup(own) => Some(&own.log),
            Reach::Alone => None,
        }
    }

    /// By which everything it started is known; nothing is of a process that was started by hand.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match &self.reach {
            Reach::OwnGroup(own) => Some(own.mark),
            Reach::Alone => None,
        }
    }

    /// Signals the group we created, or the process alone. One that is gone is no error.
    ///
    /// Before that it is noted who hangs on it, because afterwards nobody may: SIGKILL reaches them
    /// too, at once or in a later [`sweep()`]. Blocks for some milliseconds.
    pub(crate) fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Terminate => trainwire_unix::Signal::SIGTERM,
            Signal::Kill => trainwire_unix::Signal::SIGKILL,
        };
        let sent = match &self.reach {
            Reach::OwnGroup(own) => {
                let mut tree = lock(&own.tree);
                if tree.reaped {
                    return;
                }
                tree.noted.extend(self.descendants());
                own.killed.fetch_or(signal == Signal::Kill, Ordering::Relaxed);
                let sent = self.signal_group(number);
                if signal == Signal::Kill {
                    tree.noted.iter().for_each(sweep::kill_exactly);
                }
                sent
            }
            Reach::Alone => self.pidfd.signal(number),
        };
        if let Err(error) = sent {
            tracing::debug!(pid = self.pidfd.pid(), %error, "signal not sent");
        }
    }

    /// Who hangs on it now.
    fn descendants(&self) -> Vec<ProcessIdentity> {
        let found = self.pidfd.pid().map(sweep::descendants).unwrap_or_default();
        // As long as it lives, or waits for us to reap it, nobody else has its number.
        let meant = self.lasting_group().is_some() || self.pidfd.is_dead().is_ok_and(|dead| !dead);
        if meant { found } else { Vec::new() }
    }

    /// Makes it write the stacks of its threads, if `pid`, which said that it can, is still of it.
    pub(crate) fn ask_for_stacks(&self, pid: u32) -> bool {
        let asked = if self.pidfd.pid() == Some(pid) {
            self.pidfd.ask_for_stacks()
        } else {
            // Under `uv run` or `bash -c` a descendant of the process that was started.
            PidFd::open(pid).and_then(|descendant| {
                let of_it = self.mark().is_some() && Mark::of_process(pid) == self.mark();
                if of_it { descendant.ask_for_stacks() } else { Err(Errno::ESRCH.into()) }
            })
        };
        asked.is_ok()
    }

    /// After its death: what is left of its group.
    fn kill_group(&self) {
        if let Reach::OwnGroup(own) = &self.reach
            && !lock(&own.tree).reaped
        {
            // ESRCH, where nothing is left.
            let _ = self.signal_group(trainwire_unix::Signal::SIGKILL);
        }
    }

    fn signal_group(&self, signal: trainwire_unix::Signal) -> io::Result<()> {
        let by_number_too = self.lasting_group().is_some() || !self.pidfd.is_dead()?;
        match by_number_too {
            true => self.pidfd.signal_group(signal, Kernel::Running),
            false => self.pidfd.signal_group_exactly(signal),
        }
    }

    /// After its death and that of its group: gives their number back.
    fn reap(&self) {
        if let Reach::OwnGroup(own) = &self.reach {
            lock(&own.tree).reaped = true;
            // ECHILD, where the embedding program reaps all children itself.
            let _ = self.pidfd.reap();
        }
    }

    /// Who hung on it when it was signalled.
    fn noted(&self) -> Vec<ProcessIdentity> {
        match &self.reach {
            Reach::OwnGroup(own) => lock(&own.tree).noted.clone(),
            Reach::Alone => Vec::new(),
        }
    }

    /// Readable once it is dead.
    pub(crate) fn pidfd(&self) -> &PidFd {
        &self.pidfd
    }

    /// What is known beyond the exit code, of a process that ended with one that is not 0 and wrote this last.
    pub(crate) fn failure(&self, log_tail: &str) -> Option<TrainerFailure> {
        let log = self.log()?;
        let said = error_file::read(&error_file::beside(log.path()));
        // Taken in any case: it explains nobody else's end.
        let out_of_memory = oom::claim();
        said.or_else(|| out_of_memory.then(|| exit::beside_an_oom_kill(&self.exit())))
            .or_else(|| traceback::find(log_tail))
    }

    /// How it ended; call it when it is dead.
    pub(crate) fn exit(&self) -> crate::record::Exit {
        match &self.reach {
            Reach::OwnGroup(own) => {
                let identity = match &own.started_by {
                    StartedBy::Us => None,
                    StartedBy::Predecessor(identity) => Some(identity),
                };
                of_own(&self.pidfd, identity, &own.killed)
            }
            Reach::Alone => of_stranger(&self.pidfd),
        }
    }
}

fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
