use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::record::Next;

mod payloads;

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("a/b");
    let (writer, mut committed) = open(&state_dir);
    let first = batch(1, &[submitted(), task(1), Record::Started { delivery: 1 }]);
    let second = batch(4, &[Record::Closed { task: TaskNo(1), next: Next::Cancelled }]);
    let expected = [first.entries.clone(), second.entries.clone()].concat();
    writer.commit(first);
    writer.commit(second);
    for _ in 0..2 {
        committed.recv().await.unwrap().unwrap();
    }
    drop(writer);

    let journal = Journal::open(&state_dir).unwrap();
    let mut found = Vec::new();
    journal.replay(|entry| found.push(entry)).unwrap();
    assert_eq!(found, expected);
    let reader = Reader::open(journal.path()).unwrap();
    assert_eq!(reader.records_of(JobNo(1), Seq(1), 2).unwrap(), expected[1..3]);
    assert_eq!(reader.records_of(JobNo(2), Seq::START, 9).unwrap(), []);
    let bytes: Vec<u8> = journal
        .connection
        .query_row("SELECT bytes FROM payloads WHERE task = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(bytes, b"task");
    let events: String = journal
        .connection
        .query_row(
            "SELECT group_concat(event, ' ') FROM (SELECT event FROM records ORDER BY seq)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(events, "job_submitted task_submitted started closed");
}

#[tokio::test]
async fn one_process_at_a_time_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _committed) = open(folder.path());
    let error = Journal::open(folder.path()).err().unwrap();
    assert_eq!(error.code(), "state_dir_locked");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(writer);
    drop(Journal::open(folder.path()).unwrap());
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, mut committed) = open(folder.path());
    // Somebody else has written what the batch is to write.
    let intruder = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    intruder.execute("INSERT INTO records (seq, at_us, body) VALUES (2, 0, '{}')", []).unwrap();
    writer.commit(batch(1, &[submitted(), task(1)]));
    writer.commit(batch(3, &[Record::Started { delivery: 1 }]));
    assert_eq!(committed.recv().await.unwrap().unwrap_err().code(), "journal_failed");
    assert!(committed.recv().await.is_none());
    let rows: i64 = intruder.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1, "a batch is written whole or not at all");
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(folder.path()).unwrap());
    let path = folder.path().join(FILE_NAME);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(Journal::open(folder.path()).err().unwrap().code(), "journal_newer");

    std::fs::write(&path, "not a database at all, and long enough to be looked at").unwrap();
    assert_eq!(Journal::open(folder.path()).err().unwrap().code(), "journal");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(Journal::open(&file).err().unwrap().code(), "state_dir");
}

#[test]
fn a_journal_of_the_first_format_is_opened_and_brought_to_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    first.execute_batch(include_str!("format_1.sql")).unwrap();
    let body = serde_json::to_string(&submitted()).unwrap();
    first.execute("INSERT INTO records (seq, at_us, job, body) VALUES (1, 0, 1, ?1)", [body]).unwrap();
    first.execute("INSERT INTO payloads VALUES (1, x'616263')", []).unwrap();
    drop(first);
    for _ in 0..2 {
        let journal = Journal::open(folder.path()).unwrap();
        let version: i64 =
            journal.connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 2);
        let mut found = Vec::new();
        journal.replay(|entry| found.push(entry.record)).unwrap();
        assert_eq!(found, [submitted()]);
        assert!(matches!(journal.bytes_of(TaskNo(1)).unwrap(), StoredBytes::Row(bytes) if bytes == b"abc"));
        assert!(matches!(journal.bytes_of(TaskNo(2)).unwrap(), StoredBytes::Missing));
    }
}

#[test]
fn what_is_answered_is_synced_and_what_only_tells_is_not() {
    assert!(batch(1, &[Record::Started { delivery: 1 }, task(1)]).must_sync());
    assert!(!batch(1, &[Record::Started { delivery: 1 }]).must_sync());
}

fn open(state_dir: &Path) -> (Writer, UnboundedReceiver<Committed>) {
    let (sender, committed) = unbounded_channel();
    (Writer::start(Journal::open(state_dir).unwrap(), sender).unwrap(), committed)
}

fn submitted() -> Record {
    Record::JobSubmitted { job: JobNo(1), spec: Arc::default() }
}

fn task(number: u64) -> Record {
    Record::TaskSubmitted {
        task: TaskNo(number),
        job: JobNo(1),
        task_id: format!("task {number} \u{1b}\"é").into(),
        model_name: "m".into(),
        max_epochs: 10,
        size_bytes: 4,
    }
}

fn batch(first: u64, records: &[Record]) -> Batch {
    let entries = records.iter().zip(first..).map(|(record, seq)| Entry {
        seq: Seq(seq),
        at: UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456 + seq),
        job: Some(JobNo(1)),
        task: Some(TaskNo(1)),
        attempt: Some(1),
        record: record.clone(),
    });
    let tasks = records.iter().filter_map(|record| match record {
        Record::TaskSubmitted { task, .. } => Some((*task, StoredTask::Row(Bytes::from_static(b"task")))),
        _ => None,
    });
    Batch { entries: entries.collect(), payloads: tasks.collect() }
}
