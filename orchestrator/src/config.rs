//! The settings of an orchestrator; those of a job are in [`JobSpec`](crate::JobSpec).

use std::path::PathBuf;
use std::time::Duration;

use crate::retention::Retention;
use trainwire_protocol::limits::INLINE_TASK_SIZE_BYTES_DEFAULT;

/// How an orchestrator is set up. All fields have a default:
///
/// ```
/// let config = trainwire::Config { state_dir: Some(".trainwire".into()), ..Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Folder of the journal, the logs, the metrics and the tasks' work folders; made if absent, with
    /// mode 0700. One orchestrator at a time can have it.
    ///
    /// `None`, the default, keeps the journal in memory: a task that was submitted is then lost with
    /// this process. Logs and work folders go to a fresh folder in the system's temporary folder,
    /// which is removed at the shutdown unless a job is unfinished by then.
    pub state_dir: Option<PathBuf>,
    /// Folder of the sockets. Default `/tmp`; a tmpfs binds ten times faster than a disk.
    pub socket_dir: PathBuf,
    /// What a socket's name begins with; the job id follows. Default `ai-task-sock-`.
    pub socket_prefix: String,
    /// Tasks up to this size, in bytes, travel through the socket; larger ones lie in sealed memory
    /// whose descriptor travels. Default 65,536, at most 1,048,576.
    pub inline_task_size_max: usize,
    /// What trainers can have for themselves alone, one trainer a slot: see [`JobSpec::gpus`](crate::JobSpec::gpus).
    /// Names as `CUDA_VISIBLE_DEVICES` takes them. `None`, the default, for the GPUs this process sees: those in
    /// its own `CUDA_VISIBLE_DEVICES` where that is set, else those the NVIDIA driver lists.
    pub slots: Option<Vec<String>>,
    /// From a connection to its Hello. Default 10 s.
    pub handshake_timeout: Duration,
    /// Unfinished tasks above which a submission is refused. Default 1,000,000.
    pub unfinished_tasks_max: usize,
    /// Bytes of unfinished tasks, all held in memory, above which a submission is refused.
    /// Default 4 GiB.
    pub unfinished_bytes_max: u64,
    /// Bytes of the state folder's file system, but at most a tenth of it, that are kept for the records of
    /// running work: a submission that would leave less free is refused (`disk_full`). Default 64 MiB.
    pub disk_reserve: u64,
    /// For how long jobs that have ended are remembered. Default for ever.
    pub retention: Retention,
    /// With a journal in memory: records kept for each job, for event streams that start late or
    /// fall behind. Default 16,384.
    pub volatile_records_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: None,
            socket_dir: PathBuf::from("/tmp"),
            socket_prefix: "ai-task-sock-".to_owned(),
            inline_task_size_max: INLINE_TASK_SIZE_BYTES_DEFAULT,
            slots: None,
            handshake_timeout: Duration::from_secs(10),
            unfinished_tasks_max: 1_000_000,
            unfinished_bytes_max: 4 << 30,
            disk_reserve: 64 << 20,
            retention: Retention::default(),
            volatile_records_max: 16_384,
        }
    }
}
