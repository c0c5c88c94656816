//! The folder of a run: the journal, the logs and the trainers' files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trainwire_protocol::id::JobId;

use crate::exit::{Exit, Failure};

/// Absolute, as the trainers may run elsewhere. The default is made here, ignored by git; the library
/// makes the rest.
pub(crate) fn dir(said: Option<&Path>, job_id: &JobId) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: io::Error| {
        let text =
            format!("the state folder {} cannot be made: {error}; set another with --state", path.display());
        Failure::new(Exit::CouldNotStart, text)
    };
    match said {
        Some(path) => std::path::absolute(path).map_err(|error| failed(path, error)),
        None => {
            let parent = Path::new(DEFAULT_PARENT);
            ignored_folder(parent)
                .and_then(|()| std::path::absolute(parent.join(job_id.as_str())))
                .map_err(|error| failed(parent, error))
        }
    }
}

fn ignored_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let ignore = path.join(".gitignore");
    if !ignore.exists() {
        fs::write(ignore, "*\n")?;
    }
    Ok(())
}

const DEFAULT_PARENT: &str = ".trainwire";
