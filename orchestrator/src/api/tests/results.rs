//! What came of tasks, as a running orchestrator says it and as its folder does.

use super::*;
use crate::archive::Archive;
use crate::outcome::{Standing, TaskResult};
use crate::record::Scalar;

#[tokio::test]
async fn results_are_the_same_from_the_orchestrator_and_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let state_dir = config.state_dir.clone().unwrap();
    assert!(!Archive::is_at(&state_dir));
    let orchestrator = Orchestrator::start(config).await.unwrap();
    orchestrator.submit(script("before", "exit 0", &["t"])).await.unwrap().outcome().await.unwrap();
    let gate = folder.path().join("gate");
    let command = format!(
        "test $TRAINWIRE_TASK_ID = bad && exit 3; while [ ! -e {} ]; do sleep 0.01; done",
        gate.display()
    );
    let task = |id: &str, lr: f64| {
        let params = std::collections::BTreeMap::from([("lr", lr)]);
        TrainingTask::new(id, "m").params(&params).unwrap()
    };
    let large = TrainingTask::new("large", "m").hyperparams(vec![0xc0; 100_000]);
    let job = script("sweep", &command, &[]).tasks([task("bad", 0.5), task("good", 0.25)]).task(large);
    let job = orchestrator.submit(job).await.unwrap();
    job.task_ended("bad").await.unwrap();
    while job.results(1..2).await.unwrap()[0].attempts == 0 {
        tokio::task::yield_now().await;
    }
    let both = async || {
        let live = job.results(0..9).await.unwrap();
        let archive = Archive::open(&state_dir).unwrap();
        assert_eq!(
            archive.results(job.id(), 0..9).unwrap().as_ref(),
            Some(&live),
            "records committed so far"
        );
        live
    };
    let rows = both().await;
    let standings: Vec<_> = rows.iter().map(|row| row.standing).collect();
    assert_eq!(standings, [Standing::Dead, Standing::Running, Standing::Waiting]);
    let TaskResult { params, cause, attempts, duration, log, .. } = &rows[0];
    assert_eq!(params.as_ref().unwrap()["lr"], 0.5);
    assert!(cause.as_ref().unwrap().contains("exit code 3") && *attempts == 1 && duration.is_some());
    assert!(log.as_ref().unwrap().exists());
    assert_eq!(rows[2].params, None, "too large to be kept beside the records");

    // What a trainer would have reported; the last line is being written.
    let metrics = state_dir.join("jobs/sweep/metrics");
    std::fs::create_dir_all(&metrics).unwrap();
    std::fs::write(
        metrics.join("good.jsonl"),
        "{\"metrics\":{\"loss\":0.5}}\n{\"metrics\":{\"loss\":0.25}}\n{\"m",
    )
    .unwrap();
    std::fs::write(gate, "").unwrap();
    job.outcome().await.unwrap();
    let rows = both().await;
    assert_eq!(rows[1].standing, Standing::Succeeded);
    assert_eq!(rows[1].metrics, [("loss".to_owned(), Scalar::Number(0.25))]);
    assert_eq!(job.results(1..2).await.unwrap(), rows[1..2]);
    orchestrator.shutdown().await;

    let archive = Archive::open(&state_dir).unwrap();
    assert_eq!(archive.jobs().unwrap().iter().map(JobId::as_str).collect::<Vec<_>>(), ["before", "sweep"]);
    assert_eq!(archive.results(job.id(), 0..9).unwrap().unwrap(), rows);
    assert_eq!(archive.results(&"none".parse().unwrap(), 0..9).unwrap(), None);
}

#[tokio::test]
async fn a_folder_is_read_without_a_change_to_it_and_a_newer_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let state_dir = config.state_dir.clone().unwrap();
    let orchestrator = Orchestrator::start(config).await.unwrap();
    orchestrator.submit(script("a", "exit 0", &["t"])).await.unwrap().outcome().await.unwrap();
    orchestrator.shutdown().await;
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&state_dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().len()))
            .filter(|(name, _)| name != "journal.sqlite-shm" && name != "journal.sqlite-wal")
            .collect();
        files.sort();
        files
    };
    let before = files();
    let archive = Archive::open(&state_dir).unwrap();
    assert_eq!(archive.results(&"a".parse().unwrap(), 0..9).unwrap().unwrap().len(), 1);
    drop(archive);
    assert_eq!(files(), before);

    let journal = rusqlite::Connection::open(state_dir.join("journal.sqlite")).unwrap();
    journal.pragma_update(None, "user_version", 99).unwrap();
    drop(journal);
    assert_eq!(Archive::open(&state_dir).unwrap_err().code(), "journal_newer");
    assert_eq!(Archive::open(folder.path()).unwrap_err().code(), "journal");
}
