//! The whole library, with scripts for trainers.

use std::time::Duration;

use super::*;
use crate::What;
use crate::outcome::TaskEnd;
use crate::record::{Ending, Exit, Record};
use crate::status::TaskCounts;
use crate::training_task::TrainingTask;

mod clocks;
mod journal;
mod look;
mod open;
mod payloads;
mod results;
mod retention;
mod retry;

#[tokio::test]
async fn a_job_outlives_its_orchestrator_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    let submitted = || script("a", "test $TRAINWIRE_TASK_ID = good", &["good", "bad"]);
    let job = orchestrator.submit(submitted()).await.unwrap();
    let outcome = job.outcome().await.unwrap();
    assert!(matches!(outcome.tasks[0].state, TaskEnd::Succeeded { .. }));
    let TaskEnd::Dead { cause, evidence, .. } = &outcome.tasks[1].state else { panic!("{outcome:?}") };
    assert!(cause.contains("exit code 1"), "{cause}");
    assert!(matches!(&evidence[..], [Ending::Failed { exit: Some(Exit::Code { code: 1 }), .. }]));
    assert!(outcome.tasks[1].log.as_ref().unwrap().exists());
    assert!(!job.socket_path().exists());
    let events = all_events(&job).await;
    orchestrator.shutdown().await;
    assert_eq!(orchestrator.submit(submitted()).await.unwrap_err().code(), "shut_down");

    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    let again = orchestrator.submit(submitted()).await.unwrap();
    assert_eq!(again.outcome().await.unwrap(), outcome);
    assert_eq!(all_events(&again).await, events);
    assert_eq!(again.events().next().await, None, "nothing more comes of a job that has ended");
    let other = orchestrator.submit(script("a", "exit 0", &["good"])).await.unwrap_err();
    assert_eq!(other.code(), "job_conflict");
    let more = orchestrator.submit(script("b", "exit 0", &["good"])).await.unwrap();
    assert!(more.outcome().await.unwrap().succeeded());
    assert!(all_events(&more).await[0].0 > events.last().unwrap().0);
}

#[tokio::test]
async fn an_unfinished_job_is_taken_up_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    let go_on = folder.path().join("go-on");
    let command = format!("while [ ! -e {} ]; do sleep 0.01; done", go_on.display());
    let job = orchestrator.submit(script("left-over", &command, &["a", "b"])).await.unwrap();
    let pid = started(&job).await;
    assert_eq!(Orchestrator::start(config.clone()).await.unwrap_err().code(), "state_dir_locked");
    orchestrator.shutdown().await;
    assert_eq!(job.outcome().await.unwrap_err().code(), "shut_down");
    assert_eq!(job.stop(StopReason::Cancelled).await.unwrap_err().code(), "shut_down");
    assert!(!job.socket_path().exists());
    let trainer = trainwire_unix::PidFd::open(pid.cast_unsigned()).unwrap();
    assert!(!trainer.is_dead().unwrap(), "a shutdown kills nothing");

    let orchestrator = Orchestrator::start(config).await.unwrap();
    let job = orchestrator.job(job.id()).await.unwrap().unwrap();
    assert_eq!(job.counts(), TaskCounts { waiting: 1, running: 1, ..TaskCounts::default() });
    std::fs::write(go_on, "").unwrap();
    let outcome = job.outcome().await.unwrap();
    assert!(outcome.succeeded(), "{outcome:?}");
    assert_eq!(outcome.tasks.iter().map(|task| task.attempts).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(started(&job).await, pid);
}

#[tokio::test]
async fn the_last_handle_takes_the_orchestrator_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let job = orchestrator.submit(script("a", "exec sleep 600", &["t"])).await.unwrap();
    drop(orchestrator);
    let pid = started(&job).await;
    let (events, socket) = (job.events(), job.socket_path().to_owned());
    drop(job);
    assert!(socket.exists());
    drop(events);
    while socket.exists() {
        tokio::task::yield_now().await;
    }
    let trainer = trainwire_unix::PidFd::open(pid.cast_unsigned()).unwrap();
    trainer.signal(trainwire_unix::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_failed_commit_is_told_to_everyone_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    let job = orchestrator.submit(script("a", "exec sleep 600", &["t"])).await.unwrap();
    let pid = started(&job).await;
    let mut events = job.events();
    let intruder = rusqlite::Connection::open(config.state_dir.unwrap().join("journal.sqlite")).unwrap();
    let row = "INSERT INTO records (seq, at_us, body) SELECT max(seq) + 1, 0, '{}' FROM records";
    intruder.execute(row, []).unwrap();

    let (stop, outcome) = tokio::join!(job.kill(), job.outcome());
    for error in [stop.unwrap_err(), outcome.unwrap_err()] {
        assert_eq!(error.code(), "journal_failed");
    }
    assert_eq!(events.next().await, None);
    assert_eq!(
        orchestrator.submit(script("b", "exit 0", &["t"])).await.unwrap_err().code(),
        "journal_failed"
    );
    let trainer = trainwire_unix::PidFd::open(pid.cast_unsigned()).unwrap();
    assert!(!trainer.is_dead().unwrap(), "what was not committed has no effect");
    trainer.signal(trainwire_unix::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn stops_and_kills_reach_their_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { state_dir: None, ..config(folder.path()) };
    let orchestrator = Orchestrator::start(config).await.unwrap();
    let job = orchestrator.submit(script("a", "exec sleep 600", &["t", "u"])).await.unwrap();
    started(&job).await;
    assert_eq!(job.stop_task("no", StopReason::Cancelled).await.unwrap_err().code(), "no_such_task");
    job.stop_task("u", StopReason::Cancelled).await.unwrap();
    job.kill().await.unwrap();
    let outcome = job.outcome().await.unwrap();
    assert!(matches!(outcome.tasks[0].state, TaskEnd::Stopped { .. }), "{outcome:?}");
    assert_eq!(outcome.tasks[1].state, TaskEnd::Cancelled);
    let root = orchestrator.inner.layout.root().to_owned();
    assert!(root.is_dir());
    orchestrator.shutdown().await;
    assert!(!root.exists(), "the temporary folder goes once its jobs have ended");
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_taken_later() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { unfinished_tasks_max: 2, unfinished_bytes_max: 300_000, ..config(folder.path()) };
    let orchestrator = Orchestrator::start(config).await.unwrap();
    let too_many = orchestrator.submit(script("a", "exit 0", &["t", "u", "v"])).await.unwrap_err();
    assert_eq!((too_many.code(), too_many.is_backpressure()), ("queue_full", true));
    let large = |size| TrainingTask::new("large", "m").hyperparams(vec![0; size]);
    let too_large = orchestrator.submit(script("a", "exit 0", &[]).task(large(400_000))).await.unwrap_err();
    assert_eq!(too_large.code(), "bytes_full");
    let many = orchestrator.submit(script("a", "exit 0", &["t"]).trainers(1_000_000)).await.unwrap_err();
    assert_eq!(many.code(), "descriptors_full");
    assert_eq!(orchestrator.submit(script("a", "exit 0", &[])).await.unwrap_err().code(), "no_tasks");
    assert_eq!(
        orchestrator.submit(script("a", "exit 0", &["t", "t"])).await.unwrap_err().code(),
        "duplicate_task_id"
    );
    // The hyperparameters are zeros, which are no msgpack: the task fails in words, and its room is free again.
    let job = orchestrator.submit(script("a", "exit 0", &[]).task(large(200_000))).await.unwrap();
    let outcome = job.outcome().await.unwrap();
    let TaskEnd::Dead { cause, .. } = &outcome.tasks[0].state else { panic!("{outcome:?}") };
    assert!(cause.contains("not msgpack at byte 1"), "{cause}");
    let job = orchestrator.submit(script("b", "exit 0", &[]).task(large(200_000))).await.unwrap();
    job.outcome().await.unwrap();
}

#[tokio::test]
async fn a_socket_name_that_is_taken_fails_the_job_and_names_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let orchestrator = Orchestrator::start(config).await.unwrap();
    let name = folder.path().join("ai-task-sock-a");
    std::fs::write(&name, "mine").unwrap();
    let job = orchestrator.submit(script("a", "exit 0", &["t"])).await.unwrap();
    assert_eq!(job.socket_path(), name);
    let outcome = job.outcome().await.unwrap();
    let TaskEnd::Dead { cause, .. } = &outcome.tasks[0].state else { panic!("{outcome:?}") };
    assert!(cause.contains("socket_name_taken") && cause.contains("ai-task-sock-a"), "{cause}");
    assert_eq!(std::fs::read_to_string(&name).unwrap(), "mine");
}

#[test]
fn nothing_is_left_behind_when_the_runtime_ends_first() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { state_dir: None, ..config(folder.path()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (orchestrator, job) = runtime.block_on(async {
        let orchestrator = Orchestrator::start(config).await.unwrap();
        let job = orchestrator.submit(script("a", "exit 0", &["t"])).await.unwrap();
        job.outcome().await.unwrap();
        (orchestrator, job)
    });
    let root = orchestrator.inner.layout.root().to_owned();
    assert!(root.is_dir());
    drop(runtime);
    assert!(!root.exists());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(job.kill()).unwrap_err().code(), "shut_down");
    runtime.block_on(orchestrator.shutdown());
}

#[test]
fn without_a_runtime_or_with_bad_settings_nothing_starts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = |config| runtime.block_on(Orchestrator::start(config)).unwrap_err();
    for config in [
        Config { inline_task_size_max: 2 << 20, ..Config::default() },
        Config { socket_prefix: "a/b".to_owned(), ..Config::default() },
        Config { socket_dir: "/no/such/folder".into(), ..Config::default() },
        Config { handshake_timeout: Duration::ZERO, ..Config::default() },
    ] {
        assert_eq!(start(config).code(), "bad_config");
    }
    let mut outside = std::pin::pin!(Orchestrator::start(Config::default()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = outside.as_mut().poll(&mut context) else {
        panic!("it started")
    };
    assert_eq!(error.code(), "no_runtime");
}

/// The pid of the first trainer once its task runs.
async fn started(job: &JobHandle) -> i32 {
    let mut events = job.events_since(Seq::START);
    let mut spawned = 0;
    loop {
        match events.next().await.expect("the job goes on").what {
            What::Record(Record::TrainerSpawned { pid, .. }) => spawned = pid,
            What::Record(Record::Started { .. }) => return spawned,
            _ => {}
        }
    }
}

async fn all_events(job: &JobHandle) -> Vec<(Seq, What)> {
    let mut events = job.events_since(Seq::START);
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push((event.seq, event.what));
    }
    all
}

fn config(folder: &Path) -> Config {
    Config { state_dir: Some(folder.join("state")), socket_dir: folder.to_owned(), ..Config::default() }
}

fn script(job_id: &str, script: &str, task_ids: &[&str]) -> Job {
    let tasks = task_ids.iter().map(|task_id| TrainingTask::new(*task_id, "m"));
    Job::new(job_id).unwrap().command(["/bin/sh", "-c", script]).script(true).tasks(tasks)
}
