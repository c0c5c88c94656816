//! The command line.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use trainwire::{Durability, JobId};

use crate::exit::EXIT_CODES_HELP;
use crate::grid::{self, Axis};
use crate::limits::Limits;
use crate::view::paint::ColorChoice;

/// Hands training tasks to Python trainers on this machine, and loses none.
#[derive(Debug, Parser)]
#[command(name = "trainwire", version, arg_required_else_help = true, styles = STYLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<RunArgs>),
}

/// Run a job: from a spec, or from a command and a grid of parameters
#[derive(Args, Debug)]
#[command(
    override_usage = "trainwire run [OPTIONS] SPEC.toml\n       \
                      trainwire run [OPTIONS] [--grid NAME=V1,V2]... [--param NAME=V]... -- COMMAND...\n       \
                      trainwire run [OPTIONS] --hyperparams-file PATH -- COMMAND...\n       \
                      trainwire run [OPTIONS] --attach",
    long_about = RUN_ABOUT,
    after_help = "`trainwire run --help` says more: parameters, output, environment, exit codes.",
    after_long_help = format!("{RUN_AFTER}\n\n{EXIT_CODES_HELP}"),
)]
pub(crate) struct RunArgs {
    /// A job written down in TOML; its keys are the flags below, and [grid] and [[task]]
    #[arg(value_name = "SPEC.toml", conflicts_with_all = ["command", "grid", "param", "hyperparams_file", "model_name", "max_epochs"])]
    pub(crate) spec: Option<PathBuf>,

    /// The trainer: a program that uses trainwire, or any other
    #[arg(last = true, value_name = "COMMAND", required_unless_present_any = ["spec", "attach"])]
    pub(crate) command: Vec<String>,

    /// Values of a parameter; every combination of all grids is a task
    #[arg(long, value_name = "NAME=V1,V2", value_parser = grid::parse_axis, help_heading = "Tasks")]
    pub(crate) grid: Vec<Axis>,

    /// A parameter of every task
    #[arg(long, value_name = "NAME=V", value_parser = grid::parse_param, help_heading = "Tasks")]
    pub(crate) param: Vec<(String, toml::Value)>,

    /// The hyperparameters of one task, byte for byte, instead of parameters: a file, a FIFO, or - for standard input. COMMAND has to use trainwire
    #[arg(long, value_name = "PATH", conflicts_with_all = ["grid", "param"], help_heading = "Tasks")]
    pub(crate) hyperparams_file: Option<String>,

    /// Epochs of every task [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Tasks")]
    pub(crate) max_epochs: Option<i32>,

    /// The tasks' model_name [default: the script's name]
    #[arg(long, value_name = "NAME", help_heading = "Tasks")]
    pub(crate) model_name: Option<String>,

    /// The job's name, in its socket and folder [default: the script's name, the time in UTC and four random digits]
    #[arg(long, value_name = "ID", help_heading = "Job")]
    pub(crate) job_id: Option<JobId>,

    /// Let trainers started by hand join; without a COMMAND they are the only ones
    #[arg(long, help_heading = "Job")]
    pub(crate) attach: bool,

    /// Folder of the journal, the logs and the trainers' files [default: .trainwire/JOB_ID, with -2 and so on where that exists]. A run that was killed there goes on
    #[arg(long, value_name = "DIR", help_heading = "Job")]
    pub(crate) state: Option<PathBuf>,

    /// Whether tasks above 64 KiB are written to the state folder before the job starts [default: durable]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Job")]
    pub(crate) durability: Option<DurabilityChoice>,

    /// Folder of the job's socket
    #[arg(long, value_name = "DIR", default_value = "/tmp", help_heading = "Job")]
    pub(crate) socket_dir: PathBuf,

    /// What --gpus is taken from: names as CUDA_VISIBLE_DEVICES takes them [default: the GPUs trainwire sees]
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', help_heading = "Job")]
    pub(crate) slots: Option<Vec<String>>,

    #[command(flatten)]
    pub(crate) limits: Limits,

    /// Write one event a line to standard output, as JSON; the rest goes to standard error
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Say nothing but what went wrong
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// When to colour
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = false,
        help_heading = "Output"
    )]
    pub(crate) color: ColorChoice,
}

/// [`Durability`], in words of the command line and the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityChoice {
    /// They are, and survive trainwire
    Durable,
    /// They are not, and a restart ends those that are unfinished as payload_lost
    Volatile,
}

impl From<DurabilityChoice> for Durability {
    fn from(choice: DurabilityChoice) -> Self {
        match choice {
            DurabilityChoice::Durable => Self::Durable,
            DurabilityChoice::Volatile => Self::Volatile,
        }
    }
}

const RUN_ABOUT: &str = "\
Run a job: from a spec, or from a command and a grid of parameters.

Each task is handed to a trainer, a process running COMMAND. A trainer that uses the Python package \
trainwire works off many tasks one after another, reports its metrics, and can be asked to stop. Any \
other program works as well: it is started once for each task, finds the parameters as JSON in \
TRAINWIRE_PARAMS, and its exit code is the outcome.

Relative paths are relative to the current folder, also those in a spec; COMMAND runs there too, \
unless the spec sets working_dir. The flags under Limits go before what a spec says.";

const RUN_AFTER: &str = "\
Examples:
  trainwire run sweep.toml
  trainwire run --grid lr=0.1,0.01 --grid depth=2,4 --trainers 2 -- python train.py
  trainwire run --json --param lr=0.1 -- ./train.sh | jq 'select(.event == \"ended\")'
  generate | trainwire run --hyperparams-file - -- python train.py
  trainwire run --attach --param lr=0.1     # then start the trainer yourself, e.g. in a debugger

A spec:
  command = [\"python\", \"train.py\"]
  trainers = 2
  stop_grace = \"1m\"
  [defaults]
  max_epochs = 20
  params = { momentum = 0.9 }
  [grid]
  lr = [0.1, 0.01]
  [[task]]
  task_id = \"baseline\"
  params = { lr = 0.5 }

Parameters: a value is a whole number, a number, true or false, else text; \"3\" in double quotes is text.

Durations: 250ms, 5s, 10m, 1h30m.

Interrupting: the first Ctrl-C asks the trainers to stop and waits for their checkpoints, at most \
stop_grace and term_grace; the second kills them. SIGTERM and SIGHUP do the same.

Environment of a trainer:
  TRAINWIRE_SOCKET, TRAINWIRE_TOKEN, TRAINWIRE_JOB_ID
  TRAINWIRE_TRAINER, by which its children are known and killed with it
  TORCHELASTIC_ERROR_FILE, unless the spec sets it: what torchrun writes there is the cause that is shown
  With --gpus also TRAINWIRE_SLOTS and CUDA_VISIBLE_DEVICES
  Without a spec and --hyperparams-file, or with script = true in a spec, also TRAINWIRE_PARAMS, TRAINWIRE_TASK_ID,
  TRAINWIRE_MODEL_NAME, TRAINWIRE_MAX_EPOCHS, TRAINWIRE_ATTEMPT, TRAINWIRE_WORKDIR

Environment of trainwire:
  NO_COLOR       no colours, unless --color says otherwise
  TRAINWIRE_LOG  what to log, e.g. debug or trainwire=trace [default: warn]";

/// Bold headings, nothing loud.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::White.on_default().bold())
    .usage(AnsiColor::White.on_default().bold())
    .literal(AnsiColor::Green.on_default());

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_spec_and_a_command_exclude_each_other() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("trainwire run a.toml").is_ok());
        assert!(parse("trainwire run --grid lr=1,2 --param a=b -- python train.py --lr 3").is_ok());
        assert!(parse("trainwire run --attach").is_ok());
        assert!(parse("trainwire run").is_err());
        assert!(parse("trainwire run a.toml -- python").is_err());
        assert!(parse("trainwire run a.toml --grid lr=1,2").is_err());
        assert!(parse("trainwire run --hyperparams-file - -- python train.py").is_ok());
        assert!(parse("trainwire run --hyperparams-file a --param b=1 -- python train.py").is_err());
        assert!(parse("trainwire run --job-id ../x -- python").is_err());
        assert!(parse("trainwire run --stop-grace 5 -- python").is_err());
    }
}
