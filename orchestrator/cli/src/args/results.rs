//! `trainwire results`.

use std::path::PathBuf;

use clap::Args;

/// Show what came of a job's tasks: parameters and metrics, a row each
#[derive(Args, Debug)]
#[command(long_about = RESULTS_ABOUT)]
pub(crate) struct ResultsArgs {
    /// The job's id, or the folder of a run [default: the last run of this folder]
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,

    /// Best first, by the most of this metric
    #[arg(long, value_name = "METRIC", conflicts_with = "minimize")]
    pub(crate) maximize: Option<String>,

    /// Best first, by the least of this metric
    #[arg(long, value_name = "METRIC")]
    pub(crate) minimize: Option<String>,

    /// Comma-separated values, with all digits and all columns
    #[arg(long)]
    pub(crate) csv: bool,

    /// An array of objects, as the daemon's route gives them
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,

    /// The folder the job is in, of a run or of a daemon [default: .trainwire/JOB, else the daemon's]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

const RESULTS_ABOUT: &str = "\
Show what came of a job's tasks: parameters and metrics, a row each, also while it runs and also of a job \
whose `trainwire run` or daemon has ended. A metric is the last value any attempt has reported, or what the task finished with.

The job is looked for in .trainwire of this folder, where `trainwire run` and Python scripts have theirs, and with \
the daemon. Nothing is changed, and no daemon need run.";
