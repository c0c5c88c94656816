//! Tells the kernel's out-of-memory killer from a plain SIGKILL, as far as that can be known.
//!
//! The signal is the same. What differs is a counter: of our memory cgroup, or of the whole system
//! where no cgroup counts. Each counted kill explains at most one trainer's end: a SIGKILL, or an exit
//! code that is not 0, as a shell has whose child was killed. Kills that no trainer died of are forgotten
//! whenever one ends well. What is not explained is called a plain SIGKILL.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Counts from here on. Later calls change nothing.
pub(super) fn begin_counting() {
    let _ = counter();
}

/// Whether the out-of-memory killer has killed since the last claim. If so, that kill is taken.
pub(super) fn claim() -> bool {
    let mut seen = counter().seen.lock().unwrap_or_else(PoisonError::into_inner);
    let killed = counter().read() > *seen;
    *seen += u64::from(killed);
    killed
}

/// Kills counted so far explain nothing that happens later.
pub(super) fn forget_unclaimed() {
    *counter().seen.lock().unwrap_or_else(PoisonError::into_inner) = counter().read();
}

struct Counter {
    file: PathBuf,
    seen: Mutex<u64>,
}

impl Counter {
    fn read(&self) -> u64 {
        fs::read_to_string(&self.file).ok().and_then(|text| count_in(&text)).unwrap_or(0)
    }
}

/// One for the process: so is the cgroup.
fn counter() -> &'static Counter {
    static COUNTER: OnceLock<Counter> = OnceLock::new();
    COUNTER.get_or_init(|| {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let counting = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| count_in(&text).is_some());
        let file =
            candidates(&cgroups).into_iter().find(counting).unwrap_or_else(|| PathBuf::from("/proc/vmstat"));
        let counter = Counter { file, seen: Mutex::new(0) };
        *counter.seen.lock().unwrap_or_else(PoisonError::into_inner) = counter.read();
        counter
    })
}

/// `memory.events` of version 2, `memory.oom_control` of version 1; in a container the cgroup's own
/// files lie at the root of the hierarchy.
fn candidates(cgroups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(cgroup)) = (fields.next(), fields.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.events"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.oom_control")
            }
            _ => continue,
        };
        let root = Path::new(root);
        files.push(root.join(cgroup.trim_start_matches('/')).join(name));
        files.push(root.join(name));
    }
    files
}

fn count_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_either_version_is_found_and_read() {
        assert_eq!(
            candidates("0::/user.slice/a\n"),
            [
                PathBuf::from("/sys/fs/cgroup/user.slice/a/memory.events"),
                "/sys/fs/cgroup/memory.events".into()
            ]
        );
        assert_eq!(
            candidates("9:cpu,cpuacct:/x\n4:memory:/x:y\n").first(),
            Some(&PathBuf::from("/sys/fs/cgroup/memory/x:y/memory.oom_control"))
        );
        assert_eq!(count_in("low 0\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(count_in("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(count_in("oom_kill_disable 0\n"), None);
    }
}
