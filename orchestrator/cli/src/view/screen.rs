//! A terminal whose last lines are redrawn in place.

use std::io::{self, Write};
use std::os::fd::AsFd;

use super::log::Log;

/// The window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Standard error as a screen. The cursor is hidden while it is drawn on and shown again at the end,
/// even after a panic.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Lines of the last frame; the cursor stands below them.
    drawn: Vec<String>,
    hidden: bool,
    log: Log,
}

impl Size {
    /// As it is now; 80 × 24 where it cannot be known.
    pub(crate) fn of(stream: impl AsFd) -> Self {
        let size = terminal_size::terminal_size_of(stream);
        let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (columns.0.into(), rows.0.into()));
        Self { columns: columns.max(20), rows: rows.max(4) }
    }
}

impl Screen {
    pub(crate) fn new(log: Log) -> Self {
        Self { drawn: Vec::new(), hidden: false, log }
    }

    /// Writes `above` to stay, and `frame` under it to be replaced by the next. One write, so that
    /// nobody sees half of it.
    pub(crate) fn draw(&mut self, above: &[String], frame: &[String]) -> io::Result<()> {
        let logged = self.log.take();
        if above.is_empty() && logged.is_empty() && frame == self.drawn {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.extend_from_slice(SYNCHRONIZED_BEGIN);
        if !self.hidden {
            bytes.extend_from_slice(CURSOR_HIDE);
            self.hidden = true;
        }
        match self.drawn.len() {
            0 => bytes.push(b'\r'),
            lines => bytes.extend_from_slice(format!("\r\x1b[{lines}A").as_bytes()),
        }
        bytes.extend_from_slice(CLEAR_BELOW);
        bytes.extend_from_slice(&logged);
        for line in above {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        // A line too wide for a window that just shrank is cut, not wrapped: the count stays right.
        bytes.extend_from_slice(WRAP_OFF);
        for line in frame {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(WRAP_ON);
        bytes.extend_from_slice(SYNCHRONIZED_END);
        self.drawn = frame.to_vec();
        let mut stream = io::stderr().lock();
        stream.write_all(&bytes)?;
        stream.flush()
    }

    /// Writes `text` to stay, above the frame as it is.
    pub(crate) fn above(&mut self, text: &str) -> io::Result<()> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let frame = self.drawn.clone();
        self.draw(&lines, &frame)
    }

    /// Shows the cursor again, and lets the log write for itself.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        self.log.release()?;
        if std::mem::take(&mut self.hidden) {
            io::stderr().lock().write_all(CURSOR_SHOW)?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.restore();
    }
}

/// Terminals that know it show all of a frame or nothing; the others ignore it.
const SYNCHRONIZED_BEGIN: &[u8] = b"\x1b[?2026h";
const SYNCHRONIZED_END: &[u8] = b"\x1b[?2026l";
const CURSOR_HIDE: &[u8] = b"\x1b[?25l";
const CURSOR_SHOW: &[u8] = b"\x1b[?25h";
const CLEAR_BELOW: &[u8] = b"\x1b[J";
const WRAP_OFF: &[u8] = b"\x1b[?7l";
const WRAP_ON: &[u8] = b"\x1b[?7h";
