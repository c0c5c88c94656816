//! One state folder has one orchestrator.

use super::Folder;
use super::reunions::{WAITS, started};

#[test]
fn of_orchestrators_started_at_once_one_wins() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10)], |_| ());
    let first = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    first.kill();
    for _ in 0..5 {
        let mut contenders: Vec<_> = (0..4).map(|_| folder.launch(std::slice::from_ref(&job))).collect();
        let mut words: Vec<_> = contenders.iter_mut().map(|one| one.line().expect("a word")).collect();
        words.sort();
        assert_eq!(words, ["ready", "state_dir_locked", "state_dir_locked", "state_dir_locked"]);
    }
    folder.open("a");
    assert_eq!(folder.start(std::slice::from_ref(&job)).outcome(), ["job a 1 succeeded"]);
    folder.expect_nothing_left();
}
