//! How a process came to its end.

use std::sync::atomic::{AtomicBool, Ordering};

use trainwire_unix::{ExitStatus, Kernel, PidFd, ProcessIdentity, Signal};

use super::oom;
use crate::record::{Exit, TrainerFailure};

/// Of a process we started, or one before us did, that is dead. It is not reaped: see
/// [`super::TrainerProcess::reap`].
pub(super) fn of_own(pidfd: &PidFd, identity: Option<&ProcessIdentity>, killed: &AtomicBool) -> Exit {
    let status = pidfd.peek().unwrap_or_else(|_| {
        let unreaped = identity.and_then(ProcessIdentity::exit_status_of_zombie);
        unreaped.or_else(|| pidfd.exit_status_of_non_child(Kernel::Running))
    });
    match status {
        Some(ExitStatus::Code(code)) => {
            if code == 0 {
                oom::forget_unclaimed();
            }
            Exit::Code { code }
        }
        Some(ExitStatus::Signal { signal, core_dumped }) => {
            let unexplained = signal == Signal::SIGKILL as i32 && !killed.load(Ordering::Relaxed);
            Exit::Signal { signal, core_dumped, out_of_memory: unexplained && oom::claim() }
        }
        // Somebody else reaped it, or will, and the kernel does not tell.
        None => Exit::Unknown,
    }
}

/// Of a process that ended by itself when another had just been killed for want of memory: a child of its
/// own, most likely.
pub(super) fn beside_an_oom_kill(exit: &Exit) -> TrainerFailure {
    let text = format!("{exit}; the kernel killed a process for want of memory before that");
    TrainerFailure { kind: "exit".to_owned(), text, ..TrainerFailure::default() }
}

/// Of a process that is dead and not our child.
pub(super) fn of_stranger(pidfd: &PidFd) -> Exit {
    match pidfd.exit_status_of_non_child(Kernel::Running) {
        Some(ExitStatus::Code(code)) => Exit::Code { code },
        Some(ExitStatus::Signal { signal, core_dumped }) => {
            Exit::Signal { signal, core_dumped, out_of_memory: false }
        }
        None => Exit::Unknown,
    }
}
