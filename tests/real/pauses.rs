//! An orchestrator that does not run for a while: a process that is stopped, a virtual machine that is
//! frozen. Its trainers were there all along, so nothing happens to them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use trainwire::{Config, Job, Orchestrator, TrainingTask};
use trainwire_tests::python;

#[test]
fn pauses_longer_than_any_patience_kill_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("train.py"), TRAINS).expect("a script");
    let mut orchestrator = Ended(
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "pauses::an_orchestrator_to_be_paused", "--ignored"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a process"),
    );
    for place in 0..TRAINERS {
        await_file(&folder.path().join(format!("running-{place}")));
    }
    let pid = Pid::from_raw(orchestrator.0.id().cast_signed());
    let send = |pid, signal| kill(pid, signal).expect("a process");
    // Trainers give up their connections meanwhile, and are somewhere on their way back at the end.
    for pause_ms in [3_500, 1_300] {
        send(pid, Signal::SIGSTOP);
        sleep(Duration::from_millis(pause_ms));
        send(pid, Signal::SIGCONT);
        sleep(Duration::from_millis(1_200));
    }
    // All are frozen, as with their container: trainers first, which are silent by then, and are thawed last.
    let trainers = trainers(&folder.path().join("state/journal.sqlite"));
    trainers.iter().for_each(|trainer| send(*trainer, Signal::SIGSTOP));
    sleep(Duration::from_millis(1_000));
    send(pid, Signal::SIGSTOP);
    sleep(Duration::from_millis(4_000));
    send(pid, Signal::SIGCONT);
    sleep(Duration::from_millis(50));
    trainers.iter().for_each(|trainer| send(*trainer, Signal::SIGCONT));
    std::fs::write(folder.path().join("go"), "").expect("a file");
    assert!(orchestrator.0.wait().expect("a process").success());
    let journal = Connection::open(folder.path().join("state/journal.sqlite")).expect("a database");
    let mut events = journal
        .prepare("SELECT event, count(*) FROM records WHERE event IN ('delivered', 'stopping', 'ended') GROUP BY event")
        .expect("SQL");
    let events = events.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let events: Vec<(String, u32)> = events.collect::<Result<_, _>>().expect("rows");
    assert_eq!(events, [("delivered".to_owned(), TRAINERS), ("ended".to_owned(), TRAINERS)]);
}

fn trainers(journal: &Path) -> Vec<Pid> {
    let journal = Connection::open(journal).expect("a database");
    let pids = "SELECT json_extract(body, '$.pid') FROM records WHERE event = 'trainer_bound'";
    let mut rows = journal.prepare(pids).expect("SQL");
    let rows = rows.query_map([], |row| row.get(0).map(Pid::from_raw)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// What the test above pauses.
#[tokio::test]
#[ignore = "run by the other test"]
async fn an_orchestrator_to_be_paused() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let config =
        Config { state_dir: Some(folder.join("state")), socket_dir: folder.clone(), ..Config::default() };
    let orchestrator = Orchestrator::start(config).await.expect("an orchestrator");
    let python = python();
    let job = Job::new("paused")
        .expect("an id")
        .command([python.to_str().expect("UTF-8"), "train.py"])
        .working_dir(&folder)
        .trainers(TRAINERS)
        .recv_timeout(Duration::from_millis(400))
        .lost_timeout(Duration::from_secs(3))
        .tasks((0..TRAINERS).map(|place| TrainingTask::new(place.to_string(), "m")));
    let outcome = orchestrator.submit(job).await.expect("a job").outcome().await.expect("an outcome");
    assert!(outcome.succeeded() && outcome.tasks.iter().all(|task| task.attempts == 1), "{outcome:#?}");
    orchestrator.shutdown().await;
}

/// Ends what is left of it, whatever happened.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn await_file(path: &Path) {
    for _ in 0..6_000 {
        if path.exists() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("{} does not come", path.display());
}

/// All run at a time, until there is a file `go`.
const TRAINS: &str = "
import time
from pathlib import Path

import trainwire

for task in trainwire.tasks():
    with task:
        Path(f'running-{task.task_id}').touch()
        while not Path('go').exists() and Path(__file__).exists():
            task.report(here=1)
            time.sleep(0.05)
        task.finish(ok=1)
";

const TRAINERS: u32 = 3;

/// Where the child lives.
const FOLDER: &str = "TRAINWIRE_TEST_FOLDER";
