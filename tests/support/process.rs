//! An orchestrator that can be killed: `orchestrator-process STATE_DIR SOCKET_DIR JOB…`, each job a file with
//! its limits and the ids of its tasks. It submits the jobs, says `ready`, waits for their ends, and says what
//! became of each task.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use trainwire::{Config, Job, JobSpec, Orchestrator, TaskEnd, TrainingTask};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(state_dir), Some(socket_dir)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let config =
        Config { state_dir: Some(state_dir.into()), socket_dir: socket_dir.into(), ..Config::default() };
    let orchestrator = match Orchestrator::start(config).await {
        Ok(orchestrator) => orchestrator,
        Err(error) => {
            say(error.code());
            return ExitCode::FAILURE;
        }
    };
    let mut jobs = Vec::new();
    for path in arguments {
        jobs.push(orchestrator.submit(read(Path::new(&path))).await.expect("a job that is taken"));
    }
    say("ready");
    for job in jobs {
        for task in job.outcome().await.expect("the orchestrator lives").tasks {
            let end = match &task.state {
                TaskEnd::Succeeded { .. } => "succeeded".to_owned(),
                TaskEnd::Dead { cause, .. } => format!("dead: {cause}"),
                other => format!("{other:?}"),
            };
            say(&format!("{} {} {} {end}", job.id(), task.task_id, task.attempts));
        }
    }
    orchestrator.shutdown().await;
    say("over");
    ExitCode::SUCCESS
}

fn read(path: &Path) -> Job {
    let text = fs::read(path).expect("a job's file");
    let (spec, tasks): (JobSpec, Vec<(String, usize)>) = serde_json::from_slice(&text).expect("a job");
    let task = |(id, size): (String, usize)| TrainingTask::new(id, "model").hyperparams(vec![7; size]);
    Job::from_spec(spec).tasks(tasks.into_iter().map(task))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens to one whose test is over.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
