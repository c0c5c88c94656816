//! The end of everything trainers started.
//!
//! | how a process is known | what it covers |
//! | --- | --- |
//! | its process group | whatever was forked and did not leave the group |
//! | its [mark](super::mark) | whatever inherited the environment: setsid, double forks, `nohup`, after a restart too |
//! | its ancestors, [noted](descendants) before the trainer is signalled | whatever still hangs on the tree, environment or not |
//!
//! Out of reach is a process for which all three fail: it left the group, was given an environment of its own
//! (`env -i`) or wrote over it (`setproctitle`), and its parent ended before the trainer was signalled; also
//! what a daemon starts on request (`docker run`, `systemd-run`), and what runs as another user.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nix::unistd::getpid;
use trainwire_protocol::id::Token;
use trainwire_unix::{PidFd, ProcessIdentity, Signal};

use super::TrainerProcess;
use super::mark::Mark;
use super::stat::Stat;
use crate::record::TrainerNo;

/// What may be left of a trainer that is dead.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) trainer: TrainerNo,
    mark: Mark,
    /// Of a trainer that was started before this process: it has left no more than its mark.
    process: Option<TrainerProcess>,
}

impl Remains {
    /// Of a process that has ended; `None` for one that somebody else started. What is left of its group is
    /// killed at once.
    pub(crate) fn of(trainer: TrainerNo, process: TrainerProcess) -> Option<Self> {
        process.kill_group();
        Some(Self { trainer, mark: process.mark()?, process: Some(process) })
    }

    /// Of a trainer that was started by an orchestrator before this one.
    pub(crate) fn by_mark(trainer: TrainerNo, token: &Token) -> Self {
        Self { trainer, mark: Mark::of(token), process: None }
    }

    fn group(&self) -> Option<i32> {
        self.process.as_ref()?.lasting_group()
    }
}

/// However it comes about that nobody looks any more.
impl Drop for Remains {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.kill_group();
            process.reap();
        }
    }
}

/// Kills what is left of these trainers, in one look at all processes, and says of which of them there was
/// anything. Where there was not, nothing will come: who is dead starts nobody. Blocks for some 30 µs a
/// process of the machine.
pub(crate) fn sweep<'a>(remains: impl IntoIterator<Item = &'a Remains>) -> Vec<TrainerNo> {
    let mut wanted = Wanted::default();
    let mut all = Vec::new();
    for one in remains {
        all.push(one.trainer);
        wanted.marks.insert(one.mark, one.trainer);
        if let Some(group) = one.group() {
            wanted.groups.insert(group, one.trainer);
        }
        for noted in one.process.iter().flat_map(TrainerProcess::noted) {
            wanted.noted.insert(noted.pid, (noted, one.trainer));
        }
    }
    let mut left = Vec::new();
    // Without /proc nobody is seen to be gone.
    let Ok(processes) = fs::read_dir("/proc") else { return all };
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|pid| *pid != getpid().as_raw().unsigned_abs())
            && let Some(trainer) = wanted.owner(pid, &process.path())
        {
            kill(pid, || wanted.owner(pid, &process.path()) == Some(trainer));
            left.push(trainer);
        }
    }
    left.sort_unstable();
    left.dedup();
    left
}

/// All processes that hang on this one, below it in the tree. Empty where the kernel does not tell
/// (`CONFIG_PROC_CHILDREN`).
pub(super) fn descendants(pid: u32) -> Vec<ProcessIdentity> {
    let mut found: Vec<ProcessIdentity> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if found.len() < NOTED_MAX
                && let Ok(identity) = ProcessIdentity::of(child)
                && !found.contains(&identity)
            {
                found.push(identity);
                parents.push(child);
            }
        }
    }
    found
}

/// Kills a process of this identity.
pub(super) fn kill_exactly(identity: &ProcessIdentity) {
    if let Ok(Some(process)) = identity.open() {
        let _ = process.signal(Signal::SIGKILL);
    }
}

/// Of each of its threads.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let parse =
        |list: String| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>();
    lists.flat_map(parse).collect()
}

/// By what a process is known, and as whose.
#[derive(Default)]
struct Wanted {
    marks: HashMap<Mark, TrainerNo>,
    groups: HashMap<i32, TrainerNo>,
    noted: HashMap<u32, (ProcessIdentity, TrainerNo)>,
}

impl Wanted {
    /// Whose remains a living process is of.
    fn owner(&self, pid: u32, process: &Path) -> Option<TrainerNo> {
        let stat = Stat::of(process).filter(|stat| !stat.dead)?;
        if let Some(trainer) = self.groups.get(&stat.group) {
            return Some(*trainer);
        }
        let noted =
            self.noted.get(&pid).filter(|(noted, _)| ProcessIdentity::of(pid).is_ok_and(|now| now == *noted));
        if let Some((_, trainer)) = noted {
            return Some(*trainer);
        }
        self.marks.get(&Mark::of_process(pid)?).copied()
    }
}

/// Kills the process of this number if, once it cannot become another one, it is still the one that is meant.
fn kill(pid: u32, is_meant: impl FnOnce() -> bool) {
    if let Ok(process) = PidFd::open(pid)
        && is_meant()
    {
        // EPERM for one that runs as another user now: it is left.
        let _ = process.signal(Signal::SIGKILL);
    }
}

/// A tree this large is a fork bomb; its mark and its group reach the rest.
const NOTED_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tree_is_walked_across_sessions() {
        let script = "setsid sh -c 'env -i sleep 600 & echo; wait' & wait";
        let mut top = Command::new("/bin/sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(top.stdout.take().unwrap()), &mut line)
            .unwrap();
        let mut found = descendants(top.id());
        while found.len() < 2 {
            found = descendants(top.id());
        }
        found.iter().for_each(kill_exactly);
        // With its only child dead the shell ends.
        assert!(top.wait().unwrap().code().is_some());
        assert!(descendants(u32::MAX).is_empty());
    }
}
