//! Trainers that people started: after a restart they are known by more than their pid.

use std::process::{Child, Command, Stdio};

use trainwire::record::{Ending, Record};
use trainwire_tests::python;

use super::Folder;
use super::folder::until;
use super::reunions::{came_back, endings, started};

#[test]
fn one_that_dies_while_nobody_watches_has_its_task_done_by_another() {
    let folder = Folder::new();
    let job = folder.job("job", "", &[("a", 10)], |spec| {
        spec.command.clear();
        spec.attach = true;
    });
    let orchestrator = folder.start(std::slice::from_ref(&job));
    let mut first = by_hand(&folder);
    folder.until(1, started);
    orchestrator.kill();
    first.kill().expect("a process");
    first.wait().expect("a process");

    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, |record| matches!(record, Record::TrainerEnded { .. }));
    let mut second = by_hand(&folder);
    folder.open("a");
    assert_eq!(orchestrator.outcome(), ["job a 2 succeeded"]);
    assert!(second.wait().expect("a process").success());
    let endings = endings(&folder);
    assert!(matches!(endings[..], [Ending::Crashed { .. }, Ending::Succeeded { .. }]), "{endings:?}");
    folder.expect_nothing_left();
}

#[test]
fn one_that_goes_on_is_taken_back_and_its_death_is_news_again() {
    let folder = Folder::new();
    let job = folder.job("job", "", &[("a", 10)], |spec| {
        spec.command.clear();
        spec.attach = true;
    });
    let orchestrator = folder.start(std::slice::from_ref(&job));
    let mut first = by_hand(&folder);
    folder.until(1, started);
    orchestrator.kill();
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, came_back);
    first.kill().expect("a process");
    first.wait().expect("a process");
    folder.until(1, |record| matches!(record, Record::TrainerEnded { .. }));
    let mut second = by_hand(&folder);
    folder.open("a");
    assert_eq!(orchestrator.outcome(), ["job a 2 succeeded"]);
    second.wait().expect("a process");
    folder.expect_nothing_left();
}

/// A trainer as people start them, once there is a socket.
fn by_hand(folder: &Folder) -> Child {
    let socket = folder.path("ai-task-sock-job");
    until(|| socket.exists());
    let program = "
import time, trainwire
from pathlib import Path

for task in trainwire.tasks():
    with task:
        while not Path(task.task_id).exists():
            time.sleep(0.01)
        task.finish(ok=1)
";
    let mut command = Command::new(python());
    command.args(["-c", program]).env("TRAINWIRE_SOCKET", socket).current_dir(folder.path(""));
    command.stdin(Stdio::null()).spawn().expect("a process")
}
