use std::fs;
use std::process::Child;

use nix::sys::signal::Signal;

use crate::daemon::ask;
use crate::interrupts::read_until;
use crate::sandbox::{Ran, Sandbox, is_dead, send};

/// Appends its pid to a file, and ends once it is let go.
const WAITS: &str = "echo $$ >> pids; touch up; while [ ! -e go ]; do sleep 0.02; done";

/// A run that is killed while its first task runs.
fn cut_short(sandbox: &Sandbox, args: &[&str]) {
    let mut child = sandbox.command(args).spawn().unwrap();
    // Journaled: what is not has done nothing.
    read_until(&mut child, "started");
    sandbox.await_file("up");
    kill(child);
}

fn kill(mut child: Child) {
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
}

fn pids(sandbox: &Sandbox) -> Vec<String> {
    fs::read_to_string(sandbox.path("pids")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_run_that_was_killed_goes_on_when_it_is_run_again() {
    let sandbox = Sandbox::new();
    let args = ["--job-id=job", "--grid=n=1,2", "--", "sh", "-c", WAITS];
    cut_short(&sandbox, &args);
    // Killed once more on the way.
    let again = sandbox.command(&args).spawn().unwrap();
    kill(again);
    assert_eq!(pids(&sandbox).len(), 1);
    sandbox.write("go", "");
    let ran = sandbox.run(&args);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("Going on with job: "), "{}", ran.stderr);
    assert!(ran.stdout.contains("2 of 2 tasks succeeded"), "{}", ran.stdout);
    let pids = pids(&sandbox);
    assert_eq!(pids.len(), 2, "the first task's process was not started again");
    sandbox.write("pid", &pids[0]);
    assert!(is_dead(&sandbox.path("pid")));
    assert!(!sandbox.path("ai-task-sock-job").exists());

    // It is over now: to run it again means to run it again.
    let ran = sandbox.run(&args);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("Going on"), "{}", ran.stderr);
    assert!(sandbox.path(".trainwire/job-2/journal.sqlite").exists());
}

#[test]
fn a_run_without_a_name_is_found_by_its_folder() {
    let sandbox = Sandbox::new();
    cut_short(&sandbox, &["--state=here", "--", "sh", "-c", WAITS]);
    sandbox.write("go", "");
    let ran = sandbox.run(&["--state=here", "--json", "--", "sh", "-c", WAITS]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("Going on with sh-"), "{}", ran.stderr);
    assert_eq!(pids(&sandbox).len(), 1);
    let submitted = ran.stdout.lines().filter(|line| line.contains("\"job_submitted\"")).count();
    assert_eq!(submitted, 1, "all events of the job, the early ones too: {}", ran.stdout);
}

#[test]
fn samples_that_nobody_gave_a_seed_are_drawn_again_as_they_were() {
    let sandbox = Sandbox::new();
    let args = ["--job-id=job", "--random=x=uniform:0..1", "--samples=3", "--", "sh", "-c", WAITS];
    cut_short(&sandbox, &args);
    sandbox.write("go", "");
    let ran = sandbox.run(&args);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("Going on with job: "), "{}", ran.stderr);
    let [_, seed] = ran.stderr.split("drawn with --seed ").collect::<Vec<_>>()[..] else {
        panic!("{}", ran.stderr)
    };
    assert_eq!(pids(&sandbox).len(), 3, "the first sample's process was not started again");
    let seeded = ["--job-id=seeded", "--seed", seed.split('.').next().unwrap()];
    let ran = sandbox.run(&[&seeded[..], &args[1..]].concat());
    assert_eq!(ids(&sandbox, "seeded"), ids(&sandbox, "job"), "{}", ran.stderr);
}

/// Of the tasks that have succeeded, as `trainwire results` lists them.
fn ids(sandbox: &Sandbox, job: &str) -> Vec<String> {
    let listed = ask(sandbox, &["results", job, "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).expect(&listed.stderr);
    let succeeded = rows.iter().filter(|row| row["state"] == "succeeded");
    let ids: Vec<_> = succeeded.map(|row| row["task"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3, "{rows:?}");
    ids
}

#[test]
fn what_was_begun_otherwise_is_not_gone_on_with() {
    let sandbox = Sandbox::new();
    cut_short(&sandbox, &["--job-id=job", "--grid=n=1,2", "--", "sh", "-c", WAITS]);
    let ran = sandbox.run(&["--job-id=job", "--grid=n=1,2,3", "--", "sh", "-c", WAITS]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("was cut short and is not over"), "{}", ran.stderr);
    sandbox.write("go", "");
    let ran: Ran = sandbox.run(&["--job-id=job", "--grid=n=1,2", "--", "sh", "-c", WAITS]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}
