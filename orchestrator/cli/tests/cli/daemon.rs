//! A daemon in a sandbox, and its verbs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, send};

/// `trainwire serve`, and what is to go with it.
pub(crate) struct Daemon<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) child: Child,
}

impl<'a> Daemon<'a> {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(sandbox: &'a Sandbox, args: &[&str]) -> Self {
        Self::start_with(sandbox, args, &[])
    }

    pub(crate) fn start_with(sandbox: &'a Sandbox, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = serve(sandbox, args);
        command.envs(environment.iter().copied());
        Self::wait_for(sandbox, command.spawn().unwrap())
    }

    /// Until one that was started answers.
    pub(crate) fn wait_for(sandbox: &'a Sandbox, child: Child) -> Self {
        let daemon = Self { sandbox, child };
        while daemon.connect().is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    pub(crate) fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(control(self.sandbox))
    }

    /// Runs a verb.
    pub(crate) fn ask(&self, args: &[&str]) -> Ran {
        ask(self.sandbox, args)
    }

    /// Runs a verb that must succeed, with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ran = self.ask(&[args, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Submits one shell script as the job of this id.
    #[track_caller]
    pub(crate) fn submit(&self, job: &str, args: &[&str], script: &str) {
        let ran = self.ask(&[&["submit", "--job-id", job], args, &["--", "sh", "-c", script]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }

    /// Bytes as they are, and all that comes back.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut socket = self.connect().unwrap();
        // Refused early, it closes before it has read all.
        let _ = socket.write_all(request);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// A test that fails leaves none behind.
impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn serve(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = trainwire(sandbox);
    command.arg("serve").arg("--socket-dir").arg(sandbox.path("")).args(args);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

pub(crate) fn ask(sandbox: &Sandbox, args: &[&str]) -> Ran {
    trainwire(sandbox).args(args).output().unwrap().into()
}

pub(crate) fn trainwire(sandbox: &Sandbox) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainwire"));
    command.env("TRAINWIRE_STATE", sandbox.path("state")).current_dir(sandbox.path("")).stdin(Stdio::null());
    command
}

pub(crate) fn control(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("state/control.sock")
}
