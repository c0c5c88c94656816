//! Polling before sleeping changes when things are seen, never what.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;
use trainwire::{Job, TaskEnd, TrainingTask};
use trainwire_tests::{Peer, Stage, Strace, Watch, result};

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

#[test]
fn an_orchestrator_looks_again_before_it_sleeps() {
    let Some(strace) = Strace::find() else { return };
    let looks = ["0", "1000"].map(|poll_us| {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut life = Command::new(std::env::current_exe().expect("this program"));
        life.args(["--exact", "polling::a_life_with_slow_answers", "--ignored"]).env(POLL_US, poll_us);
        let arguments = ["-e", "trace=epoll_wait", "-o", log.to_str().expect("UTF-8")];
        let status = strace.follow(&life, &arguments).stdout(Stdio::null()).status().expect("strace");
        assert!(status.success());
        // Those that found nothing and did not wait for it.
        let log = fs::read_to_string(log).expect("a log");
        log.lines().filter(|line| line.contains(", 0)") && line.ends_with("= 0")).count()
    });
    // Several times for each task that it has sent.
    assert!(looks[1] > looks[0] + 3 * TASKS, "{looks:?}");
}

/// What the test above runs and traces.
#[tokio::test]
#[ignore = "run by the other test"]
async fn a_life_with_slow_answers() {
    let Ok(poll_us) = std::env::var(POLL_US) else { return };
    let stage = Stage::with(|config| config.state_dir = None).await;
    let tasks = (0..TASKS).map(|number| TrainingTask::new(format!("task-{number}"), "m"));
    let job = Job::new("slow").expect("an id").attach(true).tasks(tasks);
    let job = stage.submit(job.poll_us(poll_us.parse().expect("microseconds"))).await;
    let mut watch = Watch::new(&job);
    while !job.socket_path().exists() {
        sleep(Duration::from_millis(1)).await;
    }
    let mut peer = Peer::connect(job.socket_path()).await;
    peer.join("slow").await;
    for _ in 0..TASKS {
        let (deliver, _) = peer.delivered().await.expect("a task");
        // Longer than anybody polls.
        sleep(Duration::from_millis(10)).await;
        peer.send(&[result(deliver.delivery, 1)]).await;
    }
    // Nobody waits for it at the end.
    drop(peer);
    assert!(watch.outcome().await.succeeded());
}

const TASKS: usize = 20;

const POLL_US: &str = "TRAINWIRE_TEST_POLL_US";
