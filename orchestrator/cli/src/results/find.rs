//! Where a job is: with a run of this folder, with the daemon, or with a daemon a Python script had for itself.

use std::fs;
use std::path::{Path, PathBuf};

use trainwire::{Archive, JobId, StartError};

use super::Row;
use crate::args::ResultsArgs;
use crate::exit::{Exit, Failure};
use crate::view::words::escape;
use crate::{daemon, state};

/// A job and the folder it is in.
pub(crate) struct Found {
    archive: Archive,
    folder: PathBuf,
    job_id: JobId,
}

impl Found {
    /// What the arguments mean: the id of a job, or the folder of a run.
    pub(crate) fn new(args: &ResultsArgs) -> Result<Self, Failure> {
        let named = Path::new(&args.job);
        if args.state.is_none() && Archive::is_at(named) {
            return Self::only_one(named);
        }
        let job_id = JobId::new(&args.job).map_err(|error| {
            let text = format!(
                "{} is neither the folder of a run nor a job's id: {error} ({})",
                escape(&args.job),
                error.code()
            );
            Failure::new(Exit::Usage, text)
        })?;
        let mut known = Vec::new();
        for folder in candidates(args, &job_id)? {
            let archive = Archive::open(&folder).map_err(unreadable)?;
            let jobs = archive.jobs().map_err(unreadable)?;
            if jobs.contains(&job_id) {
                return Ok(Self { archive, folder, job_id });
            }
            known.extend(jobs);
        }
        Err(no_such_job(&job_id, known))
    }

    pub(crate) fn rows(&self) -> Result<Vec<Row>, Failure> {
        let results = self.archive.results(&self.job_id, 0..usize::MAX).map_err(unreadable)?;
        Ok(results.unwrap_or_default().into_iter().map(Row::from).collect())
    }

    /// For people: whose results these are.
    pub(crate) fn place(&self) -> String {
        format!("{} in {}", self.job_id, escape(&self.folder.to_string_lossy()))
    }

    fn only_one(folder: &Path) -> Result<Self, Failure> {
        let archive = Archive::open(folder).map_err(unreadable)?;
        let jobs = archive.jobs().map_err(unreadable)?;
        let folder = folder.to_owned();
        match <[JobId; 1]>::try_from(jobs) {
            Ok([job_id]) => Ok(Self { archive, folder, job_id }),
            Err(jobs) => {
                let jobs: Vec<_> = jobs.iter().map(JobId::as_str).collect();
                let said = escape(&folder.to_string_lossy());
                let text = match jobs.is_empty() {
                    true => format!("{said} has no job yet (no_such_job)"),
                    false => format!(
                        "{said} has several jobs; name one, with --state {said}: {} (no_such_job)",
                        jobs.join(", ")
                    ),
                };
                Err(Failure::new(Exit::Usage, text))
            }
        }
    }
}

/// Folders that may have the job, those nearest first.
fn candidates(args: &ResultsArgs, job_id: &JobId) -> Result<Vec<PathBuf>, Failure> {
    if let Some(said) = &args.state {
        if Archive::is_at(said) {
            return Ok(vec![said.clone()]);
        }
        let text = format!(
            "{} is no state folder, there is no journal in it; name one that `trainwire run` or `serve` has made (state_dir)",
            escape(&said.to_string_lossy())
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    let mut folders: Vec<PathBuf> = state::newest(job_id).into_iter().collect();
    // Without HOME there is no daemon to look for either.
    folders.extend(daemon::state_dir(None));
    folders.extend(own_daemons());
    folders.retain(|folder| Archive::is_at(folder));
    Ok(folders)
}

/// Of Python scripts that found no daemon: `.trainwire/serve`, `serve-2` and so on.
fn own_daemons() -> Vec<PathBuf> {
    let folders = fs::read_dir(state::DEFAULT_PARENT).into_iter().flatten().flatten();
    let ours =
        |name: &str| name == "serve" || name.strip_prefix("serve-").is_some_and(|n| n.parse::<u32>().is_ok());
    let mut found: Vec<_> = folders
        .filter(|entry| entry.file_name().to_str().is_some_and(ours))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn no_such_job(job_id: &JobId, known: Vec<JobId>) -> Failure {
    let runs = fs::read_dir(state::DEFAULT_PARENT).into_iter().flatten().flatten();
    let runs = runs.filter(|entry| Archive::is_at(&entry.path()));
    let mut known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.extend(runs.filter_map(|entry| entry.file_name().into_string().ok()));
    let distance = |name: &String| strsim::damerau_levenshtein(name, job_id.as_str());
    let hint = match known.iter().min_by_key(|name| distance(name)) {
        Some(nearest) if distance(nearest) <= job_id.as_str().len() / 2 => {
            format!("did you mean {nearest}? ")
        }
        _ => String::new(),
    };
    let text = format!(
        "there is no job {job_id} in {} of this folder, nor with the daemon; {hint}`ls {0}` lists the runs, \
         `trainwire ls --all` the daemon's jobs, --state names another folder (no_such_job)",
        state::DEFAULT_PARENT
    );
    Failure::new(Exit::Usage, text)
}

fn unreadable(error: StartError) -> Failure {
    Failure::new(Exit::CouldNotStart, format!("{error} ({})", error.code()))
}
