//! Where things lie on the disk.
//!
//! ```text
//!  {state_dir}/journal.sqlite  lock
//!              jobs/{job_id}/logs/trainer-{number}.log    output, one file a process, append-only
//!                            logs/trainer-{number}.error.json   TORCHELASTIC_ERROR_FILE
//!                            work/{task}/                 kept across attempts
//!                            metrics/{task}.jsonl         reported rows
//!                            payloads/                    bytes of large tasks, until they succeed
//!                            spool/                       results that could not be acknowledged
//! ```

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use trainwire_protocol::id::JobId;

use crate::config::Config;
use crate::journal::PAYLOADS_NAME;
use crate::record::{TaskNo, TrainerNo};

/// The folders of one orchestrator.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    socket_dir: PathBuf,
    socket_prefix: String,
    durable: bool,
}

impl Layout {
    /// `root` is the state folder, or the temporary one that stands for it; absolute.
    pub(crate) fn new(config: &Config, root: PathBuf) -> Self {
        Self {
            root,
            socket_dir: std::path::absolute(&config.socket_dir).unwrap_or_else(|_| config.socket_dir.clone()),
            socket_prefix: config.socket_prefix.clone(),
            durable: config.state_dir.is_some(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Metrics and unacknowledged results are kept only where a journal knows what they belong to.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    pub(crate) fn socket(&self, job: &JobId) -> PathBuf {
        self.socket_dir.join(format!("{}{job}", self.socket_prefix))
    }

    /// The jobs that have a socket, or something of such a name.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = JobId> {
        let names = std::fs::read_dir(&self.socket_dir).into_iter().flatten().flatten();
        names.filter_map(|entry| {
            JobId::new(entry.file_name().to_str()?.strip_prefix(&self.socket_prefix)?).ok()
        })
    }

    pub(crate) fn log(&self, job: &JobId, trainer: TrainerNo) -> PathBuf {
        self.job(job).join(format!("logs/trainer-{}.log", trainer.0))
    }

    pub(crate) fn work(&self, job: &JobId, task: TaskNo, task_id: &str) -> PathBuf {
        self.work_of(job).join(&*task_name(task, task_id))
    }

    /// The folder of the job's work folders.
    pub(crate) fn work_of(&self, job: &JobId) -> PathBuf {
        self.job(job).join("work")
    }

    pub(crate) fn metrics(&self, job: &JobId, task: TaskNo, task_id: &str) -> PathBuf {
        self.job(job).join("metrics").join(format!("{}.jsonl", task_name(task, task_id)))
    }

    /// Relative to the root, as the journal names it.
    pub(crate) fn payloads(&self, job: &JobId) -> PathBuf {
        ["jobs", job.as_str(), PAYLOADS_NAME].iter().collect()
    }

    pub(crate) fn spool(&self, job: &JobId) -> Option<PathBuf> {
        self.durable.then(|| self.job(job).join("spool"))
    }

    /// All that is one job's.
    pub(crate) fn job(&self, job: &JobId) -> PathBuf {
        self.root.join("jobs").join(job.as_str())
    }
}

/// A task's id where it is fit for a file's name, else its number, which no fit id looks like.
pub(crate) fn task_name(task: TaskNo, task_id: &str) -> Cow<'_, str> {
    let fit = task_id.len() <= TASK_NAME_SIZE_BYTES_MAX
        && task_id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && task_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-=,+".contains(&byte));
    if fit { task_id.into() } else { format!("_task-{}", task.0).into() }
}

/// A file's name may have 255 bytes, the ending included.
const TASK_NAME_SIZE_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_task_id_leads_out_of_its_folder_or_into_anothers() {
        assert_eq!(task_name(TaskNo(7), "lr=0.1,bs=32"), "lr=0.1,bs=32");
        let long = "x".repeat(201);
        for unfit in ["", ".", "..", "../a", "a/b", "a\0b", "é", "-x", "_task-8", &long] {
            assert_eq!(task_name(TaskNo(7), unfit), "_task-7", "{unfit:?}");
        }
    }
}
