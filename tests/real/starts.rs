//! Commands that never become a trainer, and what is said of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use trainwire::record::{Exit, Record};
use trainwire::{Job, TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch};

#[tokio::test]
async fn a_command_that_does_not_exist_fails_the_job_at_once() {
    let stage = Stage::new().await;
    let (cause, _) = dead(&stage, stage.command("missing", ["no-such-program"]), 1).await;
    assert!(cause.contains("no-such-program was not found in PATH"), "{cause}");
}

#[tokio::test]
async fn a_file_that_is_not_executable_is_named_with_the_remedy() {
    let stage = Stage::new().await;
    fs::write(stage.path("train.sh"), "#!/bin/sh\n").expect("a file");
    let (cause, _) = dead(&stage, stage.command("plain", ["./train.sh"]), 1).await;
    assert!(cause.contains("./train.sh is not executable; chmod +x it"), "{cause}");
}

#[tokio::test]
async fn a_missing_interpreter_is_told_from_a_missing_file() {
    let stage = Stage::new().await;
    let script = stage.path("train.sh");
    fs::write(&script, "#!/no/such/python\n").expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("rights");
    let (cause, _) = dead(&stage, stage.command("shebang", ["./train.sh"]), 1).await;
    assert!(cause.contains("the interpreter in the first line of ./train.sh"), "{cause}");
}

#[tokio::test]
async fn the_last_lines_of_a_trainer_that_dies_on_import_are_the_evidence() {
    let stage = Stage::new().await;
    let program = "
print('loading the libraries')
import a_module_nobody_has
";
    let (cause, log_tail) = dead(&stage, stage.job("imports", program), 3).await;
    assert!(cause.contains("3 trainers in a row failed to start"), "{cause}");
    assert!(cause.contains("exit code 1"), "{cause}");
    assert!(log_tail.contains("loading the libraries"), "{log_tail}");
    assert!(log_tail.contains("No module named 'a_module_nobody_has'"), "{log_tail}");
}

#[tokio::test]
async fn who_does_not_connect_within_start_timeout_has_failed_to_start() {
    let stage = Stage::new().await;
    let job = stage.command("sleeps", ["sleep", "1000"]).start_timeout(Duration::from_millis(200));
    let (cause, _) = dead(&stage, job, 3).await;
    assert!(cause.contains("did not say Hello within 200ms"), "{cause}");
}

/// Submits a job of two tasks, both of which must end as dead with the same words after so many tries.
async fn dead(stage: &Stage, job: Job, tries: usize) -> (String, String) {
    let tasks = ["a", "b"].map(|id| TrainingTask::new(id, "m"));
    let mut watch = Watch::new(&stage.submit(job.tasks(tasks)).await);
    let mut tasks = watch.outcome().await.tasks;
    let starts: Vec<_> = watch
        .records()
        .filter_map(|record| match record {
            Record::TrainerEnded { start_failed, exit, .. } => Some((*start_failed, exit)),
            _ => None,
        })
        .collect();
    assert_eq!(starts.len(), tries, "{:#?}", watch.seen);
    assert!(starts.iter().all(|(failed, exit)| *failed && **exit != Exit::Unknown), "{starts:?}");
    assert_eq!(tasks[0].state, tasks[1].state);
    match tasks.remove(0).state {
        TaskEnd::Dead { cause, log_tail, .. } => (cause, log_tail),
        other => panic!("{other:?}"),
    }
}
