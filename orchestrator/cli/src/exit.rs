//! How the program ends.

use std::process::ExitCode;

/// The exit codes; they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every task succeeded.
    Succeeded = 0,
    /// Some task did not.
    TasksFailed = 1,
    /// The command line or the spec is wrong; nothing was started.
    Usage = 2,
    /// The job could not be started.
    CouldNotStart = 3,
    /// The journal cannot be written any more.
    JournalFailed = 4,
    /// What was waited for goes on.
    TimedOut = 124,
    /// Interrupted, and not every task had succeeded.
    Interrupted = 130,
}

/// For `--help`.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0    every task succeeded
  1    some task did not
  2    the command line or the spec is wrong; nothing was started
  3    the job could not be started: the socket's name is taken, the state folder is in use, …
  4    the journal could not be written or synced (a failing disk); trainers were left running
  124  `wait --timeout`: what was waited for goes on
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP before every task had succeeded";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An end that needs words.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was wrong, where, and what to do.
    pub(crate) text: String,
    /// `text` has its own heading.
    pub(crate) rendered: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), rendered: false }
    }

    pub(crate) fn rendered(exit: Exit, text: String) -> Self {
        Self { exit, text, rendered: true }
    }
}
