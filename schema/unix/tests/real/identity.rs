//! A pid from a journal leads to the process it was written for, or to none.

use std::io::ErrorKind;
use std::process::Command;

use trainwire_unix::{ExitStatus, PidFd, ProcessIdentity, Signal};

use crate::Sleeper;

#[test]
fn an_identity_leads_to_its_process_while_that_lives() {
    let child = Sleeper::start();
    let identity = ProcessIdentity::of(child.pid()).unwrap();
    assert_eq!(identity, ProcessIdentity::of(child.pid()).unwrap());
    let opened = identity.open().unwrap().unwrap();
    assert_eq!(opened.pid(), Some(child.pid()));
    opened.signal(Signal::SIGKILL).unwrap();
    assert!(opened.poll(None).unwrap());
    // A zombie still is that process.
    assert_eq!(ProcessIdentity::of(child.pid()).unwrap(), identity);
    drop(child);
    assert_eq!(identity.open().unwrap().map(|opened| opened.pid()), None);
}

#[test]
fn a_recycled_pid_and_another_boot_lead_to_nobody() {
    let child = Sleeper::start();
    let identity = ProcessIdentity::of(child.pid()).unwrap();
    let earlier = ProcessIdentity { start_time_ticks: identity.start_time_ticks - 1, ..identity };
    let before_reboot = ProcessIdentity { boot_id: "0".repeat(32).parse().unwrap(), ..identity };
    assert!(earlier.open().unwrap().is_none());
    assert!(before_reboot.open().unwrap().is_none());
}

#[test]
fn a_pid_that_is_a_threads_by_now_leads_to_nobody() {
    let (sender, thread) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let running = std::thread::spawn(move || {
        sender.send(nix::unistd::gettid()).unwrap();
        let _ = ends.recv();
    });
    let pid = thread.recv().unwrap().as_raw().cast_unsigned();
    let own = ProcessIdentity::of(std::process::id()).unwrap();
    assert!(ProcessIdentity { pid, ..own }.open().unwrap().is_none());
    drop(end);
    running.join().unwrap();
}

#[test]
fn nobody_has_a_pid_that_was_reaped() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let error = ProcessIdentity::of(child.id()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ESRCH));
    assert_ne!(error.kind(), ErrorKind::NotFound, "a missing process is not a missing file");
    assert_eq!(PidFd::open(child.id()).unwrap_err().raw_os_error(), Some(nix::libc::ESRCH));
}

#[test]
fn the_dead_say_how_they_ended_until_they_are_reaped() {
    for (script, expected) in [
        ("exit 7", ExitStatus::Code(7)),
        ("kill -SEGV $$", ExitStatus::Signal { signal: 11, core_dumped: false }),
    ] {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read line; ulimit -c 0; {script}")])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap();
        assert_eq!(identity.exit_status_of_zombie(), None, "it lives");
        let opened = identity.open().unwrap().unwrap();
        drop(child.stdin.take());
        assert!(opened.poll(None).unwrap());
        assert_eq!(identity.exit_status_of_zombie(), Some(expected));
        let earlier = ProcessIdentity { start_time_ticks: identity.start_time_ticks - 1, ..identity };
        assert_eq!(earlier.exit_status_of_zombie(), None, "another process");
        child.wait().unwrap();
        assert_eq!(identity.exit_status_of_zombie(), None);
    }
}
