//! Many trainers at once.

use super::Folder;
use super::reunions::{came_back, started};

#[test]
fn many_trainers_are_taken_back() {
    take_back(50);
}

#[test]
#[ignore = "some gigabytes of Python processes"]
fn two_hundred_trainers_are_taken_back() {
    take_back(200);
}

fn take_back(count: usize) {
    let folder = Folder::new();
    let program = "
for task in trainwire.tasks():
    with task:
        wait_for('go')
        task.finish()
";
    let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let tasks: Vec<_> = ids.iter().map(|id| (id.as_str(), 10)).collect();
    let job = folder.job("job", program, &tasks, |spec| {
        spec.trainers = u32::try_from(count).expect("a small number");
        spec.start_timeout = std::time::Duration::from_secs(600);
        spec.lost_timeout = std::time::Duration::from_secs(600);
    });
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(count, started);
    let pids = folder.pids();
    orchestrator.kill();
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(count, came_back);
    folder.open("go");
    let outcome = orchestrator.outcome();
    assert_eq!(outcome.len(), count);
    assert!(outcome.iter().all(|line| line.ends_with("1 succeeded")), "{outcome:?}");
    assert_eq!(folder.pids(), pids);
    folder.expect_nothing_left();
}
