//! Without an orchestrator trainers save what they have and leave, and the next one makes use of it.

use std::time::Duration;

use trainwire::record::{Ending, Record};

use super::Folder;
use super::folder::{await_end, find, until};
use super::reunions::{endings, started};

#[test]
fn an_orphan_saves_a_checkpoint_and_its_task_goes_on_from_there() {
    let folder = Folder::new();
    let program = "
for task in trainwire.tasks():
    with task:
        start = int(Path(task.resume_path).read_text()) if task.resume_path else 0
        for step in range(start, 10**9):
            if task.should_stop:
                break
            if task.attempt > 1:
                task.finish(start=start)
                break
            time.sleep(0.01)
        else:
            raise SystemExit(1)
        if task.attempt == 1:
            Path('model').write_text(str(step + 1))
            task.checkpoint('model', step=step)
            Path('saved').touch()
";
    let job = folder.job("job", program, &[("a", 10)], |spec| {
        spec.orphan_timeout = Duration::from_millis(500);
    });
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    let pid = folder.pids()[0];
    orchestrator.kill();
    await_end(pid);
    assert!(folder.path("saved").exists());
    let spooled = find(&folder.state(), "spool");
    assert_eq!(spooled.len(), 1, "{spooled:?}");

    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert_eq!(outcome, ["job a 2 succeeded"]);
    let records = folder.records();
    let checkpointed = |record: &&Record| matches!(record, Record::Checkpointed { .. });
    assert_eq!(records.iter().filter(checkpointed).count(), 1);
    match &endings(&folder)[..] {
        [Ending::Returned { code }, Ending::Succeeded { metrics }] => {
            assert_eq!(code, "orphaned");
            let from = metrics.iter().find(|(name, _)| name == "start").expect("a metric");
            assert!(!matches!(from.1, trainwire::record::Scalar::Number(0.0)), "{metrics:?}");
        }
        other => panic!("{other:?}"),
    }
    folder.expect_nothing_left();
}

#[test]
fn a_result_in_the_spool_is_read_before_its_task_is_handed_out_again() {
    let folder = Folder::new();
    let program = "
for task in trainwire.tasks():
    with task:
        wait_for('finish')
        task.finish(attempt=task.attempt)
";
    let job = folder.job("job", program, &[("a", 10)], |spec| {
        spec.orphan_timeout = Duration::from_millis(200);
    });
    let orchestrator = folder.start(std::slice::from_ref(&job));
    folder.until(1, started);
    let pid = folder.pids()[0];
    orchestrator.kill();
    folder.open("finish");
    await_end(pid);
    until(|| find(&folder.state(), "spool").len() == 1);
    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert_eq!(outcome, ["job a 1 succeeded"]);
    assert_eq!(folder.pids(), [pid]);
    folder.expect_nothing_left();
}
