//! A folder to run the binary in, with sockets and state inside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) struct Sandbox {
    dir: TempDir,
}

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        // A short path: a socket's may have 107 bytes.
        Self { dir: tempfile::Builder::new().prefix("tw").tempdir_in("/tmp").unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn write_executable(&self, name: &str, text: &str) {
        let path = self.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `trainwire run --socket-dir . …`, without a terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainwire"));
        command
            .arg("run")
            .arg("--socket-dir")
            .arg(self.dir.path())
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("NO_COLOR")
            .env_remove("TRAINWIRE_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The same, after something only a shell can say.
    pub(crate) fn command_after(&self, prelude: &str, args: &[&str]) -> Command {
        let trainwire = self.command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{prelude}; exec \"$@\""), "sh"]);
        shell.arg(trainwire.get_program()).args(trainwire.get_args()).current_dir(self.dir.path());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Waits until a trainer has made the file.
    pub(crate) fn await_file(&self, name: &str) {
        while !self.path(name).exists() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Whether the process that wrote its pid there is gone, or dead and not yet waited for.
pub(crate) fn is_dead(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_err() || stat.unwrap().rsplit(") ").next().unwrap().starts_with('Z')
}
