//! `trainwire run`.

use std::path::PathBuf;

use clap::Args;

use super::job::JobArgs;
use crate::exit::EXIT_CODES_HELP;
use crate::view::paint::ColorChoice;

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
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// Folder of the journal, the logs and the trainers' files [default: .trainwire/JOB_ID, with -2 and so on where that exists]. A run that was killed there goes on
    #[arg(long, value_name = "DIR", help_heading = "Job")]
    pub(crate) state: Option<PathBuf>,

    /// Folder of the job's socket
    #[arg(long, value_name = "DIR", default_value = "/tmp", help_heading = "Job")]
    pub(crate) socket_dir: PathBuf,

    /// What --gpus is taken from: names as CUDA_VISIBLE_DEVICES takes them [default: the GPUs trainwire sees]
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', help_heading = "Job")]
    pub(crate) slots: Option<Vec<String>>,

    /// Best first, by the most of this metric: a result's, else the one reported last
    #[arg(long, value_name = "METRIC", help_heading = "Output", conflicts_with = "minimize")]
    pub(crate) maximize: Option<String>,

    /// Best first, by the least of this metric
    #[arg(long, value_name = "METRIC", help_heading = "Output")]
    pub(crate) minimize: Option<String>,

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
  trainwire run --grid lr=0.1,0.01 -- python train.py --lr {lr} --out {workdir}
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

Placeholders: {name} in COMMAND's arguments stands for a parameter of the task, or for {task_id},
{model_name}, {max_epochs}, {attempt} or {workdir}. Each task then has a process of its own. {{name}} is the
text {name}; ${name} and braces around anything else stay as they are.

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
