//! What can go wrong, by whom it is met: at the start, in building a task, at a submission, and while
//! waiting. Every error has a stable `code()` and says what to do.

use std::io;
use std::path::PathBuf;

use trainwire_protocol::task::TaskError;
use trainwire_unix::{SealedError, SlabError};

use crate::job::SpecError;

/// Why an orchestrator did not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The caller's: a setting that cannot be.
    #[error("{field} {problem}")]
    Config {
        /// Of [`Config`](crate::Config).
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The caller's: called outside a tokio runtime.
    #[error("an orchestrator needs a tokio runtime with IO and time enabled; start it inside one")]
    NoRuntime,
    /// The folder cannot be made or written.
    #[error("the state folder {path:?} cannot be used: {source}; set another or correct its rights")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// Another orchestrator has it.
    #[error(
        "the state folder {path:?} is in use by process {holder}; stop that orchestrator or set another folder"
    )]
    Locked {
        /// Which.
        path: PathBuf,
        /// Its pid, or `unknown`.
        holder: String,
    },
    /// The journal cannot be opened or read.
    #[error("the journal {path:?} cannot be opened: {text}")]
    Journal {
        /// Which.
        path: PathBuf,
        /// What SQLite or the reader said.
        text: String,
    },
    /// The journal was written by a newer version.
    #[error(
        "the journal {path:?} has format {found}, this version reads up to {known}; use a newer trainwire or another state folder"
    )]
    JournalNewer {
        /// Which.
        path: PathBuf,
        /// What it has.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// The process may not open enough files for even one job.
    #[error("this process may open {limit} files, at least {needed} are needed; raise the limit (ulimit -n)")]
    Descriptors {
        /// RLIMIT_NOFILE.
        limit: u64,
        /// For one job of one trainer.
        needed: u64,
    },
    /// No randomness, no threads.
    #[error("the operating system gave no {what}: {text}")]
    System {
        /// What.
        what: &'static str,
        /// Its words.
        text: String,
    },
}

impl StartError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "bad_config",
            Self::NoRuntime => "no_runtime",
            Self::StateDir { .. } => "state_dir",
            Self::Locked { .. } => "state_dir_locked",
            Self::Journal { .. } => "journal",
            Self::JournalNewer { .. } => "journal_newer",
            Self::Descriptors { .. } => "descriptor_limit",
            Self::System { .. } => "system",
        }
    }
}

/// Why a task cannot be built. The caller's, or for want of memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffer does not verify, or a field is over its limit.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The parameters cannot be written as msgpack.
    #[error("the parameters cannot be serialized: {0}")]
    Params(#[from] rmp_serde::encode::Error),
    /// No memory for a task that is produced in place, or its source cannot be read.
    #[error(transparent)]
    Payload(#[from] SealedError),
}

impl BuildError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Task(error) => error.code(),
            Self::Params(_) => "bad_params",
            Self::Payload(error) => error.code(),
        }
    }
}

/// Why a job was not taken. Nothing of it is in the journal then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The caller's: the id, the command or a limit cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The caller's: a job without work.
    #[error("the job has no tasks; give it at least one")]
    NoTasks,
    /// The caller's: a task cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The caller's: two tasks of one name.
    #[error("two tasks have the id {task_id:?}; ids are unique in a job")]
    DuplicateTask {
        /// The name.
        task_id: String,
    },
    /// A task above 64 KiB could not be written to the state folder. Backpressure where the disk is full.
    #[error("a task cannot be written to {path:?}: {source}; free space or correct the folder's rights")]
    PayloadFile {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// Backpressure: the disk of the state folder is full, or nearly so. Trainers go on; records wait until
    /// there is room again.
    #[error(
        "{path:?} has {free_bytes} bytes free beside the reserve for running tasks, so {submitted_bytes} more are not taken; free space and submit again"
    )]
    DiskFull {
        /// The state folder.
        path: PathBuf,
        /// Not counting [`Config::disk_reserve`](crate::Config::disk_reserve).
        free_bytes: u64,
        /// Of the tasks submitted.
        submitted_bytes: u64,
    },
    /// Backpressure: too many unfinished tasks.
    #[error(
        "{unfinished} tasks are unfinished and {limit} is the limit, so {submitted} more are not taken; wait, or raise unfinished_tasks_max"
    )]
    QueueFull {
        /// Now.
        unfinished: usize,
        /// Of the job.
        submitted: usize,
        /// `Config::unfinished_tasks_max`.
        limit: usize,
    },
    /// Backpressure: too many bytes.
    #[error(
        "unfinished tasks hold {held} bytes and {limit} is the limit, so {submitted} more are not taken; wait, or raise unfinished_bytes_max"
    )]
    BytesFull {
        /// Now.
        held: u64,
        /// Of the job.
        submitted: u64,
        /// `Config::unfinished_bytes_max`.
        limit: u64,
    },
    /// Backpressure: too many open files.
    #[error(
        "the job needs up to {needed} open files, {free} of this process's {limit} are free; wait, start fewer trainers, or raise the limit (ulimit -n)"
    )]
    Descriptors {
        /// Of the job.
        needed: u64,
        /// Not promised to a job yet.
        free: u64,
        /// RLIMIT_NOFILE.
        limit: u64,
    },
    /// Backpressure: no memory for a task's sealed copy.
    #[error(transparent)]
    Payload(#[from] SealedError),
    /// No memory for the job's slab, which is backpressure, or the kernel has no slabs.
    #[error(transparent)]
    Slab(#[from] SlabError),
    /// The Scheduler said no, e.g. `job_conflict`.
    #[error("{text}")]
    Rejected {
        /// Stable.
        code: &'static str,
        /// What was wrong and what to do.
        text: String,
    },
    /// The orchestrator is gone. Whether the job is in the journal is unknown.
    #[error(transparent)]
    Orchestrator(#[from] OrchestratorError),
}

impl SubmitError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spec(error) => error.code(),
            Self::NoTasks => "no_tasks",
            Self::Build(error) => error.code(),
            Self::DuplicateTask { .. } => "duplicate_task_id",
            Self::PayloadFile { .. } => "payload_file",
            Self::DiskFull { .. } => "disk_full",
            Self::QueueFull { .. } => "queue_full",
            Self::BytesFull { .. } => "bytes_full",
            Self::Descriptors { .. } => "descriptors_full",
            Self::Payload(error) => error.code(),
            Self::Slab(error) => error.code(),
            Self::Rejected { code, .. } => code,
            Self::Orchestrator(error) => error.code(),
        }
    }

    /// Waiting can help: backpressure, not a mistake.
    pub fn is_backpressure(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::QueueFull { .. }
                | Self::BytesFull { .. }
                | Self::Descriptors { .. }
                | Self::Payload(SealedError::OutOfMemory { .. })
                | Self::Slab(SlabError::OutOfMemory { .. })
        ) || matches!(self, Self::PayloadFile { source, .. } if is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why nothing more will come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrchestratorError {
    /// The operating system's: something could not be written or synced, so nothing that rests on it was
    /// done. What a disk that failed once says afterwards cannot be trusted, so nothing is tried again. (A full
    /// disk is no such failure: records wait for room.) Trainers go on and keep their results for
    /// `orphan_timeout`.
    #[error("the journal could not be written, so the orchestrator stopped: {text}")]
    Journal {
        /// What SQLite said.
        text: String,
    },
    /// It was shut down.
    #[error("the orchestrator was shut down")]
    ShutDown,
    /// The caller's: the job has no such task.
    #[error("the job {job_id} has no task {task_id:?}")]
    NoSuchTask {
        /// The job.
        job_id: String,
        /// What was asked for.
        task_id: String,
    },
}

/// Why the stacks of a task's trainer cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StacksError {
    /// No trainer has the task: it waits, or has ended.
    #[error("no trainer has this task now")]
    NotRunning,
    /// The trainer does not use the Python package, has not connected yet, or has no `faulthandler`.
    #[error("its trainer cannot write its stacks; a debugger can, e.g. py-spy dump --pid PID")]
    Unable,
    /// The trainer ended meanwhile.
    #[error("its trainer has just ended")]
    Gone,
    /// There is no such task, or no orchestrator any more.
    #[error(transparent)]
    Orchestrator(#[from] OrchestratorError),
}

impl StacksError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::Unable => "stacks_unable",
            Self::Gone => "trainer_gone",
            Self::Orchestrator(error) => error.code(),
        }
    }
}

impl OrchestratorError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Journal { .. } => "journal_failed",
            Self::ShutDown => "shut_down",
            Self::NoSuchTask { .. } => "no_such_task",
        }
    }
}
