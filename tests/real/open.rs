//! Jobs that take tasks over time.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trainwire::record::{Exit, Record, Scalar};
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch, gone};

/// Tells which process it was, and leaves an exit code that says it was sent home.
const PROGRAM: &str = "
for task in trainwire.tasks():
    with task:
        task.finish(pid=os.getpid(), nth=task.params['nth'])
sys.exit(0)
";

#[tokio::test]
async fn a_trainer_waits_warm_between_tasks_that_come_over_time() {
    let stage = Stage::new().await;
    let mut job = stage.job("over-time", PROGRAM).open();
    // It is heard all the while, or it would be noticed.
    (job.spec.recv_timeout, job.spec.lost_timeout) = (Duration::from_millis(200), Duration::from_secs(1));
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    for nth in 0..3 {
        job.submit(task(nth)).await.expect("an open job");
        watch.record(|record| matches!(record, Record::Ended { .. }).then_some(())).await;
        // Longer than the silence it may keep.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    job.close().await.expect("an orchestrator");
    let outcome = watch.outcome().await;
    let results: Vec<_> = outcome
        .tasks
        .iter()
        .map(|task| match &task.state {
            TaskEnd::Succeeded { metrics } => (&metrics[0].1, &metrics[1].1),
            other => panic!("{other:?}"),
        })
        .collect();
    let pid = Scalar::Number(f64::from(watch.pids()[0]));
    let nths = [0.0, 1.0, 2.0].map(Scalar::Number);
    assert_eq!(results, nths.iter().map(|nth| (&pid, nth)).collect::<Vec<_>>());
    let noticed = |record: &Record| matches!(record, Record::TrainerNoticed { .. });
    assert!(!watch.records().any(noticed), "{:#?}", watch.seen);
    let home = |record: &Record| matches!(record, Record::TrainerEnded { exit: Exit::Code { code: 0 }, .. });
    assert_eq!(watch.records().filter(|record| home(record)).count(), 1, "{:#?}", watch.seen);
}

#[tokio::test]
async fn a_trainer_that_dies_while_it_waits_is_replaced_with_the_next_task() {
    let stage = Stage::new().await;
    let job = stage.submit(stage.job("dies-idle", PROGRAM).task(task(0)).open()).await;
    let mut watch = Watch::new(&job);
    watch.record(|record| matches!(record, Record::Ended { .. }).then_some(())).await;
    let pid = watch.pids()[0];
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it waits for a task");
    gone(pid).await;
    watch.record(|record| matches!(record, Record::TrainerEnded { .. }).then_some(())).await;
    job.submit_all([task(1), task(2)]).await.expect("an open job");
    job.close().await.expect("an orchestrator");
    let outcome = watch.outcome().await;
    assert!(outcome.succeeded() && outcome.tasks.len() == 3, "{outcome:?}");
    assert!(outcome.tasks.iter().all(|task| task.attempts == 1), "nobody is charged: {outcome:?}");
    assert_eq!(watch.pids().len(), 2);
}

fn task(nth: u32) -> TrainingTask {
    let params = std::collections::BTreeMap::from([("nth", nth)]);
    TrainingTask::new(format!("task-{nth}"), "m").params(&params).expect("params")
}
