//! `trainwire results`: of runs, of the daemon's jobs, and of those that are not there.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, ask};
use crate::sandbox::Sandbox;

/// One of three fails.
const SCRIPT: &str = "test $TRAINWIRE_TASK_ID != lr=0.3,kind=b || { echo no; exit 3; }";

#[test]
fn results_of_a_run_are_found_by_its_id_and_by_its_folder() {
    let sandbox = Sandbox::new();
    let run = ["--job-id=sweep", "--grid=lr=0.2,0.3", "--param=kind=b", "--", "sh", "-c", SCRIPT];
    assert_eq!(sandbox.run(&run).code, Some(0));
    let again = ["--job-id=sweep", "--grid=lr=0.2,0.3", "--grid=kind=b", "--", "sh", "-c", SCRIPT];
    assert_eq!(sandbox.run(&again).code, Some(1));

    let newest = ask(&sandbox, &["results", "sweep"]);
    assert_eq!(newest.code, Some(0), "{}", newest.stderr);
    let lines: Vec<_> =
        newest.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["TASK", "STATE", "ATTEMPTS", "TIME", "KIND", "LR", "CAUSE"]);
    assert_eq!((lines[1][0], lines[1][1]), ("lr=0.2,kind=b", "succeeded"));
    assert_eq!(lines[2][..3], ["lr=0.3,kind=b", "dead", "1"]);
    let failed = "✗ lr=0.3,kind=b: failed once: exit code 3; max_failures is 1\n  │ no\n";
    assert!(
        newest.stdout.contains(&format!("2 tasks: 1 succeeded, 1 dead\n\n{failed}")),
        "{}",
        newest.stdout
    );
    assert!(
        newest.stdout.ends_with("/jobs/sweep/logs/trainer-2.log\n\nsweep in .trainwire/sweep-2\n"),
        "{}",
        newest.stdout
    );

    assert_eq!(ask(&sandbox, &["results"]).stdout, newest.stdout, "the last run");

    let first = ask(&sandbox, &["results", ".trainwire/sweep", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!(rows.iter().map(|row| &row["state"]).collect::<Vec<_>>(), ["succeeded", "succeeded"]);
    assert_eq!(rows[0]["params"], serde_json::json!({ "lr": 0.2, "kind": "b" }));
    let csv = ask(&sandbox, &["results", "sweep", "--state", ".trainwire/sweep-2", "--csv"]).stdout;
    assert!(csv.starts_with("task,state,attempts,params.kind,params.lr,duration_s,error,log\n"), "{csv}");
    assert!(csv.contains("\n\"lr=0.3,kind=b\",dead,1,b,0.3,"), "{csv}");
}

#[test]
fn results_of_the_daemons_jobs_are_there_also_while_it_is_not() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("job", &["--grid=lr=0.1,0.2"], "touch $TRAINWIRE_TASK_ID; test $TRAINWIRE_TASK_ID = lr=0.1 || while test ! -e go; do sleep 0.05; done");
    sandbox.await_file("lr=0.2");
    let states = || {
        let ran = ask(&sandbox, &["results", "job", "--json"]);
        let rows: Vec<Value> = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
        rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(), ["succeeded", "running"]);
    sandbox.write("go", "");
    assert_eq!(daemon.ask(&["wait", "job"]).code, Some(0));
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    assert_eq!(states(), ["succeeded", "succeeded"]);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let sandbox = Sandbox::new();
    let ran = ask(&sandbox, &["results"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("there is no run in .trainwire"), "{}", ran.stderr);
    assert_eq!(sandbox.run(&["--job-id=digits", "--", "true"]).code, Some(0));
    for (args, said) in [
        (
            &["results", "digit"][..],
            "there is no job digit in .trainwire of this folder, nor with the daemon; did you mean digits?",
        ),
        (&["results", "digits", "--minimize=loss"], "no task has reported loss; none has reported anything"),
        (&["results", "a/b"], "a/b is neither the folder of a run nor a job's id"),
        (&["results", "digits", "--state=nowhere"], "nowhere is no state folder, there is no journal in it"),
    ] {
        let ran = ask(&sandbox, args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}
