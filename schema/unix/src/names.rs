//! Names on the disk. fsync of a file brings its bytes there; its name is a part of the folder it lies in, and
//! that folder's name a part of the next.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use crate::planted;

/// Makes a folder and what is missing above it, for this user alone. Each name is on the disk before anything is
/// put below it.
///
/// # Errors
/// The operating system's.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|folder| !folder.exists()).count();
    // The last that is there may be of a start that was cut short here.
    path.ancestors().nth(missing).map_or(Ok(()), sync_name)?;
    let missing: Vec<_> = path.ancestors().take(missing).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_name(folder)?,
        }
    }
    Ok(())
}

/// Waits until the name of a file or folder is on the disk, and those of all folders above it, whoever has made
/// them: up to the root of its file system.
///
/// # Errors
/// The operating system's.
pub fn sync_names(of: &Path) -> io::Result<()> {
    let path = std::path::absolute(of)?;
    let device = path.metadata()?.dev();
    for name in path.ancestors() {
        match name.parent().map(Path::metadata) {
            Some(folder) if folder.as_ref().is_ok_and(|folder| folder.dev() == device) => sync_name(name)?,
            _ => break,
        }
    }
    Ok(())
}

/// Waits until this name of a file or folder is on the disk; those of the folders above it are left as they are.
fn sync_name(of: &Path) -> io::Result<()> {
    let Some(folder) = of.parent().filter(|_| !planted::is("names-not-synced")) else { return Ok(()) };
    match File::open(folder) {
        // Whoever may not read it has not made it, in any usual case.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}
