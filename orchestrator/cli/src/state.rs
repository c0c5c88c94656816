//! The folder of a run: the journal, the logs and the trainers' files. By default `.trainwire/JOB_ID`, or with
//! `-2`, `-3`, … after it where that exists: to run a job of this name again means to run it again.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use trainwire::JobId;

use crate::exit::{Exit, Failure};

/// The trainers may run elsewhere.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| failed(path, &error))
}

/// The last one that was made for this job.
pub(crate) fn newest(job_id: &JobId) -> Option<PathBuf> {
    (1..).map(|number| candidate(job_id, number)).take_while(|path| path.is_dir()).last()
}

/// Makes one, so that no other run takes it, and keeps it out of git.
pub(crate) fn fresh(job_id: &JobId) -> Result<PathBuf, Failure> {
    let first = candidate(job_id, 1);
    let made = || {
        fs::create_dir_all(DEFAULT_PARENT)?;
        let ignore = Path::new(DEFAULT_PARENT).join(".gitignore");
        if !ignore.exists() {
            fs::write(ignore, "*\n")?;
        }
        let mut candidates = (1..).map(|number| candidate(job_id, number));
        loop {
            let candidate = candidates.next().unwrap_or_default();
            match DirBuilder::new().mode(0o700).create(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    };
    absolute(&made().map_err(|error| failed(&first, &error))?)
}

fn candidate(job_id: &JobId, number: u32) -> PathBuf {
    let name = match number {
        1 => job_id.to_string(),
        number => format!("{job_id}-{number}"),
    };
    Path::new(DEFAULT_PARENT).join(name)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let text =
        format!("the state folder {} cannot be made: {error}; set another with --state", path.display());
    Failure::new(Exit::CouldNotStart, text)
}

/// Of the folders of runs.
pub(crate) const DEFAULT_PARENT: &str = ".trainwire";
