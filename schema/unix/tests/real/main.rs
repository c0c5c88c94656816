//! The kernel layer against the real kernel: real sockets, processes and memory.
#![allow(unsafe_code, reason = "signal dispositions and per-thread users have no safe interface")]
#![allow(clippy::zombie_processes, reason = "children are reaped through their pidfds")]
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod descriptors;
mod identity;
mod peer;
mod pidfd;
mod sealed;
mod slab;
mod socket;

use std::process::{Child, Command};

/// A child that runs until it is killed, which happens when this is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `test` on a thread of its own as another user, without capabilities. `None`, after saying
/// so, where this process is not root and cannot become anybody else.
fn as_nobody<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: becoming another user needs root");
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // The system call changes this thread alone; libc's wrapper would change them all.
            // SAFETY: it takes three integers; -1 leaves a user as it is.
            let answer = unsafe { nix::libc::syscall(nix::libc::SYS_setresuid, -1, NOBODY, -1) };
            assert_eq!(answer, 0);
            test()
        });
        Some(thread.join().unwrap())
    })
}

const NOBODY: u32 = 65_534;
