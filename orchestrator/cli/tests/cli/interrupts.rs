use std::fs;
use std::io::Read;
use std::process::{Child, Output};

use nix::sys::signal::Signal;

use crate::daemon::ask;
use crate::sandbox::{Ran, Sandbox, is_dead, send};

/// Saves a checkpoint when it is asked to end, and takes its time.
const SAVES: &str =
    "trap 'sleep 0.3; touch saved; exit 0' TERM; echo $$ > pid; touch up; while :; do sleep 0.05; done";

/// Cannot be asked.
const IGNORES: &str = "trap '' TERM; echo $$ > pid; touch up; while :; do sleep 0.05; done";

#[test]
fn the_first_asks_and_waits() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let sandbox = Sandbox::new();
        let mut child = sandbox.command(&["--grid=n=1,2,3", "--", "sh", "-c", SAVES]).spawn().unwrap();
        // One that the journal does not know yet is not asked but killed.
        let said = read_until(&mut child, "started");
        sandbox.await_file("up");
        send(&child, signal);
        let ran: Ran = with_rest(child, said).into();
        assert_eq!(ran.code, Some(130), "{signal}: {}{}", ran.stdout, ran.stderr);
        assert!(sandbox.path("saved").exists(), "{signal}");
        assert!(is_dead(&sandbox.path("pid")), "{signal}");
        let said = "running tasks save a checkpoint and end, within 0:35.\nA second signal kills them.";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(ran.stdout.contains("3 stopped"), "{}", ran.stdout);
    }
}

#[test]
fn what_was_stopped_goes_on_when_it_is_resumed() {
    let sandbox = Sandbox::new();
    let job = format!("resumed-{}", std::process::id());
    let named = format!("--job-id={job}");
    let script =
        "echo $TRAINWIRE_ATTEMPT >> $TRAINWIRE_TASK_ID; touch up; while test ! -e go; do sleep 0.02; done";
    let mut child = sandbox.command(&[&named, "--grid=n=1,2", "--", "sh", "-c", script]).spawn().unwrap();
    // An attempt that is not journaled is not counted.
    let said = read_until(&mut child, "started");
    sandbox.await_file("up");
    send(&child, Signal::SIGINT);
    let ran: Ran = with_rest(child, said).into();
    assert_eq!(ran.code, Some(130), "{}{}", ran.stdout, ran.stderr);
    let said = format!("what was stopped goes on with: trainwire resume {job}\n");
    assert!(ran.stderr.ends_with(&said), "{}", ran.stderr);

    sandbox.write("go", "");
    let refused = ask(&sandbox, &["resume", &job, "n=3"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("n=3") && refused.stderr.contains("(no_such_task)"),
        "{}",
        refused.stderr
    );
    let ran = ask(&sandbox, &["resume", &job, "--trainers=2"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(&format!("Going on with {job}: 2 tasks waiting again.")), "{}", ran.stderr);
    assert!(ran.stdout.contains("2 of 2 tasks succeeded"), "{}", ran.stdout);
    let attempts = |task| fs::read_to_string(sandbox.path(task)).unwrap_or_default();
    assert_eq!((attempts("n=1").as_str(), attempts("n=2").as_str()), ("1\n2\n", "1\n"));
    let ran = ask(&sandbox, &["resume", &job]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing to go on with; no task is dead or stopped"), "{}", ran.stderr);
}

#[test]
fn the_second_kills() {
    let sandbox = Sandbox::new();
    let mut child = sandbox.command(&["--term-grace=10m", "--", "sh", "-c", IGNORES]).spawn().unwrap();
    sandbox.await_file("up");
    send(&child, Signal::SIGINT);
    let said = read_until(&mut child, "kills them.");
    send(&child, Signal::SIGINT);
    let ran: Ran = with_rest(child, said).into();
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("Killing the trainers."), "{}", ran.stderr);
    assert!(is_dead(&sandbox.path("pid")));
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let sandbox = Sandbox::new();
    let args = ["--", "sh", "-c", "touch up; sleep 0.5"];
    let child = sandbox.command_after("trap '' INT HUP", &args).spawn().unwrap();
    sandbox.await_file("up");
    send(&child, Signal::SIGINT);
    send(&child, Signal::SIGHUP);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn nobody_reading_is_no_reason_to_stop() {
    let sandbox = Sandbox::new();
    let mut child =
        sandbox.command(&["--json", "--grid=n=1,2", "--", "sh", "-c", "echo x >> done"]).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(sandbox.path("done")).unwrap(), "x\nx\n");
}

pub(crate) fn read_until(child: &mut Child, text: &str) -> String {
    let stream = child.stderr.as_mut().unwrap();
    let mut said = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&said).contains(text) {
        stream.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    String::from_utf8(said).unwrap()
}

fn with_rest(mut child: Child, said: String) -> Output {
    let mut rest = said.into_bytes();
    child.stderr.take().unwrap().read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    Output { stderr: rest, ..output }
}
