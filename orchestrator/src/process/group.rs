//! Whether anything is left of a process group that could look at memory.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::unistd::Pid;

/// Whether the group has no process any more, or only such as are dead and wait to be reaped: those
/// have no memory. Processes that left the group are not found.
pub(crate) fn is_gone(group: i32) -> bool {
    killpg(Pid::from_raw(group), None) == Err(Errno::ESRCH) || !any_alive(group)
}

/// Where nobody reaps orphans (a container whose first process does not) the kernel keeps the group for
/// ever, so its members are looked up one by one.
fn any_alive(group: i32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let mut stats = processes.flatten().filter_map(|process| {
        process.file_name().to_str()?.parse::<u32>().ok()?;
        fs::read_to_string(process.path().join("stat")).ok()
    });
    stats.any(|stat| is_alive_in(&stat, group).unwrap_or(false))
}

/// Of a line as proc_pid_stat(5) describes it. `None` if it is none.
fn is_alive_in(stat: &str, group: i32) -> Option<bool> {
    // The name before may hold anything, parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let its_group: i32 = fields.nth(1)?.parse().ok()?;
    // Field 20; a process whose first thread has ended while others go on is called a zombie too.
    let threads: u32 = fields.nth(14)?.parse().ok()?;
    let dead = matches!(state, "Z" | "X") && threads <= 1;
    Some(its_group == group && !dead)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_group_is_gone_with_its_last_living_process() {
        let mut leader =
            Command::new("/bin/sh").args(["-c", "sleep 600 & exec true"]).process_group(0).spawn().unwrap();
        let group = leader.id().cast_signed();
        leader.wait().unwrap();
        assert!(!is_gone(group), "its child lives");
        killpg(Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL).unwrap();
        while !is_gone(group) {
            std::thread::yield_now();
        }
        assert!(is_gone(i32::MAX));
    }

    #[test]
    fn the_lines_of_proc_are_read_behind_the_name() {
        let line = |state: &str, threads: u32| {
            format!("7 (a) b (c) {state} 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0 1")
        };
        for (state, threads, group, alive) in [
            ("S", 1, 42, true),
            ("Z", 1, 42, false),
            ("Z", 3, 42, true),
            ("X", 0, 42, false),
            ("S", 1, 4, false),
        ] {
            assert_eq!(is_alive_in(&line(state, threads), group), Some(alive), "{state} {threads} {group}");
        }
        assert_eq!(is_alive_in("", 42), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(is_alive_in(&own, nix::unistd::getpgrp().as_raw()), Some(true));
    }
}
