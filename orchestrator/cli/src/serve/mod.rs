//! `trainwire serve`: an orchestrator that outlives the terminal, and its control socket.
//!
//! | file | what it does |
//! | --- | --- |
//! | `listen` | the socket: who may connect, how many, how slow |
//! | `routes` | which request is for whom |
//! | `submit`, `look`, `change`, `logs` | what each does |
//! | `shape` | how it is said in JSON |
//! | `error` | and how it is refused |
//! | `notify` | telling systemd |

mod change;
mod error;
mod listen;
mod logs;
mod look;
mod notify;
mod routes;
mod shape;
mod submit;

pub(crate) use change::{RetryRequest, StopRequest};
pub(crate) use submit::{JobRequest, TaskRequest};

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trainwire::{Config, Orchestrator, OrchestratorError, StartError, StopReason};

use crate::args::ServeArgs;
use crate::daemon;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::view::log::Log;
use crate::view::paint::{ColorChoice, Paint};

/// What all requests share.
pub(crate) struct Daemon {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) state_dir: PathBuf,
    /// It takes no more work.
    pub(crate) draining: AtomicBool,
}

/// Runs until it is told to end.
pub(crate) fn serve(args: &ServeArgs) -> Result<Exit, Failure> {
    Log::install(false, Paint::new(ColorChoice::Auto, &io::stderr()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| could_not_start(format!("no threads: {error}")))?;
    let exit = runtime.block_on(run(args));
    // Requests that wait are cut; the orchestrator has closed its journal by then.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    exit
}

async fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let mut interrupts =
        Interrupts::listen().map_err(|error| could_not_start(format!("no signals: {error}")))?;
    let state_dir = daemon::state_dir(args.daemon.state.as_deref())?;
    let config = Config {
        state_dir: Some(state_dir.clone()),
        socket_dir: args.socket_dir.clone(),
        slots: args.slots.clone(),
        ..Config::default()
    };
    let orchestrator = Orchestrator::start(config).await.map_err(not_started)?;
    let daemon = Arc::new(Daemon { orchestrator, state_dir, draining: AtomicBool::new(false) });
    // From here on the state folder is ours, and so is the socket in it.
    let control = listen::Control::bind(&daemon::control_path(&daemon.state_dir)).map_err(could_not_start)?;
    say(&format!("trainwire: serving on {}", control.path().display()));
    let serving = tokio::spawn(listen::serve(control, Arc::clone(&daemon)));
    notify::ready();
    let watchdog = tokio::spawn(notify::watchdog(daemon.orchestrator.clone()));

    let ended = tokio::select! {
        () = interrupts.next() => None,
        error = died(&daemon.orchestrator) => Some(error),
    };
    notify::stopping();
    daemon.draining.store(true, Ordering::Relaxed);
    if ended.is_none() && args.stop_trainers {
        say("trainwire: asking the trainers to stop; a second signal kills them");
        tokio::select! {
            () = stop_all(&daemon.orchestrator, false) => {}
            () = interrupts.next() => stop_all(&daemon.orchestrator, true).await,
        }
    }
    watchdog.abort();
    serving.abort();
    // Its end removes the socket's name.
    let _ = serving.await;
    daemon.orchestrator.shutdown().await;
    match ended {
        Some(OrchestratorError::Journal { text }) => {
            let text = format!(
                "the journal could not be written: {text}; trainers go on by themselves for orphan_timeout"
            );
            Err(Failure::new(Exit::JournalFailed, text))
        }
        Some(error) => Err(could_not_start(error.to_string())),
        None => Ok(Exit::Succeeded),
    }
}

/// Waits until the orchestrator ends by itself, which it only does when its journal fails.
async fn died(orchestrator: &Orchestrator) -> OrchestratorError {
    loop {
        if let Err(error) = orchestrator.slots().await {
            return error;
        }
        tokio::time::sleep(ALIVE_INTERVAL).await;
    }
}

/// Stops every job that has not ended, and waits until they have.
async fn stop_all(orchestrator: &Orchestrator, kill: bool) {
    let jobs = orchestrator.jobs().await.unwrap_or_default();
    for job in &jobs {
        let asked = if kill { job.kill().await } else { job.stop(StopReason::Interrupted).await };
        if let Err(error) = asked {
            tracing::warn!(job = %job.id(), %error, "not stopped");
        }
    }
    for job in &jobs {
        let _ = job.outcome().await;
    }
}

fn say(text: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn could_not_start(text: impl Into<String>) -> Failure {
    Failure::new(Exit::CouldNotStart, text)
}

fn not_started(error: StartError) -> Failure {
    could_not_start(error.to_string())
}

/// How soon a dead orchestrator is noticed.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// For threads that wait for a disk.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
