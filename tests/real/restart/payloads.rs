//! The bytes of tasks that waited: those that are there travel, the others end their task with a word on why.

use std::fs;

use trainwire::Durability;

use super::Folder;
use super::folder::find;
use super::reunions::{WAITS, started};

#[test]
fn large_tasks_are_read_from_their_files() {
    let folder = Folder::new();
    let program = "
for task in trainwire.tasks():
    with task:
        if task.task_id == 'first':
            wait_for('go')
        task.finish(bytes=sum(memoryview(task.hyperparams)))
";
    let job = folder.job("job", program, &[("first", 10), ("large", 3_000_000), ("gone", 200_000)], |_| ());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    orchestrator.kill();
    let files = find(&folder.state(), "payloads");
    assert_eq!(files.len(), 2);
    let small = files.iter().find(|file| file.metadata().expect("a file").len() < 1_000_000).expect("a file");
    fs::write(small, b"short").expect("a file");
    folder.open("go");
    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert_eq!(outcome[..2], ["job first 1 succeeded", "job large 1 succeeded"]);
    assert!(outcome[2].starts_with("job gone 0 dead: payload_lost: its file "), "{outcome:?}");
    assert!(outcome[2].contains("has 5 bytes"), "{outcome:?}");
    folder.expect_nothing_left();
}

#[test]
fn a_volatile_task_may_end_well_but_is_not_tried_again() {
    let folder = Folder::new();
    let tasks = [("running", 200_000), ("queued", 200_000)];
    let job = folder.job("job", WAITS, &tasks, |spec| spec.durability = Durability::Volatile);
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    orchestrator.kill();
    folder.open("running");
    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert_eq!(outcome[0], "job running 1 succeeded");
    assert!(outcome[1].starts_with("job queued 0 dead: payload_lost: "), "{outcome:?}");
    folder.expect_nothing_left();
}
