//! What a task that travels through the socket costs the orchestrator.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;
use trainwire::{Job, TrainingTask};
use trainwire_tests::{Peer, Stage, Strace, Watch, result};

/// Header, head and hyperparameters lie in three places.
#[test]
fn an_inline_task_leaves_in_one_system_call() {
    let Some(strace) = Strace::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut life = Command::new(std::env::current_exe().expect("this program"));
    life.args(["--exact", "inline::a_life_with_inline_tasks", "--ignored"]).env(TRACED, "1");
    let calls = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg";
    let arguments = ["-e", calls, "-o", log.to_str().expect("UTF-8")];
    let status = strace.follow(&life, &arguments).stdout(Stdio::null()).status().expect("strace");
    assert!(status.success());
    let log = fs::read_to_string(log).expect("a log");
    let sent: Vec<usize> = log
        .lines()
        .filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse().ok())
        .filter(|size_bytes| *size_bytes >= LARGE_SIZE_BYTES)
        .collect();
    assert_eq!(sent.len(), TASKS, "calls that took a part of a task: {sent:?}");
    assert!(sent.iter().all(|size_bytes| *size_bytes > HYPERPARAMS_SIZE_BYTES), "{sent:?}");
}

/// What the test above runs and traces.
#[tokio::test]
#[ignore = "run by the other test"]
async fn a_life_with_inline_tasks() {
    if std::env::var_os(TRACED).is_none() {
        return;
    }
    let stage = Stage::with(|config| config.state_dir = None).await;
    let task = |number| {
        TrainingTask::new(format!("task-{number}"), "m").hyperparams(vec![7; HYPERPARAMS_SIZE_BYTES])
    };
    let job = Job::new("inline").expect("an id").attach(true).tasks((0..TASKS).map(task));
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    while !job.socket_path().exists() {
        sleep(Duration::from_millis(1)).await;
    }
    let mut peer = Peer::connect(job.socket_path()).await;
    peer.join("inline").await;
    for _ in 0..TASKS {
        let (deliver, _) = peer.delivered().await.expect("a task");
        peer.send(&[result(deliver.delivery, 1)]).await;
    }
    // Nobody waits for it at the end.
    drop(peer);
    assert!(watch.outcome().await.succeeded());
}

const TASKS: usize = 20;

const HYPERPARAMS_SIZE_BYTES: usize = 60_000;

/// No message is, but for a part of a task.
const LARGE_SIZE_BYTES: usize = 2_000;

const TRACED: &str = "TRAINWIRE_TEST_TRACED";
