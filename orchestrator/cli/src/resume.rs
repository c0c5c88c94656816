//! `trainwire resume` of a run: what was stopped or given up in `.trainwire/JOB` goes on, here and to its end. (Of a job
//! of the daemon it is a request: see `client`.)

use std::path::PathBuf;
use std::time::SystemTime;

use trainwire::{Archive, Config, JobId, Orchestrator, SubmitError};

use crate::args::RetryArgs;
use crate::board::Board;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::run;
use crate::state;
use crate::view::View;
use crate::view::paint::ColorChoice;
use crate::view::words;

/// The folder of the run that is meant; `None` where it is for the daemon.
pub(crate) fn folder(args: &RetryArgs) -> Option<PathBuf> {
    if args.daemon.state.is_some() {
        return None;
    }
    state::newest(&args.job).filter(|folder| Archive::is_at(folder))
}

/// Goes on with a run to its end.
pub(crate) fn resume(args: &RetryArgs, folder: PathBuf) -> Result<Exit, Failure> {
    let view = View::new(args.daemon.json, false, ColorChoice::Auto);
    run::in_runtime(go_on(args, folder, view))
}

async fn go_on(args: &RetryArgs, folder: PathBuf, mut view: View) -> Result<Exit, Failure> {
    let interrupts =
        Interrupts::listen().map_err(|error| run::could_not_start(format!("no signals: {error}")))?;
    let state_dir = state::absolute(&folder)?;
    let config = Config { state_dir: Some(state_dir.clone()), ..Config::default() };
    let orchestrator =
        Orchestrator::start(config).await.map_err(|error| run::could_not_start(error.to_string()))?;
    let job = orchestrator.job(&args.job).await.map_err(|error| run::could_not_start(error.to_string()))?;
    let Some(job) = job else {
        return Err(run::could_not_start(format!("{} has no job {}", folder.display(), args.job)));
    };
    if !args.limits.clone().said().is_empty() {
        job.change_limits(|spec| args.limits.apply_to(spec)).await.map_err(refused)?;
    }
    let tasks: Vec<&str> = args.tasks.iter().map(String::as_str).collect();
    let again = job.retry(&tasks).await.map_err(refused)?;
    let taken_up = orchestrator.taken_up().contains(&args.job);
    if again == 0 && !taken_up {
        view.say(&nothing_left(&args.job));
        return Ok(Exit::Succeeded);
    }
    let spec = job.status().await.map_err(|error| run::could_not_start(error.to_string()))?.spec;
    let board = Board::of_job(&spec, &state_dir, SystemTime::now());
    view.say(&format!("Going on with {}: {} waiting again.", args.job, words::count(again, "task")));
    let grace = spec.stop_grace + spec.term_grace;
    run::to_its_end(&orchestrator, &job, board, view, interrupts, grace).await
}

fn nothing_left(job: &JobId) -> String {
    format!("{job}: nothing to go on with; no task is dead or stopped. `trainwire results {job}` shows them")
}

fn refused(error: SubmitError) -> Failure {
    let exit = if error.is_backpressure() { Exit::CouldNotStart } else { Exit::Usage };
    Failure::new(exit, format!("{error} ({})", error.code()))
}
