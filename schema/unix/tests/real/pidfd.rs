//! Death, exit statuses and signals of real processes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::libc;
use trainwire_unix::{ExitStatus, Kernel, PidFd, Signal};

use crate::Sleeper;

const KERNELS: [Kernel; 2] = [Kernel::Running, Kernel::Oldest];

#[test]
fn codes_and_signals_are_told_apart() {
    let killed = |signal| ExitStatus::Signal { signal, core_dumped: false };
    for (script, expected, text) in [
        ("exit 0", ExitStatus::Code(0), "exit code 0"),
        ("exit 139", ExitStatus::Code(139), "exit code 139"),
        ("kill -KILL $$", killed(9), "signal 9 (SIGKILL)"),
        ("kill -TERM $$", killed(15), "signal 15 (SIGTERM)"),
        // A real-time signal.
        ("kill -40 $$", killed(40), "signal 40"),
        ("ulimit -c 0; kill -SEGV $$", killed(11), "signal 11 (SIGSEGV)"),
    ] {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pidfd = PidFd::open(child.id()).unwrap();
        let status = pidfd.wait_status().unwrap();
        assert_eq!(status, expected, "{script}");
        assert_eq!(status.to_string(), text);
        assert_eq!(pidfd.reap().unwrap_err().raw_os_error(), Some(libc::ECHILD), "reaped once only");
    }
    assert_eq!(ExitStatus::from_wait_status(0x008b).to_string(), "signal 11 (SIGSEGV), core dumped");
    assert_eq!(ExitStatus::from_wait_status(0x0300), ExitStatus::Code(3));
}

#[test]
fn a_process_is_dead_once_it_ended_reaped_or_not() {
    let child = Sleeper::start();
    let pidfd = PidFd::open(child.pid()).unwrap();
    assert!(!pidfd.is_dead().unwrap());
    assert!(!pidfd.poll(Some(Duration::from_nanos(1))).unwrap());
    assert_eq!(pidfd.reap().unwrap(), None);
    pidfd.signal(Signal::SIGKILL).unwrap();
    assert!(pidfd.poll(Some(Duration::MAX)).unwrap());
    // A zombie now: kill(pid, 0) would call it alive.
    assert!(pidfd.is_dead().unwrap());
    pidfd.signal(Signal::SIGKILL).unwrap();
    assert_eq!(pidfd.reap().unwrap(), Some(ExitStatus::Signal { signal: 9, core_dumped: false }));
    assert!(pidfd.is_dead().unwrap());
    assert_eq!(pidfd.signal(Signal::SIGKILL).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

#[test]
fn what_is_no_process_is_refused() {
    for (pid, expected) in [(0, libc::EINVAL), (u32::MAX, libc::EINVAL), (i32::MAX as u32, libc::ESRCH)] {
        assert_eq!(PidFd::open(pid).unwrap_err().raw_os_error(), Some(expected), "{pid}");
    }
    let file = File::open("/dev/null").unwrap().into();
    assert_eq!(PidFd::from_owned(file).unwrap_err().raw_os_error(), Some(libc::EINVAL));

    let child = Sleeper::start();
    let opened = PidFd::open(child.pid()).unwrap();
    let copy = || -> OwnedFd { opened.as_fd().try_clone_to_owned().unwrap() };
    assert_eq!(PidFd::from_owned(copy()).unwrap().pid(), Some(child.pid()));
    drop(child);
    assert_eq!(PidFd::from_owned(copy()).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

#[test]
fn a_group_is_signalled_also_after_its_leader_has_ended() {
    for kernel in KERNELS {
        let (leader, mut output) = shell("sleep 1000 & echo $!; exit 3");
        let pidfd = PidFd::open(leader.id()).unwrap();
        let member = PidFd::open(read_pid(&mut output)).unwrap();
        assert!(pidfd.poll(None).unwrap());
        assert!(!member.is_dead().unwrap());
        pidfd.signal_group(Signal::SIGKILL, kernel).unwrap();
        assert!(member.poll(None).unwrap(), "{kernel:?}");
        assert_eq!(pidfd.reap().unwrap(), Some(ExitStatus::Code(3)));
    }
}

#[test]
fn a_process_that_leads_no_group_has_none_to_signal() {
    let follower = Sleeper::start();
    let pidfd = PidFd::open(follower.pid()).unwrap();
    for kernel in KERNELS {
        let error = pidfd.signal_group(Signal::SIGKILL, kernel).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{kernel:?}");
        assert!(!pidfd.is_dead().unwrap());
        // killpg(1) would be kill(-1): everybody.
        let first = PidFd::open(1).unwrap();
        let error = first.signal_group(Signal::SIGCONT, kernel).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{kernel:?}");
    }
}

#[test]
fn newer_kernels_tell_how_a_process_of_somebody_else_ended() {
    let (mut parent, mut output) = shell("sleep 1000 & echo $!; wait $!; exit 0");
    let grandchild = PidFd::open(read_pid(&mut output)).unwrap();
    for kernel in KERNELS {
        assert_eq!(grandchild.exit_status_of_non_child(kernel), None, "it runs");
    }
    grandchild.signal(Signal::SIGKILL).unwrap();
    // The parent ends after it has reaped the grandchild.
    assert!(parent.wait().unwrap().success());
    assert_eq!(grandchild.reap().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    let expected = ExitStatus::Signal { signal: 9, core_dumped: false };
    let known = (kernel_release() >= (6, 15)).then_some(expected);
    assert_eq!(grandchild.exit_status_of_non_child(Kernel::Running), known);
    assert_eq!(grandchild.exit_status_of_non_child(Kernel::Oldest), None);
}

/// A shell that leads a process group of its own.
fn shell(script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new("sh");
    let mut child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn read_pid(output: &mut impl BufRead) -> u32 {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().parse().unwrap()
}

fn kernel_release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse().unwrap();
    (next(), next())
}
