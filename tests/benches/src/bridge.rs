//! trainwire itself, through its public API: tasks out, results in.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use trainwire::record::{Ending, Record, Scalar, Seq};
use trainwire::{Config, Job, Orchestrator, TrainingTask, What};

use crate::pin::{Cores, pin};
use crate::stats::Sample;

/// Where results are kept before they are acknowledged.
#[derive(Clone, Copy)]
pub enum Journal {
    Memory,
    Disk,
}

#[derive(Serialize)]
struct Params {
    lr: f64,
    momentum: f64,
    decay: f64,
    note: String,
}

/// What one run of a job showed.
pub struct Run {
    /// From the decision to deliver to the result at the orchestrator, task by task.
    pub latency: Sample,
    /// From the first delivery to the last result.
    pub tasks_per_second: f64,
}

/// Hands `tasks` tasks to one warm trainer and checks every result.
pub fn run(python: &Path, cores: Cores, journal: Journal, window: u32, tasks: usize) -> Run {
    pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(drive(python, cores, journal, window, tasks))
}

async fn drive(python: &Path, cores: Cores, journal: Journal, window: u32, tasks: usize) -> Run {
    let folder = tempfile::tempdir_in(scratch()).expect("a temporary folder");
    let orchestrator = Orchestrator::start(Config {
        state_dir: match journal {
            Journal::Memory => None,
            Journal::Disk => Some(folder.path().join("state")),
        },
        socket_dir: folder.path().to_owned(),
        ..Config::default()
    })
    .await
    .expect("the orchestrator starts");

    let python = python.to_str().expect("a path in UTF-8").to_owned();
    let worker = concat!(env!("CARGO_MANIFEST_DIR"), "/task_worker.py").to_owned();
    let mut job = Job::new("bench")
        .expect("a job id")
        .command([python, worker, cores.worker().to_string()])
        .window(window);
    for number in 0..tasks {
        job = job.task(task(number));
    }
    let job = orchestrator.submit(job).await.expect("the job is taken");

    let mut delivered = vec![None; tasks + 1];
    let mut durations = Vec::with_capacity(tasks);
    let (mut first, mut last): (Option<SystemTime>, Option<SystemTime>) = (None, None);
    let mut events = job.events_since(Seq::START);
    while let Some(event) = events.next().await {
        match event.what {
            What::Record(Record::Delivered { delivery, .. }) => {
                first.get_or_insert(event.at);
                delivered[delivery as usize] = Some(event.at);
            }
            What::Record(Record::Ended { delivery, ending, .. }) => {
                check(delivery, &ending);
                let sent = delivered[delivery as usize].expect("delivered before it ended");
                durations.push(event.at.duration_since(sent).unwrap_or(Duration::ZERO));
                last = Some(event.at);
            }
            _ => {}
        }
    }
    assert_eq!(durations.len(), tasks, "every task has a result");
    let elapsed =
        last.zip(first).and_then(|(last, first)| last.duration_since(first).ok()).expect("time passed");
    Run {
        latency: Sample::new(durations.drain(tasks / 10..)),
        tasks_per_second: tasks as f64 / elapsed.as_secs_f64(),
    }
}

/// A task of 256 bytes: the size is checked, so that the floor carries as many.
fn task(number: usize) -> TrainingTask {
    let params = Params { lr: number as f64, momentum: 0.5, decay: 0.25, note: "x".repeat(112) };
    TrainingTask::new(format!("task-{number:08}"), "multilayer-perceptron")
        .params(&params)
        .expect("msgpack takes any struct")
        .max_epochs(20)
}

/// A wrong answer fails the run.
fn check(delivery: u64, ending: &Ending) {
    let Ending::Succeeded { metrics } = ending else {
        panic!("delivery {delivery} ended as {ending:?}");
    };
    let expected = Scalar::Number((delivery - 1) as f64 + 0.75);
    assert_eq!(metrics.as_slice(), [("sum".to_owned(), expected)], "delivery {delivery}");
}

/// On a disk, so that the journal's share is real; `/tmp` may be memory.
fn scratch() -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    std::fs::create_dir_all(&folder).expect("the target folder");
    folder
}
