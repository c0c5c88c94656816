//! Polling before sleeping changes when things are seen, never what.

use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::Stage;

const PROGRAM: &str = "
for task in trainwire.tasks():
    with task:
        if task.task_id == 'slow':
            time.sleep(0.05)  # longer than anybody polls
        task.finish(epochs=task.max_epochs)
";

#[tokio::test]
async fn tasks_end_as_they_do_without_polling() {
    for journal in [true, false] {
        let stage =
            Stage::with(|config| config.state_dir = config.state_dir.take().filter(|_| journal)).await;
        let ids = (0..50).map(|number| format!("task-{number}")).chain(["slow".to_owned()]);
        let tasks = ids.map(|id| TrainingTask::new(id, "m").max_epochs(3));
        let job = stage.job("polls", PROGRAM).poll_us(1_000).window(4);
        let outcome =
            stage.submit(tasks.fold(job, trainwire::Job::task)).await.outcome().await.expect("an end");
        assert_eq!(outcome.tasks.len(), 51);
        assert!(
            outcome.tasks.iter().all(|task| matches!(task.state, TaskEnd::Succeeded { .. })),
            "{outcome:?}"
        );
    }
}
