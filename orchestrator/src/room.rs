//! Room in the state folder. The last of it is kept for the records of work that is under way: new
//! work is refused before nothing can be written any more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::statvfs::statvfs;

use crate::config::Config;
use crate::error::SubmitError;

/// See the module.
#[derive(Debug)]
pub(crate) struct Room {
    /// `None` where nothing is written.
    state_dir: Option<PathBuf>,
    reserve_bytes: u64,
    /// A commit found none.
    exhausted: AtomicBool,
}

impl Room {
    pub(crate) fn new(config: &Config, root: &Path) -> Self {
        Self {
            state_dir: config.state_dir.is_some().then(|| root.to_owned()),
            reserve_bytes: config.disk_reserve,
            exhausted: AtomicBool::new(false),
        }
    }

    /// Whether new work of so many bytes may be taken.
    pub(crate) fn ask(&self, submitted_bytes: u64) -> Result<(), SubmitError> {
        let Some(path) = &self.state_dir else { return Ok(()) };
        let exhausted = self.exhausted.load(Ordering::Relaxed);
        // Where the file system does not say, the commit will.
        let free_bytes = statvfs(path).map_or(u64::MAX, |found| {
            let size_bytes = found.blocks().saturating_mul(found.fragment_size());
            let free_bytes = found.blocks_available().saturating_mul(found.fragment_size());
            // A small file system is not all reserve.
            let reserve_bytes = self.reserve_bytes.min(size_bytes / RESERVE_SHARE);
            free_bytes.saturating_sub(reserve_bytes)
        });
        if exhausted || free_bytes < submitted_bytes {
            let free_bytes = if exhausted { 0 } else { free_bytes };
            return Err(SubmitError::DiskFull { path: path.clone(), free_bytes, submitted_bytes });
        }
        Ok(())
    }

    /// Whether the last commit found no room.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_exhausted(&self, exhausted: bool) {
        self.exhausted.store(exhausted, Ordering::Relaxed);
    }
}

/// At most one part in so many of a file system is reserve.
const RESERVE_SHARE: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_work_leaves_the_reserve_alone() {
        let folder = tempfile::tempdir().unwrap();
        let room = |disk_reserve| {
            let state_dir = Some(folder.path().to_owned());
            Room::new(&Config { state_dir, disk_reserve, ..Config::default() }, folder.path())
        };
        room(0).ask(1).unwrap();
        let error = room(64 << 20).ask(u64::MAX / 2).unwrap_err();
        assert_eq!((error.code(), error.is_backpressure()), ("disk_full", true));
        let room = room(0);
        room.set_exhausted(true);
        let error = room.ask(0).unwrap_err();
        assert!(error.to_string().contains("0 bytes"), "{error}");
        room.set_exhausted(false);
        room.ask(0).unwrap();
    }

    #[test]
    fn a_journal_in_memory_needs_none() {
        Room::new(&Config::default(), Path::new("/nowhere")).ask(u64::MAX).unwrap();
    }
}
