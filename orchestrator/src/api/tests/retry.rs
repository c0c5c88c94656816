//! Another chance for tasks that ended without a result.

use super::*;
use crate::record::Record;

/// Fails until the file is there.
const FAILS: &str = "echo attempt $TRAINWIRE_ATTEMPT; test -e ready";

#[tokio::test]
async fn dead_tasks_are_tried_again_after_the_end_of_their_job_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let job = |script_| script("a", script_, &["one", "two"]).working_dir(folder.path());
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let handle = orchestrator.submit(job(FAILS)).await.unwrap();
    assert!(!handle.outcome().await.unwrap().succeeded());
    assert_eq!(handle.counts().dead, 2);

    // It fails once more.
    assert_eq!(handle.retry(&["one"]).await.unwrap(), 1);
    assert_eq!(handle.task_ended("one").await.unwrap().attempts, 2);
    handle.outcome().await.unwrap();
    orchestrator.shutdown().await;

    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let handle = orchestrator.submit(job(FAILS)).await.unwrap();
    std::fs::write(&ready, "").unwrap();
    assert_eq!(handle.retry(&[]).await.unwrap(), 2);
    let outcome = handle.outcome().await.unwrap();
    assert!(outcome.succeeded(), "{outcome:?}");
    let attempts: Vec<u32> = outcome.tasks.iter().map(|task| task.attempts).collect();
    assert_eq!(attempts, [3, 2]);
    assert_eq!((handle.counts().succeeded, handle.counts().total()), (2, 2));

    let mut events = handle.events_since(Seq::START);
    let mut ends = 0;
    while let Some(event) = events.next().await {
        ends += usize::from(matches!(event.what, What::Record(Record::JobEnded { .. })));
    }
    assert_eq!(ends, 3, "a stream goes on to the last end");
    assert_eq!(handle.retry(&[]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_large_task_is_tried_again_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let job = Job::new("large").unwrap().command(["sh", "-c", "exit 3"]).script(true);
    let job = job.task(TrainingTask::new("big", "m").hyperparams(large_params()));
    let handle = orchestrator.submit(job).await.unwrap();
    handle.outcome().await.unwrap();
    assert_eq!(handle.retry(&["big"]).await.unwrap(), 1);
    assert_eq!(handle.task_ended("big").await.unwrap().attempts, 2);
}

#[tokio::test]
async fn what_cannot_be_tried_again_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let handle = orchestrator.submit(script("a", "exit 0", &["t"])).await.unwrap();
    handle.outcome().await.unwrap();
    assert_eq!(handle.retry(&["t"]).await.unwrap_err().code(), "not_retryable");
    assert_eq!(handle.retry(&["u"]).await.unwrap_err().code(), "no_such_task");
    let volatile = Config { state_dir: None, ..config(folder.path()) };
    let orchestrator = Orchestrator::start(volatile).await.unwrap();
    let handle = orchestrator.submit(script("a", "exit 3", &["t"])).await.unwrap();
    handle.outcome().await.unwrap();
    assert_eq!(handle.retry(&[]).await.unwrap_err().code(), "not_kept");
}

#[tokio::test]
async fn changed_limits_hold_for_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let handle = orchestrator.submit(script("a", "exit 3", &["t"])).await.unwrap();
    handle.outcome().await.unwrap();
    handle
        .change_limits(|limits| {
            limits.max_failures = 2;
            (limits.backoff_min, limits.backoff_max) = (Duration::from_millis(1), Duration::from_millis(1));
        })
        .await
        .unwrap();
    handle.retry(&[]).await.unwrap();
    let outcome = handle.outcome().await.unwrap();
    assert_eq!(outcome.tasks[0].attempts, 3, "one before, two after");
    let command = handle.change_limits(|limits| limits.command.push("more".into())).await.unwrap_err();
    assert_eq!(command.code(), "not_a_limit");
}

/// Above what fits into a row.
fn large_params() -> Vec<u8> {
    // msgpack: {"x": bin32 of so many bytes}; a script's parameters must be a map.
    let mut bytes = vec![0x81, 0xa1, b'x', 0xc6, 0, 1, 0x11, 0x70];
    bytes.resize(bytes.len() + 70_000, 7);
    bytes
}
