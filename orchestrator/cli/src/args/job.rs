//! What a job is, said by flags or by a spec: the same for `run` and `submit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trainwire::{Durability, JobId};

use crate::grid::{self, Axis};
use crate::limits::Limits;
use crate::random::{self, Random};

/// A job and its tasks.
#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    /// A job written down in TOML; its keys are the flags below, and [grid] and [[task]]
    #[arg(value_name = "SPEC.toml", conflicts_with_all = ["command", "grid", "random", "param", "hyperparams_file", "model_name", "max_epochs"])]
    pub(crate) spec: Option<PathBuf>,

    /// The trainer: a program that uses trainwire, or any other
    #[arg(last = true, value_name = "COMMAND", required_unless_present_any = ["spec", "attach"])]
    pub(crate) command: Vec<String>,

    /// Values of a parameter; every combination of all grids is a task
    #[arg(long, value_name = "NAME=V1,V2", value_parser = grid::parse_axis, help_heading = "Tasks")]
    pub(crate) grid: Vec<Axis>,

    /// A parameter that is drawn: uniform:0..1, log:1e-4..1e-1, int:2..8 or choice:relu,tanh. Each sample is a task; with --grid each for every combination
    #[arg(long, value_name = "NAME=HOW", value_parser = random::parse, help_heading = "Tasks")]
    pub(crate) random: Vec<Random>,

    /// Samples of --random [default: 10]
    #[arg(long, value_name = "N", requires = "random", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Tasks")]
    pub(crate) samples: Option<u32>,

    /// The same seed draws the same samples [default: random; it is said, and stands in TRAINWIRE_SWEEP_SEED]
    #[arg(long, value_name = "N", requires = "random", help_heading = "Tasks")]
    pub(crate) seed: Option<u32>,

    /// A parameter of every task
    #[arg(long, value_name = "NAME=V", value_parser = grid::parse_param, help_heading = "Tasks")]
    pub(crate) param: Vec<(String, toml::Value)>,

    /// The hyperparameters of one task, byte for byte, instead of parameters: a file, a FIFO, or - for standard input. COMMAND has to use trainwire
    #[arg(long, value_name = "PATH", conflicts_with_all = ["grid", "random", "param"], help_heading = "Tasks")]
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

    /// Whether tasks above 64 KiB are written to the state folder before the job starts [default: durable]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Job")]
    pub(crate) durability: Option<DurabilityChoice>,

    #[command(flatten)]
    pub(crate) limits: Limits,
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
