//! Restarts under a wall clock that was set meanwhile: as if it had been, by the times in the journal.

use rusqlite::Connection;

use super::*;
use crate::clock;
use crate::record::Next;
use crate::retention::Retention;
use crate::status::{TaskCondition, Wait};

#[tokio::test]
async fn a_wait_goes_on_as_decided_under_another_clock() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let path = orchestrator.inner.layout.root().join("journal.sqlite");
    let mut job = script("waits", "exit 1", &["t"]).max_failures(2);
    (job.spec.backoff_min, job.spec.backoff_max) = (HOUR, HOUR);
    let job = orchestrator.submit(job).await.unwrap();
    let before = clock::monotonic();
    let passed = || clock::monotonic().duration_since(before);
    let mut events = job.events_since(Seq::START);
    let decided = loop {
        let what = events.next().await.expect("the job goes on").what;
        if let What::Record(Record::Ended { next: Next::Queued { after }, .. }) = what {
            break after;
        }
    };
    drop((job, events));
    orchestrator.shutdown().await;

    let left = async |change: &str| {
        Connection::open(&path).unwrap().execute(change, []).unwrap();
        let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
        let job = orchestrator.job(&"waits".parse().unwrap()).await.unwrap().unwrap();
        let TaskCondition::Waiting(Wait::Backoff { left }) = job.task("t").await.unwrap().condition else {
            panic!("it is due: {change}")
        };
        orchestrator.shutdown().await;
        assert!(left <= decided, "longer than decided: {change}");
        left
    };
    for days in [-1, 1, 30_000] {
        let left = left(&format!("UPDATE records SET at_us = max(at_us - {days} * 86400000000, 0)")).await;
        assert!(left + passed() >= decided, "{left:?} of {decided:?} after {days} days");
    }
    // Of another boot there is only the wall clock: now, a minute later, and before it all.
    let now = clock::to_micros(clock::now().wall);
    let other_boot = "body = json_set(body, '$.waits_since.boot_id', 'other')";
    let ended = "WHERE event = 'ended'";
    let since_then = left(&format!("UPDATE records SET at_us = {now}, {other_boot} {ended}")).await;
    assert!(since_then + passed() >= decided, "{since_then:?} of {decided:?}");
    let minute = 60_000_000;
    let later = left(&format!("UPDATE records SET at_us = {now} - {minute} {ended}")).await;
    assert!(later <= decided - Duration::from_micros(minute), "{later:?} of {decided:?}");
    let before_it = left(&format!("UPDATE records SET at_us = {now} * 2 {ended}")).await;
    assert!(before_it + passed() >= decided, "{before_it:?} of {decided:?}");
}

#[tokio::test]
async fn the_oldest_of_ended_jobs_is_the_one_that_ended_first_whatever_the_clock_said() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let path = orchestrator.inner.layout.root().join("journal.sqlite");
    for id in ["first", "second"] {
        orchestrator.submit(script(id, "exit 0", &["t"])).await.unwrap().outcome().await.unwrap();
    }
    orchestrator.shutdown().await;
    // It was set back between the two.
    let change = "UPDATE records SET at_us = at_us - 86400000000 WHERE job = 2";
    Connection::open(path).unwrap().execute(change, []).unwrap();
    let retention = Retention { jobs: Some(1), age: Some(100 * HOUR), ..Retention::default() };
    let orchestrator = Orchestrator::start(Config { retention, ..config(folder.path()) }).await.unwrap();
    let jobs = async || orchestrator.jobs().await.unwrap();
    while jobs().await.len() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(jobs().await[0].id().as_str(), "second");
}

const HOUR: Duration = Duration::from_secs(3_600);
