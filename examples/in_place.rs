//! Data that is produced where the trainer reads it: a scheduler fills a matrix of 64 MiB, or as many as
//! it is told, and NumPy in another process sees it without a copy between.
//!
//! cargo run --release -p trainwire --example in_place -- 256
// The clock of the library is its own.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use trainwire::record::{Ending, Metrics, Record, Scalar, Seq};
use trainwire::{Config, EventStream, Job, Orchestrator, TaskBuffer, TrainingTask, What};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(64), |size| size.parse())?;
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/in_place.py");

    let orchestrator = Orchestrator::start(Config::default()).await?;
    // Open, so that the trainer is there, with NumPy imported, before the data is.
    let job = Job::new(&format!("in-place-{}", std::process::id()))?.command([&python, script]).open();
    let warm_up = TrainingTask::new("warm-up", "mean").hyperparams([0; 4]);
    let job = orchestrator.submit(job.task(warm_up)).await?;
    let mut events = job.events_since(Seq::START);
    result(&mut events).await?;

    for round in 1..=3 {
        let task_id = format!("matrix-{round}");
        let begun = Instant::now();
        let mut buffer = TaskBuffer::new(&task_id, "mean", mib << 20)?;
        let allocated = begun.elapsed();
        for (number, place) in buffer.as_mut_slice().chunks_exact_mut(4).enumerate() {
            place.copy_from_slice(&((number % 256) as f32).to_le_bytes());
        }
        let filled = begun.elapsed() - allocated;
        let filled_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();

        job.submit(buffer.finish()?).await?;
        let found = result(&mut events).await?;
        println!(
            "{task_id}: {mib} MiB allocated in {allocated:.1?}, filled in {filled:.1?}; \
             an array in the trainer {:.1} ms later, its mean is {}",
            (number(&found, "seen_at")? - filled_at) * 1e3,
            number(&found, "mean")?,
        );
    }
    job.close().await?;
    job.outcome().await?;
    orchestrator.shutdown().await;
    Ok(())
}

/// That of the next task that ends.
async fn result(events: &mut EventStream) -> Result<Metrics, String> {
    while let Some(event) = events.next().await {
        if let What::Record(Record::Ended { ending, .. }) = event.what {
            return match *ending {
                Ending::Succeeded { metrics } => Ok(metrics),
                other => Err(format!("{other:?}")),
            };
        }
    }
    Err("the job ended without a result".to_owned())
}

fn number(metrics: &Metrics, name: &str) -> Result<f64, String> {
    match metrics.iter().find(|(found, _)| found == name) {
        Some((_, Scalar::Number(number))) => Ok(*number),
        _ => Err(format!("the result has no number {name}")),
    }
}
