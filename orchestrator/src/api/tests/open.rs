//! Jobs that take tasks over time.

use super::*;
use crate::training_task::TrainingTask;

#[tokio::test]
async fn tasks_that_come_over_time_are_worked_off_and_the_close_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let other = orchestrator.submit(script("other", "exit 0", &["between"])).await.unwrap();
    let job = orchestrator.submit(script("a", "exit 0", &[]).open()).await.unwrap();
    let mut events = job.events_since(Seq::START);
    for task_id in ["first", "second"] {
        assert_eq!(counts(job.submit(task(task_id)).await), (1, 0));
        ended(&mut events).await;
        // Numbers are given across jobs.
        orchestrator.submit(script(task_id, "exit 0", &["between"])).await.unwrap();
    }
    assert_eq!(counts(job.submit_all([task("third"), task("first")]).await), (1, 1));
    ended(&mut events).await;
    let same = orchestrator.submit(script("a", "exit 0", &["second"]).open()).await.unwrap();
    job.close().await.unwrap();
    same.close().await.unwrap();
    let outcome = same.outcome().await.unwrap();
    let ids: Vec<&str> = outcome.tasks.iter().map(|task| &*task.task_id).collect();
    assert_eq!(ids, ["first", "second", "third"]);
    assert!(outcome.succeeded(), "{outcome:?}");

    assert_eq!(counts(job.submit(task("second")).await), (0, 1));
    assert_eq!(job.submit(task("fourth")).await.unwrap_err().code(), "job_closed");
    assert_eq!(other.submit(task("more")).await.unwrap_err().code(), "job_not_open");
    orchestrator.shutdown().await;
    assert_eq!(job.submit(task("fourth")).await.unwrap_err().code(), "shut_down");
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let again = orchestrator.submit(script("a", "exit 0", &["second"]).open()).await.unwrap();
    assert_eq!(again.outcome().await.unwrap(), outcome);
    assert_eq!(counts(again.submit(task("first")).await), (0, 1));
    assert_eq!(again.submit(task("fourth")).await.unwrap_err().code(), "job_closed");
}

#[tokio::test]
async fn a_refused_task_takes_nothing_of_the_budget_and_nothing_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { unfinished_tasks_max: 2, ..config(folder.path()) };
    let orchestrator = Orchestrator::start(config).await.unwrap();
    let job = orchestrator.submit(script("a", "exec sleep 600", &["t"]).open()).await.unwrap();
    let other = TrainingTask::new("t", "another model");
    for _ in 0..3 {
        assert_eq!(job.submit_all([other.clone()]).await.unwrap_err().code(), "task_conflict");
        assert_eq!(counts(job.submit(task("t")).await), (0, 1));
    }
    assert_eq!(job.submit_all([task("u"), task("u")]).await.unwrap_err().code(), "duplicate_task_id");
    assert_eq!(counts(job.submit(task("u")).await), (1, 0));
    let full = job.submit(task("v")).await.unwrap_err();
    assert_eq!((full.code(), full.is_backpressure()), ("queue_full", true));
    job.kill().await.unwrap();
    assert_eq!(job.outcome().await.unwrap().tasks.len(), 2, "a kill closes the job");
    assert_eq!(job.submit(task("v")).await.unwrap_err().code(), "job_closed");
}

/// The journal's log holds a frame marked as a commit for each transaction, and each of these has one
/// fsync.
#[tokio::test]
async fn those_who_submit_at_the_same_time_share_an_fsync() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let job = orchestrator.submit(script("a", "exec sleep 600", &[]).open()).await.unwrap();
    let log = folder.path().join("state/journal.sqlite-wal");
    let before = commits(&log);
    let submissions: Vec<_> = (0..200)
        .map(|number| {
            let job = job.clone();
            tokio::spawn(async move { counts(job.submit(task(&number.to_string())).await) })
        })
        .collect();
    for submission in submissions {
        assert_eq!(submission.await.unwrap(), (1, 0));
    }
    let commits = commits(&log) - before;
    assert!((1..=20).contains(&commits), "200 submissions took {commits} commits");
    job.kill().await.unwrap();
    job.outcome().await.unwrap();
}

fn commits(log: &Path) -> usize {
    let bytes = std::fs::read(log).unwrap();
    let page_size = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let salts = &bytes[16..24];
    let frames = bytes[32..].chunks_exact(24 + page_size).take_while(|frame| frame[8..16] == *salts);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

fn task(task_id: &str) -> TrainingTask {
    TrainingTask::new(task_id, "m")
}

fn counts(submitted: Result<Submitted, SubmitError>) -> (usize, usize) {
    let Submitted { added, existing } = submitted.unwrap();
    (added, existing)
}

async fn ended(events: &mut EventStream) {
    while let Some(event) = events.next().await {
        if let What::Record(Record::Ended { .. }) = event.what {
            return;
        }
    }
    panic!("the job ended");
}
