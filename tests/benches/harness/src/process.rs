//! What another process has used of the machine, read from `/proc`.

use std::fs;
use std::time::Duration;

/// User and system time of all its threads, in nanoseconds as the scheduler counts them.
pub fn cpu_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let nanos = threads.filter_map(|thread| {
        // A thread may end meanwhile.
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory in bytes: now (`VmRSS`) or at most so far (`VmHWM`).
pub fn resident_bytes(pid: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let line = line.expect("every process has both");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
