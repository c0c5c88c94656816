//! Processes by descriptor: death, exit status and signals that cannot hit a recycled pid.
//!
//! A pid names whoever has the number now; a pidfd names one process for ever. A pidfd becomes
//! readable when the last thread of its process has ended, also for processes that are not our
//! children, and also while their parent has not reaped them. So a pidfd tells life from death, and
//! `kill(pid, 0)` does not.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Kernel;

/// One process, whatever happens to its pid. Closed on exec.
#[derive(Debug)]
pub struct PidFd {
    descriptor: OwnedFd,
    pid: Option<u32>,
}

impl PidFd {
    /// Opens the process that has this pid now. For a child of ours that was not reaped yet, that is
    /// the child; for any other pid, check with [`ProcessIdentity`](crate::ProcessIdentity) or use
    /// [`ProcessIdentity::open`](crate::ProcessIdentity::open).
    ///
    /// # Errors
    /// `ESRCH` for a pid nobody has, `EINVAL` for 0 or a number beyond `i32::MAX`, `EINVAL` or (from Linux 6.15)
    /// `ENOENT` for a thread that leads no process; `EMFILE` at the descriptor limit.
    pub fn open(pid: u32) -> io::Result<Self> {
        let number = libc::pid_t::try_from(pid).map_err(|_| Errno::EINVAL)?;
        // SAFETY: pidfd_open takes two integers and no pointer.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        let descriptor = Errno::result(answer)?;
        let descriptor = RawFd::try_from(descriptor).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made this descriptor for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { descriptor, pid: Some(pid) })
    }

    /// Takes a pidfd made elsewhere.
    ///
    /// # Errors
    /// `EINVAL` for a descriptor that is no pidfd, `ESRCH` for a process that was reaped already.
    pub fn from_owned(descriptor: OwnedFd) -> io::Result<Self> {
        let information = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()))?;
        let pid = information.lines().find_map(|line| line.strip_prefix("Pid:")).ok_or(Errno::EINVAL)?;
        match pid.trim().parse::<i64>() {
            Ok(-1) => Err(Errno::ESRCH.into()),
            Ok(pid) => Ok(Self { descriptor, pid: u32::try_from(pid).ok().filter(|&pid| pid != 0) }),
            Err(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// Takes the pidfd of a process whose pid the kernel told together with it.
    ///
    /// # Errors
    /// `ESRCH` for a process that was reaped already.
    pub(crate) fn with_pid(descriptor: OwnedFd, pid: u32) -> io::Result<Self> {
        let pidfd = Self { descriptor, pid: Some(pid) };
        // Of the living that is all; the dead may be reaped, which only /proc tells.
        if pidfd.is_dead()? { Self::from_owned(pidfd.descriptor) } else { Ok(pidfd) }
    }

    /// The pid the process had when this was opened, for showing it. `None` for a process in a pid
    /// namespace that cannot be seen from here.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether the process has ended. A zombie has.
    ///
    /// # Errors
    /// The kernel's, none expected.
    pub fn is_dead(&self) -> io::Result<bool> {
        self.poll(Some(Duration::ZERO))
    }

    /// Sleeps until the process has ended (`true`) or `timeout` is over (`false`); `None` has no
    /// limit, and fractions of a millisecond are rounded up. In an event loop, wait for the
    /// descriptor to become readable instead.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] when a signal handler ran.
    pub fn poll(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
            PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
        });
        let mut polled = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut polled, timeout)? > 0)
    }

    /// Reaps the process if it has ended. `None` while it runs; afterwards its pid may be given to
    /// another process, so signal its group first.
    ///
    /// # Errors
    /// `ECHILD` for a process that is not our child or was reaped already.
    pub fn reap(&self) -> io::Result<Option<ExitStatus>> {
        self.wait_id(libc::WEXITED | libc::WNOHANG)
    }

    /// As [`reap`](Self::reap), but leaves the process a zombie, which keeps its pid and its group's
    /// number from being given away.
    ///
    /// # Errors
    /// As [`reap`](Self::reap).
    pub fn peek(&self) -> io::Result<Option<ExitStatus>> {
        self.wait_id(libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
    }

    /// Sleeps until the process has ended, and reaps it.
    ///
    /// # Errors
    /// As [`reap`](Self::reap); [`io::ErrorKind::Interrupted`] when a signal handler ran.
    pub fn wait_status(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait_id(libc::WEXITED)? {
                return Ok(status);
            }
        }
    }

    /// How a process that is not our child ended, without reaping it. `None` while it runs, until
    /// its parent has reaped it, and on kernels before 6.15, where nobody but the parent ever
    /// learns it.
    pub fn exit_status_of_non_child(&self, kernel: Kernel) -> Option<ExitStatus> {
        if kernel == Kernel::Oldest {
            return None;
        }
        // SAFETY: pidfd_info consists of integers.
        let mut information: libc::pidfd_info = unsafe { MaybeUninit::zeroed().assume_init() };
        information.mask = libc::PIDFD_INFO_EXIT.into();
        // SAFETY: the request's number carries the size of pidfd_info, so the kernel writes no more.
        let answer =
            unsafe { libc::ioctl(self.descriptor.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut information) };
        let known = information.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0;
        (answer == 0 && known).then(|| ExitStatus::from_wait_status(information.exit_code))
    }

    /// Signals the process.
    ///
    /// # Errors
    /// `ESRCH` once it was reaped, `EPERM` for a process of another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.send_signal(signal as libc::c_int, 0)
    }

    /// Asks a trainer for the stacks of its threads: see [`stacks_signal`]. Ends a process that has no
    /// handler for it, so ask only one that said it has.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub fn ask_for_stacks(&self) -> io::Result<()> {
        self.send_signal(stacks_signal(), 0)
    }

    /// Signals the whole process group this process leads, also after the leader has ended.
    ///
    /// Before Linux 6.9 the group is named by number. That number is not given to another group
    /// while the leader is an unreaped child of ours or any member lives; so signal before reaping.
    ///
    /// # Errors
    /// `ESRCH` for a group without members or a process that leads none, `EPERM` for processes of
    /// another user, `EINVAL` for the leader of no group that may be signalled: pid 1, whose number
    /// means "everybody" to kill(2), or a pid that cannot be seen.
    pub fn signal_group(&self, signal: Signal, kernel: Kernel) -> io::Result<()> {
        let leader = self.pid.filter(|&pid| pid > 1).ok_or(Errno::EINVAL)?;
        let leader = libc::pid_t::try_from(leader).map_err(|_| Errno::EINVAL)?;
        if kernel == Kernel::Running {
            match self.send_signal(signal as libc::c_int, libc::PIDFD_SIGNAL_PROCESS_GROUP) {
                // An older kernel does not know the flag.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                answer => return answer,
            }
        }
        Ok(killpg(Pid::from_raw(leader), signal)?)
    }

    /// As [`signal_group`](Self::signal_group), but never by number: for a leader that somebody else may
    /// have reaped. From Linux 6.9.
    ///
    /// # Errors
    /// `EINVAL` on an older kernel; otherwise as there.
    pub fn signal_group_exactly(&self, signal: Signal) -> io::Result<()> {
        self.send_signal(signal as libc::c_int, libc::PIDFD_SIGNAL_PROCESS_GROUP)
    }

    fn wait_id(&self, options: libc::c_int) -> io::Result<Option<ExitStatus>> {
        // nix's waitid has no value for real-time signals and loses the status of what they killed.
        // SAFETY: all-zero is a valid siginfo_t.
        let mut information: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
        // A descriptor in use is never negative.
        let id = self.descriptor.as_raw_fd().unsigned_abs();
        // SAFETY: `information` outlives the call.
        let answer = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut information, options) };
        Errno::result(answer)?;
        // SAFETY: for a waitid that succeeded, and for the zeroes left by WNOHANG, the kernel's
        // SIGCHLD fields are the ones in use.
        let (pid, status) = unsafe { (information.si_pid(), information.si_status()) };
        if pid == 0 {
            return Ok(None);
        }
        Ok(Some(match information.si_code {
            libc::CLD_EXITED => ExitStatus::Code(status),
            code => ExitStatus::Signal { signal: status, core_dumped: code == libc::CLD_DUMPED },
        }))
    }

    fn send_signal(&self, signal: libc::c_int, flags: libc::c_uint) -> io::Result<()> {
        let information: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: a null siginfo asks the kernel to fill in its own.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.descriptor.as_raw_fd(),
                signal,
                information,
                flags,
            )
        };
        Errno::result(answer)?;
        Ok(())
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// The signal that makes a trainer which has said so in its Hello write the Python stacks of all its
/// threads to its standard error. One of the last: libraries that use real-time signals begin at the first.
pub fn stacks_signal() -> i32 {
    libc::SIGRTMAX() - 1
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(i32),
    /// Killed.
    Signal {
        /// Number of the signal, real-time signals included.
        signal: i32,
        /// Whether the kernel wrote a core dump.
        core_dumped: bool,
    },
}

impl ExitStatus {
    /// Reads a status as wait(2) encodes it.
    pub fn from_wait_status(status: i32) -> Self {
        std::process::ExitStatus::from_raw(status).into()
    }
}

impl From<std::process::ExitStatus> for ExitStatus {
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (_, Some(signal)) => Self::Signal { signal, core_dumped: status.core_dumped() },
            (code, None) => Self::Code(code.unwrap_or_default()),
        }
    }
}

/// `exit code 1`, `signal 11 (SIGSEGV), core dumped`.
impl std::fmt::Display for ExitStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal { signal, core_dumped } => {
                write!(formatter, "signal {signal}")?;
                if let Ok(name) = Signal::try_from(signal) {
                    write!(formatter, " ({name})")?;
                }
                formatter.write_str(if core_dumped { ", core dumped" } else { "" })
            }
        }
    }
}

const _: () = assert!(mem::size_of::<libc::pidfd_info>() == libc::PIDFD_INFO_SIZE_VER0 as usize);
