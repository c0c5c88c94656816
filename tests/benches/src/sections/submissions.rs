//! Durable submissions a second, beside how often the same disk can sync a page.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use trainwire::{Config, Job, JobHandle, Orchestrator, TrainingTask};

use crate::report::Submissions;
use crate::stats::median;

const ROUNDS: usize = 5;
/// Of one call of `submit_all`.
const BATCH_TASKS: usize = 1_000;
/// Of a round.
const BATCHES: usize = 20;
const CLIENTS: usize = 32;
/// Of a client, a round.
const TASKS: usize = 200;
/// Of a round.
const SYNCS: usize = 300;
/// With the fields, a task of 256 bytes.
const SIZE_BYTES: usize = 160;

pub fn measure() -> Submissions {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut batched, mut single, mut syncs) = (vec![], vec![], vec![]);
    runtime.block_on(async {
        let config = Config {
            state_dir: Some(folder.path().join("state")),
            socket_dir: folder.path().to_owned(),
            ..Config::default()
        };
        let orchestrator = Orchestrator::start(config).await.expect("an orchestrator");
        let job = Job::new("submissions").expect("an id").attach(true).open();
        let job = orchestrator.submit(job).await.expect("a job");
        for round in 0..ROUNDS {
            syncs.push(rate(SYNCS, async { sync_pages(&folder.path().join("floor")) }).await);
            batched.push(rate(BATCHES * BATCH_TASKS, submit_batches(&job, round)).await);
            single.push(rate(CLIENTS * TASKS, submit_one_by_one(&job, round)).await);
        }
        job.kill().await.expect("a stop");
        orchestrator.shutdown().await;
    });
    Submissions {
        batched_per_second: median(batched),
        one_by_one_per_second: median(single),
        clients: CLIENTS,
        fsyncs_per_second: median(syncs),
    }
}

async fn rate(count: usize, work: impl Future<Output = ()>) -> f64 {
    let begin = Instant::now();
    work.await;
    count as f64 / begin.elapsed().as_secs_f64()
}

/// What no durable answer can be faster than.
fn sync_pages(path: &std::path::Path) {
    let mut file = File::create(path).expect("a file");
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096]).expect("room");
        file.sync_data().expect("a disk");
    }
}

async fn submit_batches(job: &JobHandle, round: usize) {
    for batch in 0..BATCHES {
        let tasks = (0..BATCH_TASKS).map(|task| task_of(&format!("b{round}-{batch}-{task}")));
        assert_eq!(job.submit_all(tasks).await.expect("taken").added, BATCH_TASKS);
    }
}

async fn submit_one_by_one(job: &JobHandle, round: usize) {
    let clients = (0..CLIENTS).map(|client| {
        let job = job.clone();
        tokio::spawn(async move {
            for task in 0..TASKS {
                job.submit(task_of(&format!("s{round}-{client}-{task}"))).await.expect("taken");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("no panic");
    }
}

fn task_of(task_id: &str) -> TrainingTask {
    TrainingTask::new(task_id, "m").hyperparams(vec![7; SIZE_BYTES])
}
