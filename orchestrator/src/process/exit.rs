//! Death, within milliseconds, and how it came about.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trainwire_unix::{ExitStatus, Kernel, PidFd, Signal};

use super::oom;
use crate::readiness;
use crate::record::Exit;

/// Waits for a child of ours to die. It is not reaped: see [`super::TrainerProcess::forget`].
pub(crate) async fn of_child(pidfd: Arc<PidFd>, killed: Arc<AtomicBool>) -> Exit {
    if dead(&pidfd).await.is_err() {
        return Exit::Unknown;
    }
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

/// Waits for a process that is not our child.
pub(crate) async fn of_stranger(pidfd: Arc<PidFd>) -> Exit {
    if dead(&pidfd).await.is_err() {
        return Exit::Unknown;
    }
    match pidfd.exit_status_of_non_child(Kernel::Running) {
        Some(ExitStatus::Code(code)) => Exit::Code { code },
        Some(ExitStatus::Signal { signal, core_dumped }) => {
            Exit::Signal { signal, core_dumped, out_of_memory: false }
        }
        None => Exit::Unknown,
    }
}

async fn dead(pidfd: &Arc<PidFd>) -> io::Result<()> {
    let watched = readiness::process(Arc::clone(pidfd))?;
    let _ready = watched.readable().await?;
    Ok(())
}
