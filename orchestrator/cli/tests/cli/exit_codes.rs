use crate::sandbox::{Ran, Sandbox};

#[test]
fn scripts_that_know_nothing_of_trainwire() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "train.py",
        "import json, os\n\
         params = json.loads(os.environ['TRAINWIRE_PARAMS'])\n\
         assert params == {'lr': float(os.environ['TRAINWIRE_TASK_ID'][3:]), 'kind': 'sgd', 'fast': True}, params\n\
         assert os.environ['TRAINWIRE_MAX_EPOCHS'] == '3'\n\
         assert os.environ['TRAINWIRE_MODEL_NAME'] == 'train'\n\
         assert os.environ['TRAINWIRE_ATTEMPT'] == '1'\n\
         open(os.path.join(os.environ['TRAINWIRE_WORKDIR'], 'model'), 'w').close()\n",
    );
    let ran = sandbox.run(&[
        "--grid=lr=0.1,1e-2",
        "--param=kind=sgd",
        "--param=fast=true",
        "--max-epochs=3",
        "--trainers=2",
        "--",
        "python3",
        "train.py",
    ]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("lr=0.1   succeeded"), "{}", ran.stdout);
    assert!(ran.stdout.contains("lr=1e-2  succeeded"), "{}", ran.stdout);
    assert!(ran.stdout.contains("2 of 2 tasks succeeded"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "no colours in a pipe");
    let ignore = std::fs::read_to_string(sandbox.path(".trainwire/.gitignore")).unwrap();
    assert_eq!(ignore, "*\n");
}

#[test]
fn an_exit_code_is_a_failure_with_its_last_lines() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["--", "sh", "-c", "echo one; echo two >&2; exit 3"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("✗ sh: exit code 3\n  │ one\n  │ two\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("jobs/sh-"), "the log is named: {}", ran.stdout);
}

#[test]
fn an_unmodified_script_that_fails_shows_its_traceback() {
    let sandbox = Sandbox::new();
    sandbox.write("train.py", "def fit(lr):\n    raise ValueError(f'{lr} is no rate')\n\nfit(-1)\n");
    let ran = sandbox.run(&["--", "python3", "train.py"]);
    assert_eq!(ran.code, Some(1));
    for said in [
        "ValueError: -1 is no rate  ",
        "✗ train: ValueError: -1 is no rate\n",
        "train.py\", line 2, in fit\n",
    ] {
        assert!(ran.stdout.contains(said), "{said} in\n{}", ran.stdout);
    }
}

#[test]
fn a_killed_trainer_is_tried_again() {
    let sandbox = Sandbox::new();
    let script = "if [ $TRAINWIRE_ATTEMPT = 1 ]; then kill -9 $$; fi";
    let ran = sandbox.run(&["--backoff-min=1ms", "--backoff-max=1ms", "--", "sh", "-c", script]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert!(ran.stderr.contains("attempt 1: crashed: killed by SIGKILL"), "{}", ran.stderr);
    assert!(ran.stderr.contains("started (attempt 2 of 3)"), "{}", ran.stderr);
    let ran = sandbox.run(&[
        "--backoff-min=1ms",
        "--backoff-max=1ms",
        "--max-losses=2",
        "--",
        "sh",
        "-c",
        "kill -9 $$",
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("✗ sh: crashed: killed by SIGKILL"), "{}", ran.stdout);
}

#[test]
fn commands_that_cannot_be_started() {
    let sandbox = Sandbox::new();
    sandbox.write("plain.sh", "exit 0\n");
    for (command, why) in [("./nowhere", "No such file or directory"), ("./plain.sh", "is not executable")] {
        let ran = sandbox.run(&["--backoff-min=1ms", "--backoff-max=1ms", "--", command]);
        assert_eq!(ran.code, Some(1), "{command}");
        assert!(ran.stdout.contains(why) && ran.stdout.contains(command), "{}", ran.stdout);
    }
}

#[test]
fn foreign_text_reaches_no_terminal() {
    let sandbox = Sandbox::new();
    sandbox.write_executable(
        "evil.sh",
        "#!/bin/sh\nprintf '\\033]0;pwned\\007\\033[2J\\033[31mred\\n'; exit 1\n",
    );
    let ran = sandbox.run(&["--", "./evil.sh"]);
    assert!(ran.stdout.contains("│ \\u{1b}]0;pwned\\u{7}"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'));
}

#[test]
fn quiet_says_only_what_went_wrong() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["--quiet", "--", "true"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let ran = sandbox.run(&["--quiet", "--", "false"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("✗ false: exit code 1"), "{}", ran.stderr);
}

#[test]
fn usage_errors_start_nothing() {
    let sandbox = Sandbox::new();
    let wrong: [&[&str]; 9] = [
        &["train.py"],
        &["--max-epochs=3", "python", "train.py"],
        &[],
        &["--grid=lr", "--", "true"],
        &["--grid=lr=1", "--param=lr=2", "--", "true"],
        &["--job-id=a/b", "--", "true"],
        &["--recv-timeout=5", "--", "true"],
        &["--backoff-min=2s", "--backoff-max=1s", "--", "true"],
        &["nowhere.toml"],
    ];
    for args in wrong {
        let ran = sandbox.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("error: "), "{args:?}: {}", ran.stderr);
        if args.ends_with(&["train.py"]) {
            let said = ran.stderr.contains("a command comes after --: ")
                && ran.stderr.contains("-- python train.py");
            assert!(said, "{args:?}: {}", ran.stderr);
        }
    }
    assert!(!sandbox.path(".trainwire").exists());
}

#[test]
fn a_state_folder_in_use_or_of_an_ended_job() {
    let sandbox = Sandbox::new();
    let mut first = sandbox.command(&["--state=s", "--", "sh", "-c", "touch up; sleep 60"]).spawn().unwrap();
    sandbox.await_file("up");
    let ran = sandbox.run(&["--state=s", "--", "true"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("in use by process"), "{}", ran.stderr);
    crate::sandbox::send(&first, nix::sys::signal::Signal::SIGTERM);
    assert_eq!(first.wait().unwrap().code(), Some(130));

    assert_eq!(sandbox.run(&["--state=t", "--job-id=a", "--", "true"]).code, Some(0));
    let ran = sandbox.run(&["--state=t", "--job-id=a", "--", "true"]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("has already run"), "{}", ran.stderr);
}

#[test]
fn a_job_can_be_run_again() {
    let sandbox = Sandbox::new();
    for folder in ["again", "again-2", "again-3"] {
        let ran = sandbox.run(&["--job-id=again", "--", "true"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(sandbox.path(".trainwire").join(folder).is_dir());
    }
}

#[test]
fn a_journal_that_cannot_grow() {
    let sandbox = Sandbox::new();
    let grid: Vec<_> = (0..400).map(|n| n.to_string()).collect();
    let grid = format!("--grid=n={}", grid.join(","));
    // 512-byte blocks; without the signal a write beyond them is an error, as on a full disk.
    let prelude = "trap '' XFSZ; ulimit -f 400";
    let ran: Ran = sandbox.command_after(prelude, &[&grid, "--", "true"]).output().unwrap().into();
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: the journal could not be written"), "{}", ran.stderr);
}

#[test]
fn the_exit_codes_are_documented() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["--help"]);
    assert_eq!(ran.code, Some(0));
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "130"] {
        assert!(ran.stdout.contains(&format!("\n  {code}  ")), "{code}");
    }
}
