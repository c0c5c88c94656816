//! The daemon, and the verbs that ask it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use trainwire::JobId;

use super::job::JobArgs;
use crate::duration;
use crate::limits::Limits;

/// Run the daemon: jobs that outlive the terminal
#[derive(Args, Debug)]
#[command(long_about = SERVE_ABOUT)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,

    /// Folder of the jobs' sockets
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub(crate) socket_dir: PathBuf,

    /// What --gpus of jobs is taken from: names as CUDA_VISIBLE_DEVICES takes them [default: the GPUs trainwire sees]
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub(crate) slots: Option<Vec<String>>,

    /// On SIGTERM ask all trainers to stop, and wait for their checkpoints, instead of leaving them to run until the next start
    #[arg(long)]
    pub(crate) stop_trainers: bool,
}

/// Which daemon.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonArgs {
    /// The daemon's folder [default: $TRAINWIRE_STATE, else $XDG_STATE_HOME/trainwire, else ~/.local/state/trainwire]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Give the daemon a job; returns when it is on the disk
#[derive(Args, Debug)]
#[command(
    override_usage = "trainwire submit [OPTIONS] SPEC.toml\n       \
                      trainwire submit [OPTIONS] [--grid NAME=V1,V2]... [--param NAME=V]... -- COMMAND...",
    long_about = SUBMIT_ABOUT,
)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// List the daemon's jobs, and what those that wait wait for
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Those that have ended, too
    #[arg(long, short)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Show a job, or one task of it
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) what: What,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Show what a task's trainers wrote
#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) what: What,

    /// Go on until the task has ended, across its attempts
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Only this attempt: 1, 2, … [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt: Option<u32>,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Wait for the end of a job, or of one task; the exit code says how it ended
#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) what: What,

    /// At most so long; exit code 124 then
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Stop a job, or one task; returns when it has ended
#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) what: What,

    /// For good: the work is not wanted any more, so no checkpoint is waited for
    #[arg(long)]
    pub(crate) cancel: bool,

    /// SIGKILL at once instead of asking
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) kill: bool,

    /// One task, because what it has reported is not worth its time: no failure of the job, and not tried again by `retry` unless it is named
    #[arg(long, requires = "task", conflicts_with_all = ["cancel", "kill"])]
    pub(crate) prune: bool,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Try tasks again that were given up or stopped, from their newest checkpoint
#[derive(Args, Debug)]
#[command(long_about = RETRY_ABOUT)]
pub(crate) struct RetryArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) job: JobId,

    /// Some of its tasks, by id [default: all that are dead or stopped]
    #[arg(value_name = "TASK")]
    pub(crate) tasks: Vec<String>,

    #[command(flatten)]
    pub(crate) limits: Limits,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Show what a task's trainer is doing: the Python stacks of all its threads, which also go into its log
#[derive(Args, Debug)]
pub(crate) struct StackArgs {
    #[command(flatten)]
    pub(crate) what: What,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// List tasks that were given up, with how each attempt ended
#[derive(Args, Debug)]
pub(crate) struct DeadLettersArgs {
    /// Only of this job
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<JobId>,

    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// A job, or one of its tasks.
#[derive(Args, Clone, Debug)]
pub(crate) struct What {
    /// The job's id
    #[arg(value_name = "JOB")]
    pub(crate) job: JobId,

    /// One of its tasks, by id
    #[arg(value_name = "TASK")]
    pub(crate) task: Option<String>,
}

const SERVE_ABOUT: &str = "\
Run the daemon: it takes jobs from `trainwire submit`, also those that outlive the terminal, and answers \
the other verbs. It listens on STATE/control.sock, for its own user alone, and speaks HTTP and JSON there: \
curl --unix-socket STATE/control.sock http://trainwire/v1/jobs

SIGTERM and SIGINT end it: no more is taken, what was decided is committed, and trainers go on by \
themselves until the next start takes them back, at most for their job's orphan_timeout; with --stop-trainers they \
are stopped first. A second signal kills them.

Under systemd it says when it is ready and that it is alive (Type=notify, WatchdogSec=).";

const RETRY_ABOUT: &str = "\
Try tasks again that were given up (dead letters) or stopped. They get new budgets and go on from their newest \
checkpoint, in the same work folder; attempts go on to be counted. Limits that are given hold for the whole job from now on.

A job of `trainwire run`, in .trainwire of this folder, goes on here and to its end, as `run` shows it. A job of the \
daemon goes on there: the command returns when that is on the disk.";

const SUBMIT_ABOUT: &str = "\
Give the daemon a job; returns when it is on the disk. The same id with the same limits and tasks again \
changes nothing; with others it is refused (job_conflict).

The command runs in the current folder, with PATH, PYTHONPATH, VIRTUAL_ENV, CONDA_PREFIX and \
LD_LIBRARY_PATH as they are here; everything else of the environment is the daemon's.";
