//! A scheduler of one's own: submits a sweep, follows it, prints what came out.
//!
//! cargo run -p trainwire --example embed
#![allow(clippy::print_stdout)]

use serde::Serialize;
use trainwire::record::{Record, Seq};
use trainwire::{Config, Job, Orchestrator, TaskEnd, TrainingTask, What};

#[derive(Serialize)]
struct Settings {
    lr: f64,
    hidden: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits.py");

    // Without a state folder the journal is in memory, and nothing is left behind.
    let orchestrator = Orchestrator::start(Config::default()).await?;
    let mut job = Job::new(&format!("embed-{}", std::process::id()))?.command([&python, script]).trainers(2);
    for lr in [0.01, 0.003, 0.001] {
        let settings = Settings { lr, hidden: 64 };
        job = job.task(TrainingTask::new(format!("lr={lr}"), "mlp").params(&settings)?.max_epochs(5));
    }
    let job = orchestrator.submit(job).await?;
    println!("job {} on {}", job.id(), job.socket_path().display());

    let mut events = job.events_since(Seq::START);
    while let Some(event) = events.next().await {
        let task = event.task.as_deref().unwrap_or("-");
        match event.what {
            What::Record(Record::Started { .. }) => println!("{task}: started"),
            What::Progress(report) => println!("{task}: {:?} = {:?}", report.names, report.values),
            _ => {}
        }
    }

    for task in job.outcome().await?.tasks {
        match task.state {
            TaskEnd::Succeeded { metrics } => {
                println!("{}: {metrics:?} in {:?}", task.task_id, task.duration)
            }
            TaskEnd::Dead { cause, log_tail, .. } => println!("{}: {cause}\n{log_tail}", task.task_id),
            other => println!("{}: {other:?}", task.task_id),
        }
    }
    orchestrator.shutdown().await;
    Ok(())
}
