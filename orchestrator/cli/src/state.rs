//! The folder of a run: the journal, the logs and the trainers' files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use trainwire::JobId;

use crate::exit::{Exit, Failure};

/// Absolute, as the trainers may run elsewhere. Without a wish it is `.trainwire/JOB_ID`, or with `-2`,
/// `-3`, … after it where that exists: to run a job of this name again means to run it again.
pub(crate) fn dir(said: Option<&Path>, job_id: &JobId) -> Result<PathBuf, Failure> {
    let path = said.map_or_else(|| Path::new(DEFAULT_PARENT).join(job_id.as_str()), Path::to_owned);
    let failed = |error: io::Error| {
        let text =
            format!("the state folder {} cannot be made: {error}; set another with --state", path.display());
        Failure::new(Exit::CouldNotStart, text)
    };
    let path = if said.is_none() { fresh(&path).map_err(failed)? } else { path.clone() };
    std::path::absolute(path).map_err(failed)
}

/// Makes the folder, so that no other run takes it, and keeps it out of git.
fn fresh(path: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(DEFAULT_PARENT)?;
    let ignore = Path::new(DEFAULT_PARENT).join(".gitignore");
    if !ignore.exists() {
        fs::write(ignore, "*\n")?;
    }
    let mut candidate = path.to_owned();
    let mut number = 1;
    loop {
        match DirBuilder::new().mode(0o700).create(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
                candidate.set_file_name(format!(
                    "{}-{number}",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ));
            }
            Err(error) => return Err(error),
        }
    }
}

const DEFAULT_PARENT: &str = ".trainwire";
