//! What people and programs see of a run.
//!
//! Progress goes to standard error: a live view on a terminal, plain lines elsewhere. The result goes
//! to standard output: the closing table, or with `--json` the events. So `trainwire run … > results`
//! keeps the one and shows the other.

pub(crate) mod columns;
pub(crate) mod fit;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod note;
pub(crate) mod paint;
pub(crate) mod plain;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod words;

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use trainwire::Event;

use self::live::Live;
use self::log::Log;
use self::note::Note;
use self::paint::{ColorChoice, Paint};
use self::plain::Plain;
use self::screen::{Screen, Size};
use crate::board::Board;

/// One run as it is shown.
#[derive(Debug)]
pub(crate) struct View {
    progress: Progress,
    json: bool,
    quiet: bool,
    color: ColorChoice,
    /// Writing failed.
    unread: bool,
}

#[derive(Debug)]
enum Progress {
    None,
    Plain(Plain),
    Live(Live),
}

impl View {
    pub(crate) fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        let paint = Paint::new(color, &io::stderr());
        let live = !json && !quiet && io::stderr().is_terminal() && !paint::terminal_is_dumb();
        let log = Log::install(live, paint);
        let progress = if json || quiet {
            Progress::None
        } else if live {
            Progress::Live(Live::new(Screen::new(log), paint))
        } else {
            Progress::Plain(Plain::new(paint))
        };
        Self { progress, json, quiet, color, unread: false }
    }

    /// Says what is about to be run, where lines are kept: a live view has a heading.
    pub(crate) fn open(&mut self, text: &str) {
        if matches!(self.progress, Progress::Plain(_)) {
            self.say(text);
        }
    }

    /// Shows an event that the board has not taken in yet.
    pub(crate) fn event(&mut self, event: &Event, board: &Board) {
        self.write(|view| {
            if view.json {
                let line = json::line(event);
                return line.map_or(Ok(()), |line| writeln!(io::stdout().lock(), "{line}"));
            }
            match (&mut view.progress, Note::of(event, board)) {
                (Progress::Plain(plain), Some(note)) => plain.note(&note, event.at, board),
                (Progress::Live(live), Some(note)) => {
                    live.note(note);
                    Ok(())
                }
                _ => Ok(()),
            }
        });
    }

    /// An event of before this run: for programs, which want all of them.
    pub(crate) fn past(&mut self, event: &Event) {
        if self.json {
            self.write(|_| json::line(event).map_or(Ok(()), |line| writeln!(io::stdout().lock(), "{line}")));
        }
    }

    /// Shows how things stand; to be called now and then.
    pub(crate) fn tick(&mut self, board: &Board, now: SystemTime) {
        self.write(|view| match &mut view.progress {
            Progress::None => Ok(()),
            Progress::Plain(plain) => plain.tick(board, now),
            Progress::Live(live) => live.tick(board, now),
        });
    }

    /// Says something that is not an event, above what is live.
    pub(crate) fn say(&mut self, text: &str) {
        self.write(|view| match &mut view.progress {
            Progress::Live(live) => live.say(text),
            _ => writeln!(io::stderr().lock(), "{text}"),
        });
    }

    /// Ends what is live.
    pub(crate) fn close(&mut self, board: &Board) {
        self.write(|view| match &mut view.progress {
            Progress::Live(live) => live.close(board),
            _ => Ok(()),
        });
    }

    /// Writes the closing table.
    pub(crate) fn table(&mut self, board: &Board, now: SystemTime) {
        self.write(|view| {
            if view.quiet || view.json {
                let paint = Paint::new(view.color, &io::stderr());
                let text = if view.quiet {
                    table::failures(board, paint)
                } else {
                    table::table(board, now, None, paint)
                };
                return io::stderr().lock().write_all(text.as_bytes());
            }
            let columns = io::stdout().is_terminal().then(|| Size::of(io::stdout()).columns);
            let text = table::table(board, now, columns, Paint::new(view.color, &io::stdout()));
            let mut stdout = io::stdout().lock();
            if columns.is_some() {
                writeln!(stdout)?;
            }
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        });
    }

    /// That nobody reads any more (`trainwire run … | head`) is no reason to stop training.
    fn write(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if !self.unread && write(self).is_err() {
            self.unread = true;
        }
    }
}
