//! The command line of trainwire: runs a job and shows how it goes. It uses the library's public
//! API only, and so proves it.

mod args;
mod board;
mod clock;
mod duration;
mod exit;
mod grid;
mod interrupt;
mod limits;
mod naming;
mod pace;
mod place;
mod plan;
mod run;
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
use crate::view::paint::Paint;

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run::run(&args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let paint = Paint::new(args.color, &io::stderr());
            let heading = if failure.rendered { String::new() } else { format!("{}: ", paint.red("error")) };
            // Where standard error is gone the exit code has to do.
            let _ = writeln!(io::stderr().lock(), "{heading}{}", failure.text.trim_end());
            failure.exit.into()
        }
    }
}
