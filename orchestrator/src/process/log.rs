//! A trainer's output: a file, and its end as evidence.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

/// Where a trainer's output goes. A file and not a pipe: a reader that died would break the trainer's `print`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// Kept open, because each short task asks how long it is.
    file: Option<Arc<File>>,
}

impl Log {
    /// Opens it, and makes it and its folder where they are not there.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), file: Some(Arc::new(file)) })
    }

    /// Of a trainer that somebody else started. It may have been removed meanwhile.
    pub(super) fn of_predecessor(path: PathBuf) -> Self {
        let file = File::open(&path).ok().map(Arc::new);
        Self { path, file }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written so far, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.len())
    }

    /// See [`tail`].
    pub(crate) fn tail(&self, from: u64) -> String {
        tail(&self.path, from)
    }

    /// For a process's standard output or error.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(file.try_clone()?.into())
    }
}

/// The last lines written at or after byte `from`: at most [`TAIL_LINES_MAX`] and
/// [`TAIL_SIZE_BYTES_MAX`], as they are: whoever shows them escapes or colours them. Of a line that was
/// rewritten with carriage returns (a progress bar) only what a terminal shows in the end. Empty where
/// the log cannot be read.
pub(crate) fn tail(path: &Path, from: u64) -> String {
    let Ok((bytes, cut)) = read_end(path, from) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text.lines().map(last_overwrite).collect();
    if cut {
        // Its beginning is not in the tail.
        lines.remove(0);
    }
    let mut size = 0;
    let fitting = lines
        .iter()
        .rev()
        .take(TAIL_LINES_MAX)
        .take_while(|line| {
            size += line.len() + 1;
            size <= TAIL_SIZE_BYTES_MAX
        })
        .count();
    lines.split_off(lines.len() - fitting).join("\n")
}

/// The last bytes from `from` on, and whether they begin in the middle.
fn read_end(path: &Path, from: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let start = from.max(len.saturating_sub(TAIL_SIZE_BYTES_MAX as u64));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_SIZE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    let cut = start > from && bytes.contains(&b'\n');
    Ok((bytes, cut))
}

fn last_overwrite(line: &str) -> String {
    let shown = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or("");
    shown.to_owned()
}

/// Enough for a traceback and what led to it.
const TAIL_LINES_MAX: usize = 200;

/// Bounds what one failure adds to the journal.
const TAIL_SIZE_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_readable_and_of_this_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainer-1.log");
        assert_eq!(tail(&path, 0), "");

        std::fs::write(&path, "earlier\n 10%\r 50%\r100%\r\nbad \u{1b}[31m\u{7}end").unwrap();
        assert_eq!(tail(&path, 8), "100%\nbad \u{1b}[31m\u{7}end");
        assert_eq!(tail(&path, 0).lines().count(), 3);

        let long: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, long).unwrap();
        let tail_of_long = tail(&path, 0);
        assert_eq!(tail_of_long.lines().count(), TAIL_LINES_MAX);
        assert!(tail_of_long.ends_with("line 99999"));

        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert!(tail(&path, 0).len() <= TAIL_SIZE_BYTES_MAX);
        std::fs::write(&path, vec![0xff; 100_000]).unwrap();
        assert!(tail(&path, 0).len() <= TAIL_SIZE_BYTES_MAX);
    }
}
