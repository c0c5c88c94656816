//! Where the bytes of large tasks are, from submission to end.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::job::Durability;
use crate::{Job, TaskBuffer};

#[tokio::test]
async fn large_tasks_lie_in_files_until_they_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let mut in_place = TaskBuffer::new("in-place", "m", 1 << 20).unwrap();
    in_place.as_mut_slice().fill(7);
    let large = |id: &str, byte| TrainingTask::new(id, "m").hyperparams(vec![byte; 100_000]);
    let tasks = [in_place.finish().unwrap(), large("heap", 8), TrainingTask::new("small", "m")];
    let job = Job::new("stay").unwrap().attach(true).tasks(tasks);
    let job = orchestrator.submit(job).await.unwrap();
    assert_eq!(contents(folder.path(), "stay"), [(7, 1 << 20), (8, 100_000)]);

    // The same again, and something else under the same name: neither leaves anything.
    let again = Job::new("stay").unwrap().attach(true).tasks([large("heap", 8)]);
    assert_eq!(orchestrator.submit(again).await.unwrap_err().code(), "job_conflict");
    eventually(|| contents(folder.path(), "stay").len() == 2).await;

    job.stop(StopReason::Cancelled).await.unwrap();
    job.outcome().await.unwrap();
    eventually(|| contents(folder.path(), "stay").is_empty()).await;

    let dead = script("dead", "exit 1", &[]).task(large("kept", 9));
    let dead = orchestrator.submit(dead).await.unwrap();
    assert!(!dead.outcome().await.unwrap().succeeded());
    orchestrator.shutdown().await;
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    assert_eq!(contents(folder.path(), "dead"), [(9, 100_000)]);
    orchestrator.shutdown().await;
}

#[tokio::test]
async fn volatile_tasks_leave_no_file_and_the_journal_says_which_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let job = Job::new("volatile").unwrap().attach(true).durability(Durability::Volatile);
    let large = TrainingTask::new("large", "m").hyperparams(vec![7; 100_000]);
    let job = job.task(large).task(TrainingTask::new("small", "m"));
    orchestrator.submit(job).await.unwrap();
    orchestrator.shutdown().await;
    assert_eq!(files(folder.path(), "volatile"), [] as [PathBuf; 0]);
    let journal = rusqlite::Connection::open(folder.path().join("state/journal.sqlite")).unwrap();
    let row = "SELECT task, file, size_bytes > 100000 FROM payload_files";
    let row: (i64, Option<String>, bool) =
        journal.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    assert_eq!(row, (1, None, true));
    let small: i64 = journal.query_row("SELECT task FROM payloads", [], |row| row.get(0)).unwrap();
    assert_eq!(small, 2);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error_of_the_submission() {
    if nix::unistd::geteuid().is_root() {
        // Rights do not stop root; a file in the way does.
        let folder = tempfile::tempdir().unwrap();
        let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
        std::fs::create_dir_all(folder.path().join("state/jobs/a")).unwrap();
        std::fs::write(folder.path().join("state/jobs/a/payloads"), "in the way").unwrap();
        refused(&orchestrator).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let jobs = folder.path().join("state/jobs");
    std::fs::create_dir(&jobs).unwrap();
    std::fs::set_permissions(&jobs, std::fs::Permissions::from_mode(0o500)).unwrap();
    refused(&orchestrator).await;
}

async fn refused(orchestrator: &Orchestrator) {
    let large = || TrainingTask::new("t", "m").hyperparams(vec![7; 100_000]);
    let job = Job::new("a").unwrap().attach(true).task(large());
    let error = orchestrator.submit(job.clone()).await.unwrap_err();
    assert_eq!((error.code(), error.is_backpressure()), ("payload_file", false));
    assert!(error.to_string().contains("jobs/a/payloads"), "{error}");
    // Nothing of it is there: no budget is taken, and the name is free.
    let job = Job::from_spec(job.spec).durability(Durability::Volatile).task(large());
    orchestrator.submit(job).await.unwrap();
}

fn files(root: &Path, job: &str) -> Vec<PathBuf> {
    let folder = root.join("state/jobs").join(job).join("payloads");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The byte and the number of the hyperparameters in each file.
fn contents(root: &Path, job: &str) -> Vec<(u8, usize)> {
    let content = |file: PathBuf| {
        // Its task may have ended since the folder was read.
        let bytes = std::fs::read(file).ok()?;
        let task =
            TrainingTask::from_buffer(bytes).unwrap().check().unwrap().place(usize::MAX, None).unwrap();
        let hyperparams = task.task().hyperparams();
        assert!(hyperparams.iter().all(|byte| *byte == hyperparams[0]));
        Some((hyperparams[0], hyperparams.len()))
    };
    files(root, job).into_iter().filter_map(content).collect()
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
