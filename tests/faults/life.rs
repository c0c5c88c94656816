//! A life of an orchestrator that tests kill, starve and follow: it submits what it submits in every life, says a
//! line to standard output for each promise it was given, and ends when everything is over.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use trainwire::{Config, Job, Orchestrator, OrchestratorError, SubmitError, TrainingTask};

use crate::reader::Promise;
use crate::told;

/// The command of one life in this folder.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "life::a_life", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder);
    command
}

/// What clients were told in it.
pub(crate) fn promises(output: &Output) -> Vec<Promise> {
    String::from_utf8_lossy(&output.stdout).lines().filter_map(told::promise).collect()
}

/// Of jobs that trainers outside work off.
pub(crate) const ATTACHED: &str = "attached";

/// What tasks are full of.
pub(crate) const BYTE: u8 = 7;

/// How it ends, beside 0 for everything over and 101 for a panic.
pub(crate) const NOT_STARTED: i32 = 3;
pub(crate) const JOURNAL_FAILED: i32 = 4;

#[tokio::test]
#[ignore = "run by the other tests"]
async fn a_life() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let config =
        Config { state_dir: Some(folder.join("state")), socket_dir: folder.clone(), ..Config::default() };
    let orchestrator = match Orchestrator::start(config).await {
        Ok(orchestrator) => orchestrator,
        Err(error) => end(NOT_STARTED, &format!("{}: {error}", error.code())),
    };
    if let Err(error) = live(&orchestrator).await {
        let code = match error {
            SubmitError::Orchestrator(OrchestratorError::Journal { .. }) => JOURNAL_FAILED,
            _ => 5,
        };
        end(code, &format!("{}: {error}", error.code()));
    }
    orchestrator.shutdown().await;
    end(0, "over");
}

async fn live(orchestrator: &Orchestrator) -> Result<(), SubmitError> {
    let task = |id: &str, size: usize| TrainingTask::new(id, "m").hyperparams(vec![BYTE; size]);
    let make = |id: &str| Job::new(id).expect("an id");
    let mut attached = make(ATTACHED).attach(true).open().window(2);
    attached.spec.max_losses = 100;
    attached.spec.recv_timeout = Duration::from_millis(500);
    attached.spec.lost_timeout = Duration::from_secs(2);
    attached.spec.backoff_min = Duration::from_millis(1);
    attached.spec.backoff_max = Duration::from_millis(5);
    let attached = attached.task(task("small", 10)).task(task("large", 100_000));
    let attached = again(|| orchestrator.submit(attached.clone())).await?;
    say("told: submitted attached small large");
    let mut script = make("script").command(["/bin/sh", "-c", "exit 0"]).script(true);
    script.spec.max_losses = 100;
    script.spec.max_failures = 100;
    script.spec.backoff_min = Duration::from_millis(1);
    script.spec.backoff_max = Duration::from_millis(5);
    let script = script.tasks(["s", "t"].map(|id| TrainingTask::new(id, "m")));
    let script = again(|| orchestrator.submit(script.clone())).await?;
    say("told: submitted script s t");
    for (id, size) in [("more", 2_000), ("and-more", 70_000), ("one-more", 10), ("last", 100)] {
        again(|| attached.submit(task(id, size))).await?;
        say(&format!("told: added attached {id}"));
    }
    attached.close().await?;
    attached.outcome().await?;
    script.outcome().await?;
    Ok(())
}

/// Until it is not for want of room.
async fn again<T, F: Future<Output = Result<T, SubmitError>>>(
    mut submit: impl FnMut() -> F,
) -> Result<T, SubmitError> {
    loop {
        match submit().await {
            // Told so in an earlier life: the job has closed.
            Err(error) if error.is_backpressure() => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return other,
        }
    }
}

/// Whether anybody reads it or not.
fn say(line: &str) {
    let _ = told::say(line);
}

fn end(code: i32, why: &str) -> ! {
    say(why);
    std::process::exit(code);
}

/// Where a life is lived.
const FOLDER: &str = "TRAINWIRE_TEST_FOLDER";
