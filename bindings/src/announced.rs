//! The checkpoints a task has announced, over all its attempts: a list in its work folder.
//!
//! The orchestrator remembers the newest one. This list knows the older ones, so that one of them can be
//! offered when the newest was deleted, and so that there need not be more of them than somebody wants.
//! It is a convenience: where it is lost, so is only that.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use trainwire_protocol::message::CheckpointRef;

/// Adds one. A path that cannot be written on a line is passed over.
pub(crate) fn add(folder: &Path, at: &CheckpointRef) -> io::Result<()> {
    if at.path.contains('\n') {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let mut list = OpenOptions::new().create(true).append(true).open(folder.join(NAME))?;
    list.write_all(line(at).as_bytes())
}

/// The newest one that is still there.
pub(crate) fn newest(folder: &Path) -> Option<CheckpointRef> {
    read(folder).into_iter().rev().find(|at| is_there(Path::new(&at.path)))
}

/// Whether it can be loaded at all: a file, or a folder with something in it.
pub(crate) fn is_there(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Deletes all but the last `keep` of those within `folder`. What lies elsewhere is not ours to delete.
pub(crate) fn keep_last(folder: &Path, keep: usize) -> io::Result<()> {
    let announced = read(folder);
    let ours = |at: &&CheckpointRef| {
        let path = Path::new(&at.path);
        path.starts_with(folder) && path != folder && !path.components().any(|part| part.as_os_str() == "..")
    };
    let within: Vec<&CheckpointRef> = announced.iter().filter(ours).collect();
    let (old, kept) = within.split_at(within.len().saturating_sub(keep));
    let mut deleted = HashSet::new();
    for at in old {
        let path = Path::new(&at.path);
        // A newer one may lie in the folder of an older one.
        if kept.iter().all(|kept| !Path::new(&kept.path).starts_with(path)) {
            delete(path)?;
            deleted.insert(at.path.as_str());
        }
    }
    if deleted.is_empty() {
        return Ok(());
    }
    let rest = announced.iter().filter(|at| !deleted.contains(at.path.as_str()));
    let new = folder.join(format!("{NAME}.new"));
    fs::write(&new, rest.map(line).collect::<String>())?;
    fs::rename(new, folder.join(NAME))
}

fn delete(path: &Path) -> io::Result<()> {
    let deleted = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    deleted.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Oldest first, each path at its latest place. Lines that are not whole, as after a crash, are passed over.
fn read(folder: &Path) -> Vec<CheckpointRef> {
    let text = fs::read_to_string(folder.join(NAME)).unwrap_or_default();
    let mut seen = HashSet::new();
    let mut found: Vec<_> = text
        .split_inclusive('\n')
        .rev()
        .filter_map(|line| parse(line.strip_suffix('\n')?))
        .filter(|at| seen.insert(PathBuf::from(&at.path)))
        .collect();
    found.reverse();
    found
}

/// `step epoch path`, numbers that are not known as `-`.
fn line(at: &CheckpointRef) -> String {
    let step = at.step.map_or_else(|| "-".to_owned(), |step| step.to_string());
    let epoch = at.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    format!("{step} {epoch} {}\n", at.path)
}

fn parse(line: &str) -> Option<CheckpointRef> {
    let mut parts = line.splitn(3, ' ');
    let (step, epoch, path) = (parts.next()?, parts.next()?, parts.next()?);
    let known = |word: &str| word != "-";
    Some(CheckpointRef {
        step: if known(step) { Some(step.parse().ok()?) } else { None },
        epoch: if known(epoch) { Some(epoch.parse().ok()?) } else { None },
        path: path.to_owned(),
    })
}

/// In the work folder; hidden, because it is nobody's checkpoint.
const NAME: &str = ".checkpoints";
