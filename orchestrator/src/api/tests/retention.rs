//! Jobs that have ended are forgotten as the rules say, from memory, journal and disk.

use rusqlite::{Connection, OpenFlags};

use super::*;
use crate::retention::Retention;

#[tokio::test]
async fn of_too_many_jobs_the_oldest_is_forgotten_and_the_others_know_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention { jobs: Some(2), ..Retention::default() };
    let config = Config { retention, ..config(folder.path()) };
    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    let path = orchestrator.inner.layout.root().to_owned();
    let unfinished = orchestrator.submit(script("unfinished", "exec sleep 600", &["t"])).await.unwrap();
    let pid = started(&unfinished).await;
    let mut handles = Vec::new();
    for number in 1..=5 {
        let id = format!("job-{number}");
        let command = "echo output; echo x > $TRAINWIRE_WORKDIR/model";
        let job = orchestrator.submit(script(&id, command, &["a", "b"])).await.unwrap();
        job.outcome().await.unwrap();
        handles.push(job);
    }
    let ids = async |orchestrator: &Orchestrator| -> Vec<String> {
        orchestrator.jobs().await.unwrap().iter().map(|job| job.id().to_string()).collect()
    };
    let remembered = ["unfinished", "job-4", "job-5"];
    while ids(&orchestrator).await != remembered || records_of_others(&path) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while path.join("jobs/job-3/logs").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(path.join("jobs/job-3/work/a/model").exists(), "what trainers wrote stays");
    assert!(path.join("jobs/job-4/logs").exists());
    assert!(orchestrator.job(handles[0].id()).await.unwrap().is_none());
    assert!(handles[0].status().await.is_err());
    assert!(handles[0].outcome().await.unwrap().succeeded(), "a handle keeps what it knew");
    let last = all_events(&handles[4]).await.last().unwrap().0;
    orchestrator.shutdown().await;

    // What is gone is gone, and no number comes twice.
    let orchestrator = Orchestrator::start(config).await.unwrap();
    assert_eq!(ids(&orchestrator).await, remembered);
    let again = orchestrator.submit(script("job-1", "exit 0", &["other"])).await.unwrap();
    assert!(again.outcome().await.unwrap().succeeded());
    assert!(all_events(&again).await[0].0 > last);
    let unfinished = orchestrator.job(unfinished.id()).await.unwrap().unwrap();
    assert_eq!(started(&unfinished).await, pid);
    unfinished.kill().await.unwrap();
    unfinished.outcome().await.unwrap();
}

/// Rows of jobs that were forgotten.
fn records_of_others(state_dir: &Path) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(state_dir.join("journal.sqlite"), flags).unwrap();
    let count = "SELECT (SELECT count(*) FROM records WHERE job IN (2, 3, 4))
        + (SELECT count(*) FROM payloads WHERE task IN (2, 3, 4, 5, 6, 7))
        + (SELECT count(*) FROM records WHERE event = 'job_forgotten') - 1";
    journal.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn rows_that_a_crash_left_of_a_forgotten_job_are_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    orchestrator.submit(script("gone", "exit 0", &["t"])).await.unwrap().outcome().await.unwrap();
    let path = orchestrator.inner.layout.root().join("journal.sqlite");
    orchestrator.shutdown().await;
    let journal = Connection::open(&path).unwrap();
    let forgotten =
        Record::JobForgotten { job: crate::record::JobNo(1), jobs: 1, tasks: 1, trainers: 1, deliveries: 1 };
    let body = serde_json::to_string(&forgotten).unwrap();
    journal
        .execute("INSERT INTO records (seq, at_us, body) SELECT max(seq) + 1, 0, ?1 FROM records", [body])
        .unwrap();
    journal.execute("DELETE FROM records WHERE seq < 3", []).unwrap();
    drop(journal);
    let orchestrator = Orchestrator::start(config).await.unwrap();
    assert!(orchestrator.jobs().await.unwrap().is_empty());
    let job = orchestrator.submit(script("gone", "exit 0", &["other"])).await.unwrap();
    assert!(job.outcome().await.unwrap().succeeded());
    let journal = Connection::open(&path).unwrap();
    let jobs: String =
        journal.query_row("SELECT group_concat(DISTINCT job) FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(jobs, "2");
    orchestrator.shutdown().await;
}

#[tokio::test]
async fn age_and_size_are_rules_too() {
    for retention in [
        Retention { age: Some(Duration::from_millis(300)), ..Retention::default() },
        Retention { bytes: Some(10), delete_work: true, ..Retention::default() },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let orchestrator = Orchestrator::start(Config { retention, ..config(folder.path()) }).await.unwrap();
        let command = "echo more than ten bytes";
        let job = orchestrator.submit(script("job", command, &["t"])).await.unwrap();
        job.outcome().await.unwrap();
        while !orchestrator.jobs().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        orchestrator.shutdown().await;
    }
}
