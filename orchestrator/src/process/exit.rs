//! Death, within milliseconds, and how it came about.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trainwire_unix::{ExitStatus, Kernel, PidFd, Signal};

use super::oom;
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
    // SAFETY: `Watched` owns a share of the pidfd, whose descriptor never changes and stays open for as
    // long as anybody has a share.
    let watched = unsafe { AsyncFd::register_with_interest(Watched(Arc::clone(pidfd)), Interest::READABLE) }?;
    let _ready = watched.readable().await?;
    Ok(())
}

/// The event loop wants to own what it watches; the driver keeps the pidfd for signals.
struct Watched(Arc<PidFd>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
