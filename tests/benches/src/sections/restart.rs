//! How long an orchestrator takes to start where many tasks have ended or wait, and what it holds then.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use trainwire::{Config, Job, Orchestrator, StopReason, TrainingTask};
use trainwire_bench_harness::resident_bytes;

use crate::report::Restart;

/// Finished and queued tasks.
const SIZES: [(usize, usize); 4] = [(0, 0), (10_000, 1_000), (100_000, 10_000), (1_000_000, 100_000)];

pub fn measure() -> Vec<Restart> {
    SIZES.into_iter().map(|(finished, queued)| restart(finished, queued)).collect()
}

fn restart(finished: usize, queued: usize) -> Restart {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let orchestrator = Orchestrator::start(config(folder.path())).await.expect("an orchestrator");
        for (job_id, count) in [("finished", finished), ("queued", queued)] {
            let job = Job::new(job_id).expect("an id").attach(true).open();
            let job = orchestrator.submit(job).await.expect("a job");
            for first in (0..count).step_by(10_000) {
                let tasks = (first..count.min(first + 10_000))
                    .map(|task| TrainingTask::new(task.to_string(), "m").hyperparams(vec![7; 160]));
                job.submit_all(tasks).await.expect("taken");
            }
            if job_id == "finished" {
                job.stop(StopReason::Cancelled).await.expect("a stop");
                job.outcome().await.expect("an outcome");
            }
        }
        orchestrator.shutdown().await;
    });
    let program = std::env::current_exe().expect("this program");
    let ran = Command::new(program).arg("serve-restart").arg(folder.path()).output().expect("a process");
    let words = String::from_utf8(ran.stdout).expect("text");
    let mut words = words.split_whitespace().map(|word| word.parse().expect("a number"));
    let (seconds, peak_bytes) = words.next().zip(words.next()).expect("two numbers");
    Restart { finished, queued, seconds, peak_bytes }
}

/// Starts an orchestrator there, and says how many seconds that took and how many bytes it held at most.
pub fn serve(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let begin = Instant::now();
        let orchestrator = Orchestrator::start(config(folder)).await.expect("an orchestrator");
        let seconds = begin.elapsed().as_secs_f64();
        println!("{seconds} {}", resident_bytes(std::process::id(), "VmHWM"));
        orchestrator.shutdown().await;
    });
}

fn config(folder: &Path) -> Config {
    Config {
        state_dir: Some(folder.join("state")),
        socket_dir: folder.to_owned(),
        unfinished_tasks_max: 2_000_000,
        ..Config::default()
    }
}
