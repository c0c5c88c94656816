//! A machine that can lose its power: Linux as a process (user-mode Linux), with the host's files to read, and a disk
//! that is a file of the host. When its processes are killed its page cache is gone with them: what was fsynced has
//! reached the file, what was not has not.
//!
//! Console and promises come out of it by two serial lines, which are this process's pipes.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::guest;

/// What outlives its boots.
pub(crate) struct Machine {
    folder: TempDir,
    data: Data,
    /// What was heard, for the machine to read when it is up again.
    told: File,
}

/// What of a file is on the disk when its size is: the two ways of ext4.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data {
    /// Its bytes.
    Ordered,
    /// Whatever was there before.
    Writeback,
}

/// From its start until its power is cut.
pub(crate) struct Boot<'a> {
    machine: &'a mut Machine,
    process: Child,
    lines: Receiver<String>,
    console: File,
    is_cut: bool,
}

impl Machine {
    /// Skips, and says so, where there is no such Linux; fails there if `TRAINWIRE_REQUIRE_UML` is 1.
    #[expect(clippy::print_stderr, reason = "a skip says why")]
    pub(crate) fn find(data: Data) -> Option<Self> {
        let found = |program: &str| {
            let mut command = tool(program);
            command.arg(if program == LINUX { "--version" } else { "-V" });
            let run = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            run.is_ok_and(|status| status.success())
        };
        let missing: Vec<_> = [LINUX, "mke2fs"].into_iter().filter(|name| !found(name)).collect();
        if missing.is_empty() {
            return Some(Self::new(data));
        }
        let what = format!("{missing:?} (Debian's packages user-mode-linux, e2fsprogs) are not there");
        let required = std::env::var_os("TRAINWIRE_REQUIRE_UML").is_some_and(|value| value == "1");
        assert!(!required, "TRAINWIRE_REQUIRE_UML=1, but {what}");
        eprintln!("skipped: {what}");
        None
    }

    fn new(data: Data) -> Self {
        let folder = tempfile::Builder::new().prefix("tw-power-").tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("disk")).expect("a folder");
        fs::write(path("init"), include_str!("init.sh")).expect("a file");
        fs::set_permissions(path("init"), fs::Permissions::from_mode(0o755)).expect("a file");
        let disk = File::create(path("disk.img")).expect("a file");
        disk.set_len(DISK_BYTES).expect("a file");
        let mut make = tool("mke2fs");
        let made = make.args(["-q", "-F", "-t", "ext4", "-b", "4096"]).arg(path("disk.img")).output();
        let made = made.expect("a process");
        assert!(made.status.success(), "{made:?}");
        let told = OpenOptions::new().append(true).create(true).open(path(guest::TOLD)).expect("a file");
        Self { folder, data, told }
    }

    /// Switches it on, for a test of this program to run in it, with these settings in its environment.
    pub(crate) fn boot(&mut self, run: &str, settings: &[&str]) -> Boot<'_> {
        let path = |name: &str| self.folder.path().join(name);
        let mut console = OpenOptions::new();
        let console = console.append(true).create(true).open(path("console")).expect("a file");
        let program = std::env::current_exe().expect("this program");
        let setting = |name: &str, value: &Path| format!("{name}={}", value.display());
        let mut command = Command::new(LINUX);
        command.args(["mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "panic=-1"]);
        command.args(["con=null", "con0=null,fd:2", "ssl=null", "ssl0=null,fd:1"]);
        command.arg(setting("ubd0", &path("disk.img"))).arg(setting("uml_dir", &path("uml")));
        command.arg(setting("init", &path("init")));
        // The first process gets these as its environment.
        command.arg(setting(guest::MACHINE, self.folder.path())).arg(setting("PROGRAM", &program));
        command.arg(format!("DATA={}", format!("{:?}", self.data).to_lowercase()));
        command.arg(format!("RUN={run}")).args(settings);
        if let Ok(planted) = std::env::var("TRAINWIRE_PLANTED") {
            command.arg(format!("TRAINWIRE_PLANTED={planted}"));
        }
        let stderr = console.try_clone().expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        let mut process = command.spawn().expect("a process");
        let lines = lines(process.stdout.take().expect("a pipe"));
        Boot { machine: self, process, lines, console, is_cut: false }
    }

    /// Everything it has said.
    pub(crate) fn told(&self) -> String {
        fs::read_to_string(self.folder.path().join(guest::TOLD)).expect("a file")
    }

    /// For whoever wants to see what it broke.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

impl Boot<'_> {
    /// The next line it says; what is promised in it is kept.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => self.give_up("it says nothing any more"),
                Err(RecvTimeoutError::Disconnected) => self.give_up("it has ended by itself"),
            };
            if line.starts_with("broken: ") || line.starts_with("over: ") {
                self.give_up(&line);
            }
            if self.keep(&line) {
                return line;
            }
        }
    }

    /// Cuts its power.
    pub(crate) fn cut(mut self) {
        self.kill();
        // Until the last process that could have written is gone.
        while let Ok(line) = self.lines.recv() {
            let _ = self.keep(&line);
        }
    }

    /// Where it belongs: what is neither of the machine's words is for who looks for an error.
    fn keep(&mut self, line: &str) -> bool {
        let is_ours = line.split(' ').next().is_some_and(|word| WORDS.contains(&word));
        let file = if is_ours { &mut self.machine.told } else { &mut self.console };
        writeln!(file, "{line}").expect("a file");
        is_ours
    }

    fn kill(&mut self) {
        if std::mem::replace(&mut self.is_cut, true) {
            return;
        }
        let _ = killpg(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGKILL);
        self.process.wait().expect("a process");
    }

    fn give_up(&mut self, why: &str) -> ! {
        self.kill();
        let console = fs::read(self.machine.folder.path().join("console")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let last: Vec<_> = console.lines().rev().take(30).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        panic!("{why}; the last of its console:\n{last}");
    }
}

/// Nothing of it runs on.
impl Drop for Boot<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whole ones only: what the last was to say is not known.
fn lines(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) && line.ends_with(b"\n") {
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            line.clear();
            if !text.is_empty() && sender.send(text).is_err() {
                return;
            }
        }
    });
    lines
}

/// Of the system's administrator.
fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// How a line begins that is meant for us.
const WORDS: [&str; 7] = ["up", "checked", "life", "told:", "over", "gone", "well"];

/// As Debian calls the program.
const LINUX: &str = "linux.uml";

const DISK_BYTES: u64 = 64 << 20;

/// A guard against hanging.
const PATIENCE: Duration = Duration::from_secs(150);
