//! Rows and files of large tasks go together.

use std::path::PathBuf;

use trainwire_protocol::task_builder::TaskBuilder;

use super::*;
use crate::payload::Payload;
use crate::record::Ending;

#[tokio::test]
async fn a_file_lives_from_before_its_row_to_the_good_end_of_its_task() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, mut committed) = open(folder.path());
    let mut files = payload_folder(folder.path());
    let mut submission = batch(1, &[submitted(), task(1), task(2), task(3), task(4)]);
    submission.payloads = vec![
        (TaskNo(1), file(&mut files)),
        (TaskNo(2), file(&mut files)),
        (TaskNo(3), StoredTask::Nowhere { size_bytes: 1 << 20 }),
        (TaskNo(4), StoredTask::Row(Bytes::from_static(b"small"))),
    ];
    let refused = file(&mut files);
    files.sync().unwrap();
    assert_eq!(on_disk(folder.path()).len(), 3);
    drop(refused);
    writer.commit(submission);
    committed.recv().await.unwrap().unwrap();
    assert_eq!(on_disk(folder.path()).len(), 2);
    for name in names(folder.path()).into_iter().flatten() {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), bytes());
    }

    let dead = Next::Dead { cause: "spent".into(), log_tail: "".into() };
    writer.commit(ends(6, &[(1, Next::Succeeded), (2, dead), (3, Next::Cancelled)]));
    committed.recv().await.unwrap().unwrap();
    drop(writer);
    assert_eq!(names(folder.path()).len(), 1, "a dead letter keeps its bytes");
    assert_eq!(on_disk(folder.path()), named(folder.path()));
}

#[test]
fn a_start_removes_what_no_row_names_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = payload_folder(folder.path());
    let journal = Journal::open(folder.path()).unwrap();
    // As after a crash: nobody removes them.
    std::mem::forget([file(&mut files), file(&mut files)]);
    let kept = &on_disk(folder.path())[1];
    let name = kept.strip_prefix(folder.path()).unwrap().to_str().unwrap();
    journal.connection.execute("INSERT INTO payload_files VALUES (7, ?1, 70000)", [name]).unwrap();
    std::fs::write(folder.path().join("jobs/a/other"), "").unwrap();
    drop(journal);
    drop(Journal::open(folder.path()).unwrap());
    assert_eq!(on_disk(folder.path()), named(folder.path()));
    assert!(folder.path().join("jobs/a/other").exists());
}

#[tokio::test]
async fn a_batch_that_is_not_committed_takes_its_files_along() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, mut committed) = open(folder.path());
    let intruder = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    intruder.execute("INSERT INTO records (seq, at_us, body) VALUES (1, 0, '{}')", []).unwrap();
    let mut files = payload_folder(folder.path());
    for seq in [1, 3] {
        let mut submission = batch(seq, &[submitted(), task(1)]);
        submission.payloads = vec![(TaskNo(1), file(&mut files))];
        writer.commit(submission);
    }
    assert!(committed.recv().await.unwrap().is_err());
    drop(writer);
    assert_eq!(on_disk(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_journal_of_the_first_format_is_brought_to_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    old.execute_batch(include_str!("../format_1.sql")).unwrap();
    old.execute("INSERT INTO payloads VALUES (1, 'task')", []).unwrap_err();
    old.execute("INSERT INTO payloads VALUES (1, x'07')", []).unwrap();
    drop(old);
    let journal = Journal::open(folder.path()).unwrap();
    let count = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        journal.connection.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("payloads"), count("payload_files")), (1, 0));
}

fn payload_folder(root: &Path) -> PayloadFolder {
    PayloadFolder::create(root, "jobs/a/payloads".into()).unwrap()
}

fn file(files: &mut PayloadFolder) -> StoredTask {
    let task = TaskBuilder::new("t", "m").hyperparams(vec![7; 70_000]).build().unwrap();
    StoredTask::File(files.add(&Payload::Inline(task).placed(65_536, None).unwrap()).unwrap())
}

fn bytes() -> Vec<u8> {
    TaskBuilder::new("t", "m").hyperparams(vec![7; 70_000]).build().unwrap().as_bytes().to_bytes().to_vec()
}

fn ends(first: u64, ends: &[(u64, Next)]) -> Batch {
    let ended = |(task, next): &(u64, Next)| match task % 2 {
        0 => Record::Closed { task: TaskNo(*task), next: next.clone() },
        _ => Record::Ended {
            delivery: *task,
            seq: None,
            ending: Box::new(Ending::Lost),
            next: next.clone(),
            last_progress: None,
            waits_since: None,
        },
    };
    let mut batch = batch(first, &ends.iter().map(ended).collect::<Vec<_>>());
    for (entry, (task, _)) in batch.entries.iter_mut().zip(ends) {
        entry.task = Some(TaskNo(*task));
    }
    batch
}

/// What the rows name.
fn names(root: &Path) -> Vec<Option<String>> {
    let journal = Connection::open(root.join(FILE_NAME)).unwrap();
    let mut rows = journal.prepare("SELECT file FROM payload_files ORDER BY task").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn named(root: &Path) -> Vec<PathBuf> {
    names(root).into_iter().flatten().map(|name| root.join(name)).collect()
}

fn on_disk(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("jobs/a/payloads")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
