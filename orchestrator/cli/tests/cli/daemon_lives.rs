//! What a daemon's end leaves to the next one, and what a daemon finds where it starts.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, ask, control, serve, trainwire};
use crate::sandbox::{Ran, Sandbox, is_dead};

#[test]
fn a_killed_daemon_loses_nothing_and_whoever_waits_goes_on_waiting() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit(
        "survivor",
        &[],
        "echo $$ >> pids; touch up; while test ! -e go; do sleep 0.05; done; echo end",
    );
    sandbox.await_file("up");
    // One that the journal does not know yet would be killed and started again.
    while daemon.json(&["show", "survivor"])["tasks"]["running"] != 1 {}
    let waiting = trainwire(&sandbox)
        .args(["wait", "survivor"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let daemon = Daemon::start(&sandbox, &[]);
    let job = daemon.json(&["show", "survivor"]);
    assert_eq!(job["tasks"]["running"], 1, "{job}");
    let pids = fs::read_to_string(sandbox.path("pids")).unwrap();
    assert_eq!(pids.lines().count(), 1, "it was not started again");
    sandbox.write("go", "");
    // Before Linux 6.15 nobody can say how it ended, and it is done once more.
    let waited: Ran = waiting.wait_with_output().unwrap().into();
    assert_eq!(waited.code, Some(0), "{}{}", waited.stdout, waited.stderr);
    assert!(daemon.ask(&["logs", "survivor"]).stdout.starts_with("end\n"));
}

#[test]
fn sigterm_leaves_trainers_to_the_next_daemon() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("goes-on", &[], "echo $$ > pid; touch up; while test ! -e go; do sleep 0.05; done");
    sandbox.await_file("up");
    // One that the journal does not know yet would be killed and started again.
    while daemon.json(&["show", "goes-on"])["tasks"]["running"] != 1 {}
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    assert!(!is_dead(&sandbox.path("pid")));
    assert!(!control(&sandbox).exists(), "the name of the socket is gone");
    let none = ask(&sandbox, &["ls"]);
    assert_eq!(none.code, Some(3));
    assert!(none.stderr.contains("start one with `trainwire serve`"), "{}", none.stderr);

    let daemon = Daemon::start(&sandbox, &[]);
    let job = daemon.json(&["show", "goes-on"]);
    assert_eq!(job["tasks"]["running"], 1, "{job}");
    sandbox.write("go", "");
    daemon.ask(&["wait", "goes-on"]);
    assert!(is_dead(&sandbox.path("pid")));
}

#[test]
fn sigterm_stops_them_first_where_that_is_asked() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &["--stop-trainers"]);
    daemon.submit(
        "ends",
        &[],
        "trap 'touch saved; exit 0' TERM; echo $$ > pid; touch up; while :; do sleep 0.05; done",
    );
    sandbox.await_file("up");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    assert!(sandbox.path("saved").exists() && is_dead(&sandbox.path("pid")));
}

#[test]
fn a_second_daemon_is_told_who_has_the_folder() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let second: Ran = serve(&sandbox, &[]).output().unwrap().into();
    assert_eq!(second.code, Some(3));
    assert!(second.stderr.contains(&format!("in use by process {}", daemon.child.id())), "{}", second.stderr);
    assert_eq!(daemon.ask(&["ls"]).code, Some(0), "the first goes on");
}

#[test]
fn without_descriptors_whoever_asks_waits_and_the_log_says_so_once() {
    let sandbox = Sandbox::new();
    let log = sandbox.path("log");
    let serve = serve(&sandbox, &[]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""])
        .arg(serve.get_program())
        .args(serve.get_args());
    limited.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(sandbox.path("")).stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let daemon = Daemon::wait_for(&sandbox, limited.spawn().unwrap());
    let holders: Vec<_> = (0..120).map(|_| daemon.connect().unwrap()).collect();
    let waiting = trainwire(&sandbox).arg("ls").stdout(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_secs(1));
    drop(holders);
    let waited: Ran = waiting.wait_with_output().unwrap().into();
    assert_eq!(waited.code, Some(0), "{}", waited.stderr);
    let said = fs::read_to_string(log).unwrap();
    assert_eq!(said.matches("accept_failed").count(), 1, "{said}");
}

#[test]
fn systemd_is_told_what_it_waits_for() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    let path = path.to_str().unwrap();
    let environment = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "100000")];
    let daemon = Daemon::start_with(&sandbox, &[], &environment);
    let mut heard = String::new();
    let mut hear_until = |word: &str| {
        while !heard.contains(word) {
            let mut datagram = [0; 512];
            let length = notify.recv(&mut datagram).unwrap();
            heard.push_str(std::str::from_utf8(&datagram[..length]).unwrap());
            heard.push('\n');
        }
    };
    hear_until(&format!("READY=1\nMAINPID={}", daemon.child.id()));
    hear_until("WATCHDOG=1\nWATCHDOG=1");
    daemon.signal(Signal::SIGTERM);
    hear_until("STOPPING=1");
    assert_eq!(daemon.wait(), Some(0));
}
