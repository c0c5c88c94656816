//! Trainers that went on are taken back as they are.

use std::fs;

use trainwire::record::{Condition, Ending, Exit, Record};

use super::Folder;
use super::folder::{await_end, find, sigkill, until};

/// Reports, waits for the gate of its task's name, and finishes.
pub(crate) const WAITS: &str = "
for task in trainwire.tasks():
    with task:
        task.report(pid=os.getpid())
        wait_for(task.task_id)
        Path(task.task_id + '-finishing').touch()
        task.finish(ok=1)
";

pub(crate) fn started(record: &Record) -> bool {
    matches!(record, Record::Started { .. })
}

pub(crate) fn came_back(record: &Record) -> bool {
    matches!(record, Record::TrainerNoticed { condition: Condition::Responsive, .. })
}

pub(crate) fn endings(folder: &Folder) -> Vec<Ending> {
    let ending = |record: Record| match record {
        Record::Ended { ending, .. } => Some(*ending),
        _ => None,
    };
    folder.records().into_iter().filter_map(ending).collect()
}

/// Whether the kernel tells how depends on its version, and on whoever reaped it.
fn crashed(ending: &Ending) -> bool {
    matches!(ending, Ending::Crashed { exit: Exit::Unknown | Exit::Signal { signal: 9, .. } })
}

#[test]
fn trainers_go_on_through_the_death_of_their_orchestrator() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10), ("b", 100_000), ("c", 10)], |spec| spec.trainers = 2);
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(2, started);
    let pids = folder.pids();
    orchestrator.kill();

    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(2, came_back);
    for gate in ["a", "b", "c"] {
        folder.open(gate);
    }
    assert_eq!(orchestrator.outcome(), ["job a 1 succeeded", "job b 1 succeeded", "job c 1 succeeded"]);
    assert_eq!(folder.pids(), pids, "the same processes");
    assert!(endings(&folder).iter().all(|ending| matches!(ending, Ending::Succeeded { .. })));
    folder.expect_nothing_left();
}

#[test]
fn a_result_that_came_meanwhile_is_received_and_counts_once() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10), ("b", 10)], |_| ());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    orchestrator.kill();
    folder.open("a");
    until(|| folder.path("a-finishing").exists());
    // Again and again: whatever half of it came through counts as nothing.
    for _ in 0..3 {
        folder.launch(std::slice::from_ref(&job)).kill();
    }
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.open("b");
    assert_eq!(orchestrator.outcome(), ["job a 1 succeeded", "job b 1 succeeded"]);
    assert_eq!(folder.pids().len(), 1);
    assert_eq!(endings(&folder).len(), 2);
    folder.expect_nothing_left();
}

#[test]
fn a_result_survives_its_trainer_and_its_orchestrator() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10)], |_| ());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    orchestrator.kill();
    folder.open("a");
    until(|| {
        find(&folder.state(), "spool").iter().any(|file| file.extension().is_some_and(|e| e == "frames"))
    });
    // Without a chance to do anything more.
    sigkill(folder.pids()[0]);
    assert_eq!(folder.start(std::slice::from_ref(&job)).outcome(), ["job a 1 succeeded"]);
    assert_eq!(folder.pids().len(), 1);
    folder.expect_nothing_left();
}

#[test]
fn what_was_spooled_too_early_is_received_as_ever_and_removed() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10), ("b", 10)], |_| ());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    orchestrator.kill();
    folder.open("a");
    until(|| !find(&folder.state(), "spool").is_empty());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.open("b");
    assert_eq!(orchestrator.outcome(), ["job a 1 succeeded", "job b 1 succeeded"]);
    assert_eq!((folder.pids().len(), endings(&folder).len()), (1, 2));
    folder.expect_nothing_left();
}

#[test]
fn a_trainer_that_died_meanwhile_is_noticed_and_its_task_tried_again() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10), ("b", 10)], |spec| spec.trainers = 2);
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(2, started);
    let pids = folder.pids();
    orchestrator.kill();
    sigkill(pids[0]);
    let orchestrator = folder.start(std::slice::from_ref(&job));
    for gate in ["a", "b"] {
        folder.open(gate);
    }
    let mut outcome = orchestrator.outcome();
    outcome.sort_by_key(|line| line.contains(" 2 "));
    assert!(outcome[0].ends_with("1 succeeded") && outcome[1].ends_with("2 succeeded"), "{outcome:?}");
    assert_eq!(endings(&folder).iter().filter(|ending| crashed(ending)).count(), 1);
    folder.expect_nothing_left();
}

#[test]
fn a_trainer_that_dies_after_it_was_taken_back_is_told_apart() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10)], |_| ());
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    orchestrator.kill();
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, came_back);
    sigkill(folder.pids()[0]);
    folder.open("a");
    assert_eq!(orchestrator.outcome(), ["job a 2 succeeded"]);
    assert!(crashed(&endings(&folder)[0]), "{:?}", endings(&folder));
    folder.expect_nothing_left();
}

#[test]
fn a_trainer_that_does_not_come_back_is_lost_and_killed() {
    let folder = Folder::new();
    let program = "
for task in trainwire.tasks():
    with task:
        Path('running').touch()
        wait_for('never')
";
    let job = folder.job("job", program, &[("a", 10)], |spec| {
        spec.recv_timeout = std::time::Duration::from_secs(1);
        spec.lost_timeout = std::time::Duration::from_secs(2);
        spec.max_losses = 1;
    });
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    let pid = folder.pids()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP)
        .expect("it lives");
    orchestrator.kill();
    // It never comes back, so it is lost, and killed.
    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert!(outcome[0].starts_with("job a 1 dead: lost once"), "{outcome:?}");
    await_end(pid);
    folder.expect_nothing_left();
}

#[test]
fn what_nobody_journaled_does_not_go_on() {
    let folder = Folder::new();
    let program = "
Path('pid-%d' % os.getpid()).touch()
for task in trainwire.tasks():
    with task:
        task.finish()
";
    let job = folder.job("job", program, &[("a", 10)], |_| ());
    // Killed in the moment in which the first trainer is started, somewhere between fork and journal.
    let orchestrator = folder.launch(std::slice::from_ref(&job));
    folder.until(1, |record| matches!(record, Record::TrainerSpawning { .. }));
    orchestrator.kill();
    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert_eq!(outcome, ["job a 1 succeeded"]);
    let pids = fs::read_dir(folder.path("")).expect("a folder").flatten();
    for name in pids.filter_map(|entry| entry.file_name().into_string().ok()) {
        if let Some(pid) = name.strip_prefix("pid-") {
            await_end(pid.parse().expect("a pid"));
        }
    }
    folder.expect_nothing_left();
}
