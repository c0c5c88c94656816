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
    /// What the arguments mean: the id of a job, the folder of a run, or the last run.
    pub(crate) fn new(args: &ResultsArgs) -> Result<Self, Failure> {
        let named = match (&args.job, &args.state) {
            (Some(job), None) if Archive::is_at(Path::new(job)) => return Self::only_one(Path::new(job)),
            (Some(job), _) => job,
            (None, Some(folder)) => return Self::only_one(is_state(folder)?),
            (None, None) => return Self::only_one(&last_run()?),
        };
        let job_id = JobId::new(named).map_err(|error| {
            let named = escape(named);
            let text =
                format!("{named} is neither the folder of a run nor a job's id: {error} ({})", error.code());
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
        return Ok(vec![is_state(said)?.to_owned()]);
    }
    let mut folders: Vec<PathBuf> = state::newest(job_id).into_iter().collect();
    // Without HOME there is no daemon to look for either.
    folders.extend(daemon::state_dir(None));
    folders.extend(own_daemons());
    folders.retain(|folder| Archive::is_at(folder));
    Ok(folders)
}

fn is_state(folder: &Path) -> Result<&Path, Failure> {
    if Archive::is_at(folder) {
        return Ok(folder);
    }
    let text = format!(
        "{} is no state folder, there is no journal in it; name one that `trainwire run` or `serve` has made (state_dir)",
        escape(&folder.to_string_lossy())
    );
    Err(Failure::new(Exit::Usage, text))
}

/// The one that was begun last. Whoever takes a folder writes its lock.
fn last_run() -> Result<PathBuf, Failure> {
    let own = own_daemons();
    let begun = |folder: &PathBuf| fs::metadata(folder.join("lock")).and_then(|lock| lock.modified()).ok();
    let runs = runs().filter(|folder| !own.contains(folder));
    runs.max_by_key(begun).ok_or_else(|| {
        let text = format!(
            "there is no run in {} of this folder; name a job, or go where `trainwire run` was called (no_such_job)",
            state::DEFAULT_PARENT
        );
        Failure::new(Exit::Usage, text)
    })
}

fn runs() -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(state::DEFAULT_PARENT).into_iter().flatten().flatten();
    folders.map(|entry| entry.path()).filter(|folder| Archive::is_at(folder))
}

/// Of Python scripts that found no daemon: `.trainwire/serve`, `serve-2` and so on.
fn own_daemons() -> Vec<PathBuf> {
    let ours =
        |name: &str| name == "serve" || name.strip_prefix("serve-").is_some_and(|n| n.parse::<u32>().is_ok());
    let is_ours = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()).is_some_and(ours);
    let mut found: Vec<_> = runs().filter(is_ours).collect();
    found.sort();
    found
}

fn no_such_job(job_id: &JobId, known: Vec<JobId>) -> Failure {
    let mut known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.extend(runs().filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned())));
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
