//! The daemon and its verbs: real processes, real sockets, real signals.

use std::fs;

use crate::daemon::{Daemon, trainwire};
use crate::sandbox::{Ran, Sandbox, is_dead};

#[test]
fn a_job_from_submission_to_dead_letter() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let script = "echo lr $TRAINWIRE_PARAMS; test $TRAINWIRE_TASK_ID = lr=0.1 || { echo no >&2; exit 3; }";
    daemon.submit("sweep", &["--grid=lr=0.1,0.2", "--trainers=2"], script);

    let waited = daemon.ask(&["wait", "sweep"]);
    assert_eq!(waited.code, Some(1), "one of two has failed: {}", waited.stderr);
    assert_eq!(waited.stdout, "sweep: 1 succeeded, 1 dead\n");
    assert_eq!(daemon.ask(&["wait", "sweep", "lr=0.1"]).code, Some(0), "this one has not");

    assert_eq!(daemon.ask(&["ls"]).stdout, "no jobs; those that have ended are shown with --all\n");
    let listed = daemon.ask(&["ls", "--all"]).stdout;
    assert_eq!(listed, "JOB    STATE  TASKS                WAITS\nsweep  ended  1 succeeded, 1 dead\n");
    let shown = daemon.ask(&["show", "sweep"]).stdout;
    assert!(
        shown.contains("lr=0.2  dead       1         failed once: exit code 3; max_failures is 1"),
        "{shown}"
    );
    assert_eq!(daemon.ask(&["logs", "sweep", "lr=0.2"]).stdout, "lr {\"lr\":0.2}\nno\n");
    let letters = daemon.ask(&["dead-letters"]).stdout;
    for said in ["lr=0.2 of sweep: failed once: exit code 3", "  attempt 1: ", "  │ no\n", "  log: "] {
        assert!(letters.contains(said), "{said} in\n{letters}");
    }
    assert_eq!(
        daemon.ask(&["dead-letters", "sweep", "--json"]).stdout.matches("\"task\":\"lr=0.2\"").count(),
        1
    );
}

#[test]
fn a_dead_letter_tells_of_each_attempt_and_a_trainer_without_stacks_is_left_alone() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let script = "printf %s '{\"message\": {\"message\": \"ValueError: bad lr\", \"extraInfo\": {\"py_callstack\": \"Traceback:\\n  in train\\n\", \"timestamp\": \"1\"}}}' > $TORCHELASTIC_ERROR_FILE; echo attempt $TRAINWIRE_ATTEMPT; touch up; while test ! -e go; do sleep 0.05; done; exit 1";
    daemon.submit("letter", &["--max-failures=2", "--backoff-min=1ms"], script);
    sandbox.await_file("up");
    let refused = daemon.ask(&["stack", "letter"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("(stacks_unable)"), "{}", refused.stderr);
    sandbox.write("go", "");
    assert_eq!(daemon.ask(&["wait", "letter"]).code, Some(1));
    let refused = daemon.ask(&["stack", "letter", "sh"]);
    assert!(refused.stderr.contains("(not_running)"), "{}", refused.stderr);

    let letters = daemon.ask(&["dead-letters"]).stdout;
    for said in [
        "sh of letter: failed twice, the last: ValueError: bad lr",
        "  attempt 1: ValueError: bad lr, after ",
        "  attempt 2: ValueError: bad lr, after ",
        "  ┆   in train\n",
        "  │ attempt 2\n",
    ] {
        assert!(letters.contains(said), "{said} in\n{letters}");
    }
    let letter = &daemon.json(&["dead-letters"])[0];
    assert_eq!(letter["evidence"][1]["attempt"], 2, "{letter}");
    for key in ["trainer", "began", "duration_ms", "log", "log_from"] {
        assert!(!letter["evidence"][0][key].is_null(), "{key} in {letter}");
    }
}

#[test]
fn a_submission_is_idempotent_by_id_and_a_conflict_is_one() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let script = "echo run >> runs; touch up; while test ! -e go; do sleep 0.05; done";
    for _ in 0..2 {
        daemon.submit("once", &["--param=lr=0.1"], script);
    }
    sandbox.await_file("up");
    let other = ["submit", "--job-id=once", "--param=lr=0.2", "--", "sh", "-c", script];
    let refused = daemon.ask(&other);
    assert_eq!(refused.code, Some(2));
    let says = |ran: &Ran, what: &str| {
        let said = format!("with another {what}; give the new one another id (job_conflict)");
        assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    };
    says(&refused, "tasks");
    let elsewhere = trainwire(&sandbox)
        .args(["submit", "--job-id=once", "--param=lr=0.1", "--max-losses=7", "--", "sh", "-c", script])
        .env("VIRTUAL_ENV", "/elsewhere")
        .output()
        .unwrap();
    says(&elsewhere.into(), "environment (VIRTUAL_ENV), max_losses");
    sandbox.write("go", "");
    assert_eq!(daemon.ask(&["wait", "once"]).code, Some(0));
    daemon.submit("once", &["--param=lr=0.1"], script);
    assert_eq!(fs::read_to_string(sandbox.path("runs")).unwrap(), "run\n");
}

#[test]
fn a_command_runs_where_and_as_its_submitter_would() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    fs::create_dir(sandbox.path("bin")).unwrap();
    sandbox.write_executable("bin/mine", "#!/bin/sh\npwd; echo $VIRTUAL_ENV\n");
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    let submitted = trainwire(&sandbox)
        .args(["submit", "--job-id=home", "--", "mine"])
        .current_dir(sandbox.path("bin"))
        .env("PATH", path)
        .env("VIRTUAL_ENV", "/venv")
        .output()
        .unwrap();
    assert!(submitted.status.success());
    assert_eq!(daemon.ask(&["wait", "home"]).code, Some(0));
    let here = fs::canonicalize(sandbox.path("bin")).unwrap();
    assert_eq!(daemon.ask(&["logs", "home"]).stdout, format!("{}\n/venv\n", here.display()));
}

#[test]
fn a_number_reaches_the_trainer_with_its_last_bit() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("exact", &["--param=x=3.11717e-20"], "echo $TRAINWIRE_PARAMS");
    assert_eq!(daemon.ask(&["wait", "exact"]).code, Some(0));
    assert_eq!(daemon.ask(&["logs", "exact"]).stdout, "{\"x\":3.11717e-20}\n");
}

#[test]
fn a_file_goes_to_the_trainer_by_its_name() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    sandbox.write("data.bin", vec![7; 200_000]);
    let ran = daemon.ask(&["submit", "--job-id=file", "--hyperparams-file=data.bin", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let task = daemon.json(&["show", "file", "true"]);
    assert!(task["size_bytes"].as_u64().unwrap() > 200_000, "{task}");
    let ran = daemon.ask(&["submit", "--hyperparams-file=/dev/null", "--", "true"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("/dev/null is no regular file"), "{}", ran.stderr);
    // In a spec infinity is a number, in JSON there is none.
    sandbox.write("inf.toml", "command = [\"true\"]\nscript = true\n[defaults]\nparams = { lr = inf }\n");
    let ran = daemon.ask(&["submit", "inf.toml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("lr is infinite or not a number"), "{}", ran.stderr);
}

#[test]
fn logs_are_followed_across_attempts_to_the_end() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let script =
        "echo attempt $TRAINWIRE_ATTEMPT; sleep 0.3; test $TRAINWIRE_ATTEMPT = 3 || kill -9 $$; printf end";
    daemon.submit("flaky", &["--backoff-min=1ms", "--backoff-max=1ms"], script);
    let followed = daemon.ask(&["logs", "-f", "flaky"]);
    assert_eq!(followed.stdout, "attempt 1\nattempt 2\nattempt 3\nend", "{}", followed.stderr);
    assert_eq!(daemon.ask(&["logs", "flaky", "--attempt=2"]).stdout, "attempt 2\n");
    let json = daemon.ask(&["logs", "flaky", "--attempt=3", "--json"]).stdout;
    assert_eq!(json, "{\"attempt\":3,\"text\":\"attempt 3\"}\n{\"attempt\":3,\"text\":\"end\"}\n");
}

#[test]
fn ls_and_show_say_why_a_task_waits() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &["--slots=0,1"]);
    daemon.submit("first", &["--gpus=2"], "touch up; sleep 600");
    sandbox.await_file("up");
    daemon.submit("second", &["--gpus=1"], "exit 0");
    let listed = daemon.ask(&["ls"]).stdout;
    assert!(listed.contains("second  waiting  1 waiting  for 1 slot, 0 free"), "{listed}");
    let shown = daemon.json(&["show", "second"]);
    assert_eq!(shown["waits_for"]["what"], "slots", "{shown}");
    assert_eq!(shown["task_list"][0]["waits_for"]["what"], "slots", "{shown}");
    assert_eq!(daemon.ask(&["stop", "first"]).code, Some(0));
    assert_eq!(daemon.ask(&["wait", "second"]).code, Some(0), "the slots were given on");
}

#[test]
fn stop_returns_when_it_has_happened() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let saves =
        "trap 'sleep 0.3; touch saved; exit 0' TERM; echo $$ > pid; touch up; while :; do sleep 0.05; done";
    daemon.submit("saves", &["--grid=n=1,2"], saves);
    sandbox.await_file("up");
    let one = daemon.ask(&["stop", "--cancel", "saves", "n=2"]);
    assert_eq!(one.stdout.lines().next(), Some("n=2: cancelled"), "{}", one.stderr);
    let stopped = daemon.ask(&["stop", "saves"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert_eq!(stopped.stdout, "saves: 1 stopped, 1 cancelled\n");
    assert!(sandbox.path("saved").exists() && is_dead(&sandbox.path("pid")));

    daemon.submit(
        "deaf",
        &["--term-grace=10m"],
        "trap '' TERM; echo $$ > deaf; touch deaf-up; while :; do sleep 0.05; done",
    );
    sandbox.await_file("deaf-up");
    assert_eq!(daemon.ask(&["stop", "--kill", "deaf"]).code, Some(0));
    assert!(is_dead(&sandbox.path("deaf")));
}

#[test]
fn what_was_given_up_is_tried_again() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("late", &["--grid=n=1,2"], "echo attempt $TRAINWIRE_ATTEMPT; test -e ready");
    assert_eq!(daemon.ask(&["wait", "late"]).code, Some(1));
    sandbox.write("ready", "");
    assert_eq!(daemon.ask(&["retry", "late", "n=2"]).stdout, "late: 1 task waiting again\n");
    assert_eq!(daemon.ask(&["wait", "late", "n=2"]).code, Some(0));
    let resumed = daemon.ask(&["resume", "late", "--max-failures=3", "--stall-timeout=1h"]);
    assert_eq!(resumed.stdout, "late: 1 task waiting again\n", "{}", resumed.stderr);
    assert_eq!(daemon.ask(&["wait", "late"]).stdout, "late: 2 succeeded\n");
    assert_eq!(daemon.ask(&["logs", "late", "n=1"]).stdout, "attempt 1\nattempt 2\n");
    let nothing = daemon.ask(&["retry", "late"]).stdout;
    assert_eq!(nothing, "late: nothing to try again; no task is dead or stopped\n");
    let refused = daemon.ask(&["retry", "late", "n=1"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("(not_retryable)"), "{}", refused.stderr);
}

#[test]
fn a_script_has_no_stacks_to_show() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("plain", &[], "touch up; sleep 600");
    sandbox.await_file("up");
    let asked = daemon.ask(&["stack", "plain"]);
    assert_eq!(asked.code, Some(2));
    assert!(asked.stderr.contains("py-spy"), "{}", asked.stderr);
    daemon.ask(&["stop", "--kill", "plain"]);
}

#[test]
fn a_wait_can_be_bounded() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("long", &[], "sleep 600");
    let waited = daemon.ask(&["wait", "--timeout=50ms", "long"]);
    assert_eq!(waited.code, Some(124));
    assert!(waited.stderr.contains("long goes on after 0.1 s"), "{}", waited.stderr);
    daemon.ask(&["stop", "--kill", "long"]);
}

#[test]
fn a_pruned_task_is_no_failure_and_is_not_tried_again() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let script = "test $TRAINWIRE_TASK_ID = n=2 || exit 0; touch up; exec sleep 1000";
    daemon.submit("search", &["--grid=n=1,2"], script);
    sandbox.await_file("up");
    let refused = daemon.ask(&["stop", "search", "--prune"]);
    assert_eq!(refused.code, Some(2), "one task: {}", refused.stderr);
    let stopped = daemon.ask(&["stop", "search", "n=2", "--prune"]);
    assert!(stopped.code == Some(0) && stopped.stdout.starts_with("n=2: pruned\n"), "{}", stopped.stdout);
    let waited = daemon.ask(&["wait", "search"]);
    assert_eq!((waited.code, waited.stdout.as_str()), (Some(0), "search: 1 succeeded, 1 pruned\n"));
    assert!(daemon.ask(&["retry", "search"]).stdout.contains("nothing to try again"));
    assert_eq!(daemon.json(&["retry", "search", "n=2"])["requeued"], 1);
    daemon.ask(&["stop", "search", "--kill"]);
    assert_eq!(daemon.json(&["show", "search"])["tasks"]["stopped"], 1);
}
