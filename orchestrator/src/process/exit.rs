//! How a process came to its end.

use std::sync::atomic::{AtomicBool, Ordering};

use trainwire_unix::{ExitStatus, Kernel, PidFd, Signal};

use super::oom;
use crate::record::Exit;

/// Of a child of ours that is dead. It is not reaped: see [`super::TrainerProcess::forget`].
pub(super) fn of_child(pidfd: &PidFd, killed: &AtomicBool) -> Exit {
    match pidfd.peek() {
        Ok(Some(ExitStatus::Code(code))) => {
            oom::forget_unclaimed();
            Exit::Code { code }
        }
        Ok(Some(ExitStatus::Signal { signal, core_dumped })) => {
            let unexplained = signal == Signal::SIGKILL as i32 && !killed.load(Ordering::Relaxed);
            Exit::Signal { signal, core_dumped, out_of_memory: unexplained && oom::claim() }
        }
        // The embedding program reaped it.
        Ok(None) | Err(_) => Exit::Unknown,
    }
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
