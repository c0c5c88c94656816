//! Jobs that are looked at.

use super::*;
use crate::status::{TaskCondition, Wait};

#[tokio::test]
async fn what_is_there_is_found_again_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let orchestrator = Orchestrator::start(config.clone()).await.unwrap();
    assert!(orchestrator.jobs().await.unwrap().is_empty());
    let say = "echo $TRAINWIRE_TASK_ID $TRAINWIRE_ATTEMPT; test $TRAINWIRE_TASK_ID = good";
    for id in ["b", "a"] {
        orchestrator.submit(script(id, say, &["good", "bad"])).await.unwrap().outcome().await.unwrap();
    }
    orchestrator.shutdown().await;

    let orchestrator = Orchestrator::start(config).await.unwrap();
    let jobs = orchestrator.jobs().await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id().as_str()).collect::<Vec<_>>(), ["b", "a"]);
    let job = orchestrator.job(&"a".parse().unwrap()).await.unwrap().unwrap();
    assert!(orchestrator.job(&"c".parse().unwrap()).await.unwrap().is_none());
    let status = job.status().await.unwrap();
    assert!(status.ended && status.trainers.is_empty() && status.wait.is_none());
    assert_eq!((status.counts.succeeded, status.counts.dead, status.counts.total()), (1, 1, 2));
    assert_eq!(status.spec.job_id, "a");
    assert_eq!(job.task("bad").await.unwrap().condition, TaskCondition::Dead);
    assert_eq!(job.task("worse").await.unwrap_err().code(), "no_such_task");
    assert_eq!(job.tasks(1..9).await.unwrap().len(), 1);
    assert_eq!(job.tasks(5..9).await.unwrap().len(), 0);
    assert_eq!(job.dead_letters()[0].task_id.as_ref(), "bad");
    assert_eq!(job.task_ended("good").await.unwrap().attempts, 1);
    let logs = job.task_logs("bad").unwrap();
    assert!(logs[0].over && logs[0].to.is_none());
    let text = std::fs::read(logs[0].path.as_ref().unwrap()).unwrap();
    assert_eq!(&text[usize::try_from(logs[0].from).unwrap()..], b"bad 1\n");
}

#[tokio::test]
async fn a_task_is_waited_for_and_seen_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let gate = folder.path().join("gate");
    let wait = format!("while [ $TRAINWIRE_TASK_ID != b -a ! -e {} ]; do sleep 0.02; done", gate.display());
    let job = orchestrator.submit(script("a", &wait, &["a", "b"])).await.unwrap();
    started(&job).await;
    assert_eq!(job.task_outcome("a").unwrap(), None);
    let TaskCondition::Waiting(why) = job.task("b").await.unwrap().condition else { panic!() };
    assert_eq!(why, Wait::TrainersBusy { trainers: 1 });
    assert_eq!((job.counts().running, job.counts().waiting), (1, 1));
    std::fs::write(gate, "").unwrap();
    let (first, second) = tokio::join!(job.task_ended("a"), job.task_ended("b"));
    assert!(matches!(first.unwrap().state, TaskEnd::Succeeded { .. }));
    assert!(matches!(second.unwrap().state, TaskEnd::Succeeded { .. }));
    job.outcome().await.unwrap();
    assert_eq!(job.counts().succeeded, 2);
}
