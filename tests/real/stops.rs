//! Stops: asked for, answered with a checkpoint, overtaken by a result, ignored.

use std::time::Duration;

use trainwire::record::{Ending, Record, Rung};
use trainwire::{Event, StopReason, TaskEnd, TrainingTask, What};
use trainwire_tests::{Stage, Watch, gone};

#[tokio::test]
async fn a_trainer_that_is_asked_to_stop_makes_a_checkpoint_first() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.report(here=1)
        while not task.should_stop:
            time.sleep(0.01)
        if task.stop.want_checkpoint:
            path = task.workdir / 'last.pt'
            path.write_text('weights')
            task.checkpoint(path, epoch=2)
        task.finish(epochs=2)
";
    let job = stage.submit(stage.job("asked", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    watch.reported("here").await;
    job.stop(StopReason::Interrupted).await.expect("a stop");
    let TaskEnd::Stopped { metrics } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert_eq!(metrics.len(), 1, "what there was of a result: {metrics:?}");
    assert!(watch.records().any(|record| matches!(record, Record::Checkpointed { .. })));
    assert_eq!(watch.rungs(), [Rung::Asked]);
    let [Ending::Stopped { reason: StopReason::Interrupted, rung: Rung::Asked, .. }] = watch.endings()[..]
    else {
        panic!("{:?}", watch.endings())
    };
}

#[tokio::test]
async fn epochs_end_early_and_waiting_tasks_are_never_started() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        for epoch in task.epochs():
            task.report(here=1, epoch=epoch)
            time.sleep(0.01)
";
    let tasks = ["running", "waiting"].map(|id| TrainingTask::new(id, "m").max_epochs(1_000_000));
    let job = stage.submit(stage.job("early", program).tasks(tasks)).await;
    let mut watch = Watch::new(&job);
    watch.reported("here").await;
    job.stop(StopReason::Cancelled).await.expect("a stop");
    let outcome = watch.outcome().await;
    assert!(outcome.tasks.iter().all(|task| task.state == TaskEnd::Cancelled), "{outcome:?}");
    assert_eq!(outcome.tasks[1].attempts, 0);
}

#[tokio::test]
async fn a_result_that_was_made_before_the_stop_was_seen_counts() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.report(here=1)
        wait_for('go')
        task.finish(accuracy=0.9)
";
    let job = stage.submit(stage.job("late", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    watch.reported("here").await;
    job.stop_task("t", StopReason::Cancelled).await.expect("a stop");
    stage.open("go");
    let TaskEnd::Succeeded { metrics } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert_eq!(metrics.len(), 1);
    assert_eq!(watch.rungs(), [Rung::Asked]);
}

#[tokio::test]
async fn stops_that_race_with_results_leave_each_task_one_end() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        wait_for(task.task_id)
        task.finish()
";
    let ids: Vec<_> = (0..20).map(|number| format!("task-{number}")).collect();
    let tasks = ids.iter().map(|id| TrainingTask::new(id, "m"));
    let job = stage.submit(stage.job("races", program).trainers(2).tasks(tasks)).await;
    let mut watch = Watch::new(&job);
    for _ in &ids {
        // Two run at a time, and either may begin first.
        let started = |event: &Event| match event.what {
            What::Record(Record::Started { .. }) => event.task.clone(),
            _ => None,
        };
        let id = watch.until(started).await;
        stage.open(&id);
        job.stop_task(&id, StopReason::Cancelled).await.expect("a stop");
    }
    let outcome = watch.outcome().await;
    let one_end = |end: &TaskEnd| matches!(end, TaskEnd::Succeeded { .. } | TaskEnd::Cancelled);
    assert!(outcome.tasks.iter().all(|task| one_end(&task.state) && task.attempts == 1), "{outcome:?}");
    assert_eq!(watch.endings().len(), ids.len());
}

#[tokio::test]
async fn who_ignores_every_request_is_killed() {
    let stage = Stage::new().await;
    let neighbour = stage.neighbour().await;
    let program = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for task in trainwire.tasks():
    with task:
        task.report(pid=os.getpid())
        wait_for('never')
";
    let mut job = stage.job("deaf", program).stop_grace(Duration::from_millis(300));
    job.spec.term_grace = Duration::from_millis(300);
    let job = stage.submit(job.task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let pid = watch.reported_pid("pid").await;
    job.stop(StopReason::Cancelled).await.expect("a stop");
    assert_eq!(watch.only().await, TaskEnd::Cancelled);
    assert_eq!(watch.rungs(), [Rung::Asked, Rung::Terminated, Rung::Killed]);
    assert!(
        matches!(watch.endings()[..], [Ending::Stopped { rung: Rung::Killed, .. }]),
        "{:?}",
        watch.endings()
    );
    gone(pid).await;
    stage.open("neighbour");
    assert!(Watch::new(&neighbour).outcome().await.succeeded());
}

#[tokio::test]
async fn a_second_interrupt_kills_at_once() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.report(pid=os.getpid())
        wait_for('never')
";
    let job = stage.submit(stage.job("hurried", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let pid = watch.reported_pid("pid").await;
    job.stop(StopReason::Interrupted).await.expect("a stop");
    job.kill().await.expect("a stop");
    assert_eq!(watch.only().await, TaskEnd::Stopped { metrics: Vec::new() });
    assert_eq!(watch.rungs(), [Rung::Asked, Rung::Killed]);
    gone(pid).await;
}
