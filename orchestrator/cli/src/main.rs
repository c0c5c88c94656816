//! The command line of trainwire: runs a job and shows how it goes, or serves jobs and asks about them.
//! It uses the library's public API only, and so proves it.

mod args;
mod board;
mod client;
mod clock;
mod daemon;
mod duration;
mod exit;
mod grid;
mod interrupt;
mod limits;
mod naming;
mod pace;
mod place;
mod placeholder;
mod plan;
mod random;
mod ranking;
mod results;
mod resume;
mod run;
mod serve;
mod size;
mod source;
mod spec;
mod state;
mod value;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::view::paint::{ColorChoice, Paint};

fn main() -> ExitCode {
    let ended = match Cli::try_parse().unwrap_or_else(|error| args::explain(error).exit()).command {
        Command::Run(args) => return end(run::run(&args), args.color),
        Command::Serve(args) => serve::serve(&args),
        Command::Submit(args) => ask(client::submit(&args)),
        Command::Ls(args) => ask(client::ls(&args)),
        Command::Show(args) => ask(client::show(&args)),
        Command::Logs(args) => ask(client::logs(&args)),
        Command::Wait(args) => ask(client::wait(&args)),
        Command::Stop(args) => ask(client::stop(&args)),
        Command::Results(args) => results::results(&args),
        Command::Retry(args) => match resume::folder(&args) {
            Some(folder) => resume::resume(&args, folder),
            None => ask(client::retry(&args)),
        },
        Command::Stack(args) => ask(client::stack(&args)),
        Command::DeadLetters(args) => ask(client::dead_letters(&args)),
    };
    end(ended, ColorChoice::Auto)
}

/// One request needs no thread beside this one.
fn ask(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::CouldNotStart, format!("no runtime: {error}")))?;
    runtime.block_on(verb)
}

fn end(ended: Result<Exit, Failure>, color: ColorChoice) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let paint = Paint::new(color, &io::stderr());
            let heading = if failure.rendered { String::new() } else { format!("{}: ", paint.red("error")) };
            // Where standard error is gone the exit code has to do.
            let _ = writeln!(io::stderr().lock(), "{heading}{}", failure.text.trim_end());
            failure.exit.into()
        }
    }
}
