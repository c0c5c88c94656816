//! Following a process call by call, and doing something to it at one of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Strace;

impl Strace {
    /// Skips where it is missing or forbidden, or fails where everything has to be there.
    #[expect(clippy::print_stderr, reason = "a skip says why")]
    pub fn find() -> Option<Self> {
        let ran = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).status();
        if ran.is_ok_and(|status| status.success()) {
            return Some(Self);
        }
        assert!(std::env::var_os("CI").is_none(), "strace is not installed, or may not trace");
        eprintln!("skipped: strace is not installed, or may not trace");
        None
    }

    /// Runs a command; `what` is an expression of strace's `inject`.
    pub fn inject(self, command: &Command, call: &str, what: &str) -> Command {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{what}"));
        self.follow(command, &["-o", "/dev/null", "-e", &trace, "-e", &inject])
    }

    /// The same, of calls for this file only.
    pub fn inject_at(self, path: &Path, command: &Command, call: &str, what: &str) -> Command {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{what}"));
        let path = path.to_str().expect("UTF-8");
        self.follow(command, &["-o", "/dev/null", "-P", path, "-e", &trace, "-e", &inject])
    }

    /// Which calls a command makes, and how many of each a thread makes at most.
    pub fn calls(self, command: &Command, log: &Path) -> BTreeMap<String, u32> {
        let log_name = log.to_str().expect("UTF-8");
        let mut command = self.follow(command, &["-o", log_name]);
        assert!(command.status().expect("strace").success());
        let log = std::fs::read_to_string(log).expect("a log");
        let mut of_thread: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for line in log.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let Some((name, _)) = call.trim_start().split_once('(') else { continue };
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                *of_thread.entry((thread, name)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((_, name), count) in of_thread {
            let known: &mut u32 = most.entry(name.to_owned()).or_default();
            *known = count.max(*known);
        }
        most
    }

    /// The same, with any arguments of strace.
    pub fn follow(self, command: &Command, arguments: &[&str]) -> Command {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-e", "signal=none"]).args(arguments);
        traced.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                traced.env(name, value);
            }
        }
        traced.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        traced
    }
}
