//! The command line.

mod job;
mod results;
mod run;
mod verbs;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

pub(crate) use job::{DurabilityChoice, JobArgs};
pub(crate) use results::ResultsArgs;
pub(crate) use run::RunArgs;
pub(crate) use verbs::{
    DaemonArgs, DeadLettersArgs, ListArgs, LogsArgs, RetryArgs, ServeArgs, ShowArgs, StackArgs, StopArgs,
    SubmitArgs, WaitArgs, What,
};

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
    Serve(ServeArgs),
    Submit(Box<SubmitArgs>),
    Ls(ListArgs),
    Show(ShowArgs),
    Results(ResultsArgs),
    Logs(LogsArgs),
    Wait(WaitArgs),
    Stop(StopArgs),
    #[command(visible_alias = "resume")]
    Retry(Box<RetryArgs>),
    Stack(StackArgs),
    DeadLetters(DeadLettersArgs),
}

/// Says what is missing where a command was given without the `--` before it.
pub(crate) fn explain(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    let words: Vec<String> = std::env::args().collect();
    let place =
        words.iter().position(|other| other == word).filter(|_| !words.iter().any(|word| word == "--"));
    if let (ErrorKind::UnknownArgument, false, Some(place)) = (error.kind(), word.starts_with('-'), place)
        && let Some(command) = words.get(place.saturating_sub(1)..)
        && matches!(words.get(1).map(String::as_str), Some("run" | "submit"))
    {
        let tip = format!("a command comes after --: trainwire {} … -- {}", words[1], command.join(" "));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

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
        assert!(parse("trainwire run --random lr=log:1e-4..1e-1 --samples 3 --seed 7 -- python").is_ok());
        assert!(parse("trainwire run --seed 7 -- python").is_err());
        assert!(parse("trainwire run --attach").is_ok());
        assert!(parse("trainwire run").is_err());
        assert!(parse("trainwire run a.toml -- python").is_err());
        assert!(parse("trainwire run a.toml --grid lr=1,2").is_err());
        assert!(parse("trainwire run --hyperparams-file - -- python train.py").is_ok());
        assert!(parse("trainwire run --hyperparams-file a --param b=1 -- python train.py").is_err());
        assert!(parse("trainwire run --job-id ../x -- python").is_err());
        assert!(parse("trainwire run --stop-grace 5 -- python").is_err());
        assert!(parse("trainwire submit a.toml").is_ok());
        assert!(parse("trainwire submit").is_err());
    }
}
