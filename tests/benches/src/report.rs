//! What a run showed, as it lies in `bench.json`. Tables and pictures are made of this alone.

use serde::{Deserialize, Serialize};

/// A run; sections that were not asked for are absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Processor, cores, kernel.
    pub machine: String,
    /// Versions of the compiler, the interpreter and the main packages.
    pub software: String,
    pub skipped: Vec<Skipped>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<Latency>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<Size>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throughput: Vec<Throughput>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<Memory>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Reports>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submissions: Option<Submissions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Restart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reunion: Option<Reunion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<Sockets>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
}

/// As many jobs as the descriptor limit allows, each with a socket and a trainer of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sockets {
    pub contestant: String,
    pub jobs: usize,
    /// From the first connection until the last trainer has its first task.
    pub first_tasks_per_second: f64,
    /// CPU time of the server meanwhile.
    pub cpu_us_per_job: f64,
    /// Resident, from before the first job until all trainers have started.
    pub bytes_per_job: f64,
    pub heartbeats_per_second: f64,
    /// Of one core, for 10,000 heartbeats a second.
    pub core_share: f64,
}

/// Tasks of 256 bytes into an open job, answered when they are on the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submissions {
    /// A thousand at a time.
    pub batched_per_second: f64,
    /// By this many clients, each of which waits for its answer.
    pub one_by_one_per_second: f64,
    pub clients: usize,
    /// Of one page each, on the same disk.
    pub fsyncs_per_second: f64,
}

/// A start where so many tasks have ended and so many wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restart {
    pub finished: usize,
    pub queued: usize,
    pub seconds: f64,
    /// Resident.
    pub peak_bytes: f64,
}

/// From the start of an orchestrator until trainers of one that was killed are all back, connected and at work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reunion {
    pub trainers: usize,
    /// For how long there was none.
    pub down_seconds: f64,
    pub seconds: f64,
}

/// A contestant that could not be built or started here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    pub contestant: String,
    pub reason: String,
}

/// One small task after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub contestant: String,
    pub cores: String,
    pub size_bytes: usize,
    /// Until the receiver has read the fields.
    pub read_p50_us: f64,
    pub read_p99_us: f64,
    /// Until the answer is back.
    pub answered_p50_us: f64,
    pub answered_p99_us: f64,
}

/// Tasks of one size; medians.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Size {
    pub contestant: String,
    pub in_place: bool,
    pub size_bytes: usize,
    pub read_us: f64,
    pub touched_us: f64,
    pub total_us: f64,
    pub transfers: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Throughput {
    pub contestant: String,
    pub tasks_per_second: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    pub contestant: String,
    pub size_bytes: usize,
    pub peak_growth_bytes: u64,
}

/// `task.report()` with step, loss and three metrics, as fast as Python can call it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reports {
    pub contestant: String,
    /// CPU time of the trainer's process a report: all threads, the loop included.
    pub cpu_us: f64,
    pub wall_us: f64,
    /// Decoded at the orchestrator, each checked.
    pub rows_per_second: f64,
    /// The share the trainer left out because the socket was full.
    pub thinned: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Import {
    pub bare_ms: f64,
    pub import_ms: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    pub trainers: usize,
    pub bare_cpu_ms_per_second: f64,
    pub trainwire_cpu_ms_per_second: f64,
}

impl Report {
    /// The file as a person would read it.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers and names");
        text.push('\n');
        text
    }
}
