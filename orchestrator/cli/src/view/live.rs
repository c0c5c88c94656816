//! The live view: a heading and a line for each running task, redrawn in place, under the lines of
//! what has happened. What is drawn is a pure function of the board, the time and the window.

use std::io;
use std::time::SystemTime;

use trainwire::record::Rung;

use super::fit;
use super::note::{Kind, Note};
use super::paint::Paint;
use super::screen::{Screen, Size};
use super::words;
use crate::board::{Board, Running, State, Task, Trouble};
use crate::ranking::Best;

/// Draws on standard error.
#[derive(Debug)]
pub(crate) struct Live {
    screen: Screen,
    paint: Paint,
    /// Since the last drawing.
    notes: Vec<Note>,
}

impl Live {
    pub(crate) fn new(screen: Screen, paint: Paint) -> Self {
        Self { screen, paint, notes: Vec::new() }
    }

    /// Something happened; it is shown with the next tick.
    pub(crate) fn note(&mut self, note: Note) {
        if note.kind != Kind::Detail {
            self.notes.push(note);
        }
    }

    /// Draws.
    pub(crate) fn tick(&mut self, board: &Board, now: SystemTime) -> io::Result<()> {
        let size = Size::of(io::stderr());
        let above = self.above(board, size);
        let frame = frame(board, size, now, self.paint);
        self.screen.draw(&above, &frame)
    }

    /// Says something above the frame, at once.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.screen.above(text)
    }

    /// Leaves only what has happened.
    pub(crate) fn close(&mut self, board: &Board) -> io::Result<()> {
        let above = self.above(board, Size::of(io::stderr()));
        self.screen.draw(&above, &[])?;
        self.screen.restore()
    }

    fn above(&mut self, board: &Board, size: Size) -> Vec<String> {
        let id_columns = id_columns(board, size);
        let mut lines = Vec::new();
        let crowded = self.notes.len() > size.rows;
        let mut succeeded_unseen = 0;
        for note in self.notes.drain(..) {
            if crowded && note.kind == Kind::Succeeded {
                succeeded_unseen += 1;
                continue;
            }
            let task = fit::left(&fit::cut_middle(&note.task, id_columns), id_columns);
            lines.push(format!("{} {task}  {}", note.mark(self.paint), note.text));
        }
        if succeeded_unseen > 0 {
            lines.push(format!("{} {succeeded_unseen} tasks succeeded", self.paint.green("✓")));
        }
        lines
    }
}

/// The lines to draw: none is wider than the window, all are fewer than its rows.
fn frame(board: &Board, size: Size, now: SystemTime, paint: Paint) -> Vec<String> {
    let running: Vec<_> = board
        .tasks
        .iter()
        .filter_map(|task| match &task.state {
            State::Running(running) => Some((task, running)),
            _ => None,
        })
        .collect();
    let columns = Columns {
        id: id_columns(board, size),
        bar: match size.columns {
            _ if running.iter().all(|(task, running)| running.pace.done(task.max_epochs).is_none()) => 0,
            0..60 => 0,
            60..100 => 12,
            _ => 24,
        },
        epochs: running.iter().map(|(task, _)| epochs_columns(task)).max().unwrap_or(0),
        all: size.columns,
    };
    let leaders = leaders(board, size, paint).filter(|_| size.rows > LEADERS_ROWS_MIN);
    let room = size.rows.saturating_sub(3 + usize::from(leaders.is_some())).max(1);
    let shown = if running.len() > room { room - 1 } else { running.len() };
    let mut lines = vec![heading(board, size, now, paint)];
    lines.extend(
        running[..shown].iter().map(|(task, running)| row(task, running, board, &columns, now, paint)),
    );
    if shown < running.len() {
        lines.push(
            paint.dim(&fit::cut(&format!("  … and {} more running", running.len() - shown), size.columns)),
        );
    }
    lines.extend(leaders);
    lines
}

/// The best so far, ended or not, in one line.
fn leaders(board: &Board, size: Size, paint: Paint) -> Option<String> {
    let ranking = board.ranking.as_ref()?;
    let leaders: Vec<_> = (board.leaders().iter().take(LEADERS_SHOWN))
        .filter_map(|task| Some(format!("{} {}", words::escape(&task.task_id), words::number(task.score?))))
        .collect();
    let most = match ranking.best {
        Best::Most => "highest",
        Best::Least => "lowest",
    };
    let line = format!("  {most} {}: {}", words::escape(&ranking.metric), leaders.join(" · "));
    (!leaders.is_empty()).then(|| paint.bold(&fit::cut(&line, size.columns)))
}

struct Columns {
    id: usize,
    /// 0 where nobody reports epochs.
    bar: usize,
    epochs: usize,
    all: usize,
}

fn heading(board: &Board, size: Size, now: SystemTime, paint: Paint) -> String {
    let totals = board.totals();
    let done = totals.succeeded + totals.stopped + totals.failed;
    let mut parts = vec![format!("{done} of {} done", board.tasks.len())];
    let mut part = |number: usize, word: &str| {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    };
    part(totals.running, "running");
    part(totals.waiting, "waiting");
    part(totals.failed, "failed");
    part(totals.stopped, "stopped");
    if board.trainers_starting() > 0 {
        parts.push(format!("starting {}", words::count(board.trainers_starting(), "trainer")));
    }
    if board.interrupted {
        parts.push("stopping, Ctrl-C kills".to_owned());
    }
    let elapsed = words::clock(now.duration_since(board.started_at).unwrap_or_default());
    let counts = parts.join(" · ");
    let room = size.columns.saturating_sub(fit::width(&counts) + elapsed.len() + 4);
    let name = fit::cut_middle(&board.job_id, room);
    let gap = size.columns.saturating_sub(fit::width(&name) + 2 + fit::width(&counts) + elapsed.len());
    let counts = if board.interrupted { paint.yellow(&counts) } else { counts };
    if room < 8 {
        return fit::cut(&parts.join(" · "), size.columns);
    }
    format!("{}  {counts}{}{}", paint.bold(&name), " ".repeat(gap), paint.dim(&elapsed))
}

fn row(
    task: &Task,
    running: &Running,
    board: &Board,
    columns: &Columns,
    now: SystemTime,
    paint: Paint,
) -> String {
    let id = words::escape(&task.task_id);
    let mut line = format!("  {}", fit::left(&fit::cut_middle(&id, columns.id), columns.id));
    let mut used = fit::width(&line);
    if columns.bar > 0 {
        let done = running.pace.done(task.max_epochs).unwrap_or(0.0);
        let epochs = format!("{}/{}", done.floor(), task.max_epochs);
        line.push_str(&format!(
            "  {} {}",
            bar(done, task.max_epochs, columns.bar, paint),
            fit::right(&epochs, columns.epochs)
        ));
        used += 3 + columns.bar + columns.epochs;
    }
    let (status, troubled) = status(task, running, board, now);
    let status = fit::cut(&status, columns.all.saturating_sub(used + 2));
    let room = columns.all.saturating_sub(used + 2 + fit::width(&status) + 2);
    let metrics =
        fit::left(&words::metrics(running.latest.iter().map(|(name, value)| (name.as_str(), *value))), room);
    if used + 2 + fit::width(&status) > columns.all {
        return line;
    }
    let gap = columns.all.saturating_sub(used + 2 + fit::width(&metrics) + fit::width(&status));
    let status = if troubled { paint.yellow(&status) } else { paint.dim(&status) };
    format!("{line}  {metrics}{}{status}", " ".repeat(gap))
}

/// The right end of a row, and whether it should stand out.
fn status(task: &Task, running: &Running, board: &Board, now: SystemTime) -> (String, bool) {
    let for_since = |at| words::clock(now.duration_since(at).unwrap_or_default());
    match running.trouble {
        Some(Trouble::Unresponsive(at)) => return (format!("unresponsive for {}", for_since(at)), true),
        Some(Trouble::Detached(at)) => return (format!("disconnected for {}", for_since(at)), true),
        Some(Trouble::Stopping(rung)) => {
            let how = match rung {
                Rung::Asked => "stopping",
                Rung::Terminated => "stopping, SIGTERM sent",
                Rung::Killed => "killed",
            };
            return (how.to_owned(), true);
        }
        Some(Trouble::Stuck) => return ("stuck".to_owned(), true),
        None => {}
    }
    let time = match running.pace.left(task.max_epochs, now) {
        Some(left) => format!("{} left", words::clock(left)),
        None => words::clock(running.elapsed(now)),
    };
    match running.attempt {
        0 | 1 => (time, false),
        attempt => (format!("attempt {attempt} of {} · {time}", board.attempts_max.max(attempt)), false),
    }
}

/// `━━━━━╸──────`
fn bar(done: f64, max: i32, columns: usize, paint: Paint) -> String {
    let share = if max > 0 { (done / f64::from(max)).clamp(0.0, 1.0) } else { 0.0 };
    // Whole numbers that are exact, found without a cast.
    let halves =
        (1..=2 * columns).take_while(|halves| to_f64(*halves) <= share * to_f64(2 * columns)).count();
    let filled = "━".repeat(halves / 2) + if halves % 2 == 1 { "╸" } else { "" };
    paint.green(&filled) + &paint.dim(&"─".repeat(columns - halves.div_ceil(2)))
}

fn to_f64(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// All ids take the same room, whoever runs: a view that jumps is hard to read.
fn id_columns(board: &Board, size: Size) -> usize {
    board.widest_id.min(size.columns * 2 / 5)
}

fn epochs_columns(task: &Task) -> usize {
    2 * task.max_epochs.to_string().len() + 1
}

const LEADERS_SHOWN: usize = 5;

/// Below that every row is for what runs.
const LEADERS_ROWS_MIN: usize = 5;

#[cfg(test)]
mod tests;
