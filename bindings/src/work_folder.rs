//! Where a task may write when no orchestrator says so.

use std::path::{Path, PathBuf};

/// `.trainwire/{job}` in the current folder, in it a folder for the task unless there is but one.
pub(crate) fn without_orchestrator(job_id: &str, task_id: Option<&str>) -> PathBuf {
    let job = Path::new(".trainwire").join(job_id);
    task_id.map_or_else(|| job.clone(), |task_id| job.join(folder_of(task_id)))
}

/// A task id as one part of a path. The prefix keeps it from being "..".
fn folder_of(task_id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-=,".contains(c) { c } else { '_' };
    let name: String = task_id.chars().map(safe).take(NAME_SIZE_BYTES_MAX).collect();
    format!("task-{name}")
}

/// A name in a folder has at most 255 bytes.
const NAME_SIZE_BYTES_MAX: usize = 200;
