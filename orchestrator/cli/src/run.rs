//! `trainwire run`: an orchestrator for one job, in this process.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use trainwire::job::StopReason;
use trainwire::record::Seq;
use trainwire::{Job, JobHandle, Orchestrator, OrchestratorError, SubmitError, TrainingTask};

use crate::args::RunArgs;
use crate::board::Board;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::place::Place;
use crate::plan::{Hyperparams, Plan, PlannedTask};
use crate::random;
use crate::ranking::Ranking;
use crate::state;
use crate::view::View;
use crate::view::paint::Paint;
use crate::view::words;

/// Runs a job to its end.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let plan = Plan::new(&args.job, Paint::new(args.color, &io::stderr()))?;
    let view = View::new(args.json, args.quiet, args.color);
    in_runtime(run_job(args, plan, view))
}

/// Does it with an orchestrator beside it.
pub(crate) fn in_runtime(job: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    // The view writes on this thread, and a terminal can make it wait (Ctrl-S); the orchestrator has
    // a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| could_not_start(format!("no threads: {error}")))?;
    runtime.block_on(job)
}

async fn run_job(args: &RunArgs, mut plan: Plan, mut view: View) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen().map_err(|error| could_not_start(format!("no signals: {error}")))?;
    let place = Place::find(args, &mut plan).await?;
    let goes_on = place.goes_on(&plan);
    let Place { orchestrator, state_dir, earlier } = place;
    if let (true, Some(job), Some(_)) = (goes_on, &earlier, plan.seed) {
        plan = drawn_again(args, plan, job).await?;
    }
    if let Some(job) = earlier.as_ref().filter(|_| !goes_on) {
        return Err(already_run(job));
    }
    let mut board = Board::of_job(&plan.spec, &state_dir, SystemTime::now());
    let said = Ranking::new(args.maximize.as_deref(), args.minimize.as_deref());
    board.ranking = said.or_else(|| plan.ranking.take());
    let grace = plan.spec.stop_grace + plan.spec.term_grace;
    let attach = plan.spec.attach;
    let seed = plan.seed;
    let (tasks, trainers) = (plan.tasks.len(), plan.spec.trainers as usize);
    let submitted = orchestrator.submit(job(plan)?).await;
    let job = submitted
        .map_err(|error| if goes_on { not_the_same(&error, &state_dir) } else { not_submitted(error) })?;
    if goes_on {
        view.say(&going_on(&job));
    }
    if let Some(seed) = seed {
        view.say(&format!("The samples were drawn with --seed {seed}."));
    }
    view.open(&format!(
        "{}: {} for {}",
        job.id(),
        words::count(tasks, "task"),
        words::count(trainers, "trainer")
    ));
    if attach {
        view.say(&format!(
            "Start a trainer with:\n\n    TRAINWIRE_SOCKET={} python train.py\n\n",
            job.socket_path().display()
        ));
    }
    to_its_end(&orchestrator, &job, board, view, interrupts, grace).await
}

/// Shows how a job goes and what came of it.
pub(crate) async fn to_its_end(
    orchestrator: &Orchestrator,
    job: &JobHandle,
    mut board: Board,
    mut view: View,
    mut interrupts: Interrupts,
    grace: Duration,
) -> Result<Exit, Failure> {
    let watched = watch(job, &mut board, &mut view, &mut interrupts, grace).await;
    view.close(&board);
    watched?;
    job.outcome().await.map_err(ended_early)?;
    let exit = exit_of(&board);
    if let Some(cause) = board.start_failure().filter(|_| !board.interrupted) {
        return Err(could_not_start(cause));
    }
    view.table(&board, SystemTime::now());
    // In another folder `resume` would not look.
    let newest = state::newest(job.id()).and_then(|folder| state::absolute(&folder).ok());
    let found = newest.is_some_and(|folder| board.logs_dir.starts_with(folder));
    if found && board.totals().stopped > 0 {
        view.say(&format!("\nwhat was stopped goes on with: trainwire resume {}", job.id()));
    }
    orchestrator.shutdown().await;
    Ok(exit)
}

/// The samples of the run that is gone on with, which nobody had given a seed either.
async fn drawn_again(args: &RunArgs, plan: Plan, earlier: &JobHandle) -> Result<Plan, Failure> {
    let status = earlier.status().await.map_err(ended_early)?;
    let seed = status.spec.environment.get(random::SEED_VARIABLE).and_then(|seed| seed.parse().ok());
    let paint = Paint::new(args.color, &io::stderr());
    let mut again = Plan::drawn_with(&args.job, paint, seed.or(plan.seed))?;
    again.rename(&plan.job_id);
    Ok(again)
}

/// Shows what happens until the job is over.
async fn watch(
    job: &JobHandle,
    board: &mut Board,
    view: &mut View,
    interrupts: &mut Interrupts,
    grace: Duration,
) -> Result<(), Failure> {
    let mut events = job.events_since(Seq::START);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = interrupts.next() => interrupt(job, board, view, grace),
            _ = ticks.tick() => view.tick(board, SystemTime::now()),
            event = events.next() => match event {
                Some(event) if event.at < board.started_at => {
                    view.past(&event);
                    board.apply(&event);
                }
                Some(event) => {
                    view.event(&event, board);
                    board.apply(&event);
                }
                None => return Ok(()),
            },
        }
    }
}

/// Where an earlier run was cut short.
fn going_on(job: &JobHandle) -> String {
    let counts = job.counts();
    let ended = counts.succeeded + counts.cancelled + counts.stopped + counts.pruned + counts.dead;
    let tasks = ended + counts.waiting + counts.running;
    format!(
        "Going on with {}: {ended} of {} ended before; trainers that still run are taken back.",
        job.id(),
        words::count(tasks, "task")
    )
}

fn already_run(job: &JobHandle) -> Failure {
    could_not_start(format!(
        "the job {} has already run with this state folder; choose another --job-id or --state",
        job.id()
    ))
}

/// The first asks, the second kills.
fn interrupt(job: &JobHandle, board: &mut Board, view: &mut View, grace: Duration) {
    let kill = board.interrupted;
    if kill {
        view.say("Killing the trainers.");
    } else {
        board.interrupted = true;
        let again = if io::stdin().is_terminal() { "Ctrl-C again" } else { "A second signal" };
        let within = words::clock(grace);
        view.say(&format!(
            "Stopping: running tasks save a checkpoint and end, within {within}.\n{again} kills them."
        ));
    }
    let job = job.clone();
    // On a full disk the answer waits; what happens is shown meanwhile.
    tokio::spawn(async move {
        let asked = if kill { job.kill().await } else { job.stop(StopReason::Interrupted).await };
        if let Err(error) = asked {
            // The job is over, which `watch` is about to see.
            tracing::debug!(%error, "not stopped");
        }
    });
}

fn job(plan: Plan) -> Result<Job, Failure> {
    let tasks = plan.tasks.into_iter().map(training_task).collect::<Result<Vec<_>, _>>();
    let tasks = tasks.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Ok(Job::from_spec(plan.spec).tasks(tasks))
}

fn training_task(planned: PlannedTask) -> Result<TrainingTask, trainwire::BuildError> {
    let task = TrainingTask::new(planned.task_id, planned.model_name);
    let task = match planned.max_epochs {
        Some(epochs) => task.max_epochs(epochs),
        None => task,
    };
    match planned.hyperparams {
        Hyperparams::Params(params) => task.params(&params),
        Hyperparams::Read { task, .. } => Ok(task),
    }
}

fn exit_of(board: &Board) -> Exit {
    match board.totals().succeeded == board.tasks.len() {
        true => Exit::Succeeded,
        false if board.interrupted => Exit::Interrupted,
        false => Exit::TasksFailed,
    }
}

pub(crate) fn could_not_start(text: impl Into<String>) -> Failure {
    Failure::new(Exit::CouldNotStart, text)
}

/// An unfinished run can only be gone on with as it was begun.
fn not_the_same(error: &SubmitError, state_dir: &Path) -> Failure {
    let text = match error.code() {
        "job_conflict" => format!(
            "{error}; its run in {} was cut short and is not over: run it again as it was, or choose another --job-id",
            state_dir.display()
        ),
        _ => error.to_string(),
    };
    could_not_start(text)
}

/// Whose fault it is decides the exit code.
fn not_submitted(error: SubmitError) -> Failure {
    let exit = match &error {
        SubmitError::Orchestrator(OrchestratorError::Journal { .. }) => Exit::JournalFailed,
        SubmitError::Spec { .. } | SubmitError::Build(_) | SubmitError::DuplicateTask { .. } => Exit::Usage,
        _ => Exit::CouldNotStart,
    };
    Failure::new(exit, error.to_string())
}

fn ended_early(error: OrchestratorError) -> Failure {
    match error {
        OrchestratorError::Journal { .. } => Failure::new(
            Exit::JournalFailed,
            format!("{error}; its trainers go on by themselves for orphan_timeout"),
        ),
        _ => could_not_start(error.to_string()),
    }
}

/// Between two drawings of the live view: quick enough to seem live, slow enough to cost nothing.
const TICK: Duration = Duration::from_millis(100);
