//! Starting a trainer: its own process group, output to a file, and words for everything that
//! keeps a command from starting.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use trainwire_protocol::id::{JobId, Token};
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::{PidFd, ProcessIdentity};

use super::mark::{self, Mark};
use super::{Log, StartedBy, TrainerProcess, error_file, oom, params};
use crate::job::JobSpec;
use crate::record::Exit;
use crate::template;

/// What to start.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) job_id: JobId,
    pub(crate) spec: Arc<JobSpec>,
    pub(crate) token: Token,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
    /// What it has for itself alone.
    pub(crate) slots: Vec<String>,
    /// Script jobs: what the process is started for.
    pub(crate) script: Option<ScriptTask>,
}

/// The task of a process that need not know trainwire.
#[derive(Debug)]
pub(crate) struct ScriptTask {
    pub(crate) task: VerifiedTask,
    pub(crate) attempt: u32,
    pub(crate) work: PathBuf,
}

/// Starts it. Blocks until the program has replaced the fork, or could not.
///
/// # Errors
/// [`Exit::NotStarted`], in words for the person who wrote the command.
pub(crate) fn spawn(order: &Order) -> Result<(TrainerProcess, ProcessIdentity), Exit> {
    let Some((program, arguments)) = order.spec.command.split_first() else {
        return Err(hopeless("the job has no command".to_owned()));
    };
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0);
    // Of a trainer this orchestrator may itself be started by.
    for name in
        [SLOTS, "TRAINWIRE_SOCKET", "TRAINWIRE_TOKEN", "TRAINWIRE_JOB_ID"].iter().chain(SCRIPT_VARIABLES)
    {
        command.env_remove(name);
    }
    command.envs(&order.spec.environment);
    command.env("TRAINWIRE_SOCKET", &order.socket);
    command.env("TRAINWIRE_TOKEN", order.token.to_hex());
    command.env("TRAINWIRE_JOB_ID", order.job_id.as_str());
    if !order.slots.is_empty() {
        command.env(SLOTS, order.slots.join(","));
    }
    if order.spec.gpus > 0 {
        command.env("CUDA_VISIBLE_DEVICES", order.slots.join(","));
    }
    let mark = Mark::of(&order.token);
    command.env(mark::VARIABLE, mark.to_hex());
    if !order.spec.environment.contains_key(ERROR_FILE) {
        command.env(ERROR_FILE, error_file::beside(&order.log));
    }
    for (name, value) in DEFAULTS {
        if !order.spec.environment.contains_key(name) && std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    match &order.script {
        Some(script) => add_script(&mut command, arguments, script)?,
        None => {
            command.args(arguments);
        }
    }
    if let Some(folder) = &order.spec.working_dir {
        // The kernel's error for a missing folder reads like that for a missing program.
        match folder.metadata() {
            Ok(found) if found.is_dir() => command.current_dir(folder),
            Ok(_) => return Err(hopeless(format!("the working_dir {folder:?} is not a folder"))),
            Err(error) => {
                return Err(not_started(
                    &error,
                    format!("the working_dir {folder:?} cannot be used: {error}"),
                ));
            }
        };
    }
    let log = Log::create(&order.log).and_then(|log| {
        command.stdout(log.stdio()?).stderr(log.stdio()?);
        Ok(log)
    });
    let log = log.map_err(|error| this_time(format!("the log {:?} cannot be opened: {error}", order.log)))?;

    let child =
        command.spawn().map_err(|error| not_started(&error, explain(program, &order.spec, &error)))?;
    own(child, log, mark)
        .map_err(|error| this_time(format!("{program} was started but cannot be watched: {error}")))
}

/// Whether another try can help, as far as the operating system's error tells.
fn not_started(why: &io::Error, error: String) -> Exit {
    let kinds = [
        io::ErrorKind::NotFound,
        io::ErrorKind::NotADirectory,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ArgumentListTooLong,
    ];
    Exit::NotStarted { error, hopeless: kinds.contains(&why.kind()) }
}

fn hopeless(error: String) -> Exit {
    Exit::NotStarted { error, hopeless: true }
}

fn this_time(error: String) -> Exit {
    Exit::NotStarted { error, hopeless: false }
}

/// A child that was not reaped yet has its pid for itself, so it is it that is opened. Dropping the
/// `Child` neither waits nor kills.
fn own(mut child: Child, log: Log, mark: Mark) -> io::Result<(TrainerProcess, ProcessIdentity)> {
    let watched = PidFd::open(child.id()).and_then(|pidfd| Ok((pidfd, ProcessIdentity::of(child.id())?)));
    let (pidfd, identity) = match watched {
        Ok(watched) => watched,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    oom::begin_counting();
    Ok((TrainerProcess::leader(pidfd, StartedBy::Us, log, mark), identity))
}

/// What a process that need not know trainwire is told of its task: in its arguments, where they ask for it,
/// and in its environment.
fn add_script(command: &mut Command, arguments: &[String], script: &ScriptTask) -> Result<(), Exit> {
    let task = &script.task;
    let params = params::to_json(task.hyperparams()).map_err(|error| {
        this_time(format!("the hyperparameters of {:?} cannot be given as JSON: {error}", task.task_id()))
    })?;
    std::fs::create_dir_all(&script.work)
        .map_err(|error| this_time(format!("the work folder {:?} cannot be made: {error}", script.work)))?;
    for argument in arguments {
        let filled = template::fill(argument, |name| {
            template::parameter(&params, name).or_else(|| match name {
                "task_id" => Some(task.task_id().to_owned()),
                "model_name" => Some(task.model_name().to_owned()),
                "max_epochs" => Some(task.max_epochs().to_string()),
                "attempt" => Some(script.attempt.to_string()),
                "workdir" => Some(script.work.to_string_lossy().into_owned()),
                _ => None,
            })
        });
        command.arg(filled.map_err(|name| {
            hopeless(format!(
                "the argument {argument:?} names {name:?}, which is no parameter of task {:?}; write {{{{{name}}}}} for the text itself",
                task.task_id()
            ))
        })?);
    }
    command
        .env("TRAINWIRE_PARAMS", Value::Object(params).to_string())
        .env("TRAINWIRE_TASK_ID", task.task_id())
        .env("TRAINWIRE_MODEL_NAME", task.model_name())
        .env("TRAINWIRE_MAX_EPOCHS", task.max_epochs().to_string())
        .env("TRAINWIRE_ATTEMPT", script.attempt.to_string())
        .env("TRAINWIRE_WORKDIR", &script.work);
    Ok(())
}

/// The operating system says "No such file or directory" for a missing program, and for an existing
/// one whose interpreter is missing.
fn explain(program: &str, spec: &JobSpec, error: &io::Error) -> String {
    if error.raw_os_error() == Some(E2BIG) {
        return format!(
            "{program} was not started: arguments and environment are too long ({error}); pass large parameters through the socket instead"
        );
    }
    if program.contains('/') {
        let folder = spec.working_dir.as_deref().unwrap_or(Path::new(""));
        return match folder.join(program).metadata() {
            Err(missing) => format!("{program} was not started: {missing}"),
            Ok(found) if found.is_dir() => format!("{program} is a folder, not a program"),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                format!("{program} is not executable; chmod +x it, or start it through its interpreter")
            }
            Ok(_) if error.kind() == io::ErrorKind::NotFound => {
                format!("the interpreter in the first line of {program} does not exist")
            }
            Ok(_) => format!("{program} was not started: {error}"),
        };
    }
    let path = spec.environment.get("PATH").map(OsString::from).or_else(|| std::env::var_os("PATH"));
    let path = path.unwrap_or_default();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{program} was not found in PATH ({}); correct its name, or activate the environment that has it",
            path.to_string_lossy()
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "{program} was found in PATH ({}) only where it is not executable",
                path.to_string_lossy()
            )
        }
        _ => format!("{program} was not started: {error}"),
    }
}

const ERROR_FILE: &str = "TORCHELASTIC_ERROR_FILE";
const SLOTS: &str = "TRAINWIRE_SLOTS";

const SCRIPT_VARIABLES: &[&str] = &[
    "TRAINWIRE_PARAMS",
    "TRAINWIRE_TASK_ID",
    "TRAINWIRE_MODEL_NAME",
    "TRAINWIRE_MAX_EPOCHS",
    "TRAINWIRE_ATTEMPT",
    "TRAINWIRE_WORKDIR",
];

/// Linux, every architecture.
const E2BIG: i32 = 7;

/// What a trainer finds unless it is set. tqdm draws its bar anew ten times a second, which nobody sees in a log, and
/// would fill it.
const DEFAULTS: [(&str, &str); 3] =
    [("PYTHONUNBUFFERED", "1"), ("PYTHONFAULTHANDLER", "1"), ("TQDM_MININTERVAL", "5")];
