//! Processes that train together, and go on through the death of their orchestrator. With torchrun itself it is
//! in `tests/frameworks`.

use std::fs;
use std::path::PathBuf;

use trainwire_tests::{LAUNCHER, python};

use super::Folder;
use super::folder::{sigkill, until};
use super::reunions::{came_back, started};

/// A job of two ranks. Each says for each task who it is and waits for the gate of the task's name.
fn job(folder: &Folder, max_failures: u32, then: &str) -> PathBuf {
    let program = format!(
        "
for task in trainwire.tasks():
    with task:
        Path(f'{{task.task_id}}-{{task.rank}}.part').write_text(str(os.getpid()))
        Path(f'{{task.task_id}}-{{task.rank}}.part').rename(f'{{task.task_id}}-{{task.rank}}')
        wait_for(task.task_id)
        {then}
        task.finish(ok=1)
"
    );
    let launcher = folder.path("launcher.py");
    fs::write(&launcher, LAUNCHER).expect("a script");
    folder.job("job", &program, &[("a", 10), ("b", 100_000)], |spec| {
        let script = spec.command.pop().expect("the ranks' own script");
        let python = python().to_str().expect("UTF-8").to_owned();
        spec.max_failures = max_failures;
        spec.command = vec![python, launcher.to_str().expect("UTF-8").to_owned(), "0".to_owned(), script];
    })
}

/// The pids of both ranks, once they have begun with a task.
fn ranks_at(folder: &Folder, task: &str) -> [i32; 2] {
    [0, 1].map(|rank| {
        let file = folder.path(&format!("{task}-{rank}"));
        until(|| file.exists());
        fs::read_to_string(file).expect("a file").parse().expect("a pid")
    })
}

#[test]
fn all_ranks_go_on_and_are_taken_back() {
    let folder = Folder::new();
    let job = job(&folder, 1, "pass");
    let orchestrator = folder.start(std::slice::from_ref(&job));
    let ranks = ranks_at(&folder, "a");
    folder.until(1, started);
    orchestrator.kill();

    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, came_back);
    folder.open("a");
    // The next task reaches both, so the replica is back too.
    assert_eq!(ranks_at(&folder, "b"), ranks, "the same processes");
    folder.open("b");
    assert_eq!(orchestrator.outcome(), ["job a 1 succeeded", "job b 1 succeeded"]);
    folder.expect_nothing_left();
}

#[test]
fn ranks_that_have_finished_meanwhile_get_the_next_task() {
    let folder = Folder::new();
    let job = job(&folder, 1, "Path(f'{task.task_id}-{task.rank}-through').touch()");
    let orchestrator = folder.start(std::slice::from_ref(&job));
    let ranks = ranks_at(&folder, "a");
    folder.until(1, started);
    orchestrator.kill();
    folder.open("a");
    for rank in 0..2 {
        until(|| folder.path(&format!("a-{rank}-through")).exists());
    }

    let orchestrator = folder.start(std::slice::from_ref(&job));
    assert_eq!(ranks_at(&folder, "b"), ranks, "the same processes");
    folder.open("b");
    assert_eq!(orchestrator.outcome(), ["job a 1 succeeded", "job b 1 succeeded"]);
    folder.expect_nothing_left();
}

#[test]
fn the_error_of_a_rank_that_was_taken_back_is_the_cause() {
    let folder = Folder::new();
    let then = "
        if task.task_id == 'b':
            if task.rank == 1:
                raise ValueError('bad batch')
            wait_for('never')";
    let job = job(&folder, 1, then.trim_start());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    ranks_at(&folder, "a");
    folder.until(1, started);
    orchestrator.kill();

    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.open("a");
    ranks_at(&folder, "b");
    folder.open("b");
    let outcome = orchestrator.outcome();
    assert_eq!(outcome[0], "job a 1 succeeded");
    assert!(
        outcome[1].starts_with("job b 1 dead: failed once: ValueError: rank 1: bad batch"),
        "{outcome:?}"
    );
    folder.expect_nothing_left();
}

#[test]
fn a_rank_that_died_meanwhile_is_noticed_and_all_are_started_again() {
    let folder = Folder::new();
    let job = job(&folder, 2, "pass");
    let orchestrator = folder.start(std::slice::from_ref(&job));
    let ranks = ranks_at(&folder, "a");
    folder.until(1, started);
    orchestrator.kill();
    // The launcher ends the other one, and itself with exit code 1; an old kernel does not tell that.
    sigkill(ranks[1]);
    super::folder::await_end(ranks[0]);

    let orchestrator = folder.start(std::slice::from_ref(&job));
    for task in ["a", "b"] {
        folder.open(task);
    }
    let mut outcome = orchestrator.outcome();
    outcome.sort();
    assert_eq!(outcome, ["job a 2 succeeded", "job b 1 succeeded"]);
    folder.expect_nothing_left();
}
