//! A state folder on a disk that is full: new work is refused, running work goes on, and what has to be
//! written waits until there is room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use trainwire::record::Record;
use trainwire::{Job, TrainingTask};
use trainwire_tests::{Stage, Watch, Words, within};

#[tokio::test]
async fn a_full_disk_refuses_new_jobs_and_running_ones_lose_nothing() {
    let words = Words::listen();
    let Some((stage, disk)) = stage(None).await else { return };
    let job = stage.job("running", FINISHES);
    let job = stage.submit(job.tasks(["a", "b"].map(|id| TrainingTask::new(id, "m")))).await;
    let mut watch = Watch::new(&job);
    watch.record(|record| matches!(record, Record::Started { .. }).then_some(())).await;
    disk.fill();
    let refused = stage.orchestrator.submit(attached("refused")).await.expect_err("there is no room");
    assert_eq!((refused.code(), refused.is_backpressure()), ("disk_full", true), "{refused}");

    stage.open("a");
    until(|| stage.path("a-finishing").exists() && words.contain("the disk is full")).await;
    assert_eq!(ended(&disk), 0);
    assert!(!stage.path("a-acknowledged").exists(), "what is not on the disk is not acknowledged");
    disk.free();
    stage.open("b");
    let outcome = watch.outcome().await;
    assert!(outcome.succeeded() && outcome.tasks.iter().all(|task| task.attempts == 1), "{outcome:#?}");
    assert_eq!(ended(&disk), 2);
    assert!(stage.path("a-acknowledged").exists());
    let taken = stage.submit(attached("refused")).await;
    taken.kill().await.expect("a stop");
}

#[tokio::test]
async fn a_submission_that_meets_the_full_disk_itself_is_answered_once_it_is_written() {
    let Some((stage, disk)) = stage(Some(0)).await else { return };
    // Its journal has its tables by then.
    stage.submit(attached("first")).await;
    disk.fill();
    let (orchestrator, second) = (stage.orchestrator.clone(), attached("second"));
    let waiting = tokio::spawn(async move { orchestrator.submit(second).await });
    let refused = within(async {
        loop {
            // Each is the last that is taken until one has been tried.
            match tokio::time::timeout(
                Duration::from_millis(50),
                stage.orchestrator.submit(attached("third")),
            )
            .await
            {
                Ok(Err(refused)) => return refused,
                Ok(Ok(_)) => panic!("there is no room"),
                Err(_) => {}
            }
        }
    });
    assert_eq!(refused.await.code(), "disk_full");
    assert_eq!(submitted(&disk), ["first"]);
    assert!(!waiting.is_finished());
    disk.free();
    within(waiting).await.expect("no panic").expect("there is room again");
    assert!(submitted(&disk).contains(&"second".to_owned()));
    within(async {
        while stage.orchestrator.submit(attached("fourth")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_room() {
    let Some((stage, disk)) = stage(Some(0)).await else { return };
    let job = stage.submit(attached("first")).await;
    disk.fill();
    let killing = tokio::spawn(async move { job.kill().await });
    until(|| Words::listen().contain("the disk is full") || killing.is_finished()).await;
    within(stage.orchestrator.shutdown()).await;
    assert_eq!(
        within(killing).await.expect("no panic").expect_err("nothing was written").code(),
        "shut_down"
    );
    assert_eq!(submitted(&disk), ["first"]);
}

/// Each task waits for a file of its name.
const FINISHES: &str = "
for task in trainwire.tasks():
    with task:
        wait_for(task.task_id)
        Path(task.task_id + '-finishing').touch()
        task.finish(ok=1)
        Path(task.task_id + '-acknowledged').touch()
";

/// One that starts nothing.
fn attached(job_id: &str) -> Job {
    Job::new(job_id).expect("an id").attach(true).task(TrainingTask::new("t", "m"))
}

/// A stage whose state folder is a disk of its own; `None`, with a word on why, where there cannot be one.
async fn stage(disk_reserve: Option<u64>) -> Option<(Stage, Disk)> {
    let mut disk = None;
    let stage = Stage::with(|config| {
        disk = config.state_dir.as_deref().and_then(Disk::mount);
        config.disk_reserve = disk_reserve.unwrap_or(config.disk_reserve);
    })
    .await;
    Some((stage, disk?))
}

/// A small file system.
struct Disk(PathBuf);

impl Disk {
    #[expect(clippy::print_stderr, reason = "a skip says why")]
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).expect("a folder");
        let ran =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "trainwire-test"]).arg(path).output();
        if ran.as_ref().is_ok_and(|ran| ran.status.success()) {
            return Some(Self(path.to_owned()));
        }
        eprintln!("skipped: no file system can be mounted: {ran:?}");
        None
    }

    /// Leaves not a page.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("a file");
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("a file");
    }

    fn journal(&self) -> Connection {
        Connection::open_with_flags(self.0.join("journal.sqlite"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("a database")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while the orchestrator still has it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn ended(disk: &Disk) -> i64 {
    let count = "SELECT count(*) FROM records WHERE event = 'ended'";
    disk.journal().query_row(count, [], |row| row.get(0)).expect("SQL")
}

fn submitted(disk: &Disk) -> Vec<String> {
    let journal = disk.journal();
    let ids =
        "SELECT json_extract(body, '$.spec.job_id') FROM records WHERE event = 'job_submitted' ORDER BY seq";
    let mut statement = journal.prepare(ids).expect("SQL");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
