//! The Python end of a contestant.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::{Setup, resident_bytes};

/// A process that ends with this value.
pub struct Receiver(Child);

impl Receiver {
    /// Starts `receivers/{script}` with the core it is to run on and `arguments`, and waits until it says
    /// that it is ready. Panics if it ends before.
    pub fn start(
        setup: &Setup,
        script: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut child = Command::new(&setup.python)
            .arg(setup.receivers.join(script))
            .arg(setup.cores.worker().to_string())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped a moment ago");
        BufReader::new(output).read_line(&mut line).expect("text");
        assert_eq!(line, "ready\n", "{script} ended before it was ready");
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended with its connection.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Forgets the peak of a process's resident memory, and gives what is resident now.
pub(crate) fn reset_peak(pid: u32) -> u64 {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a process of our own");
    peak(pid)
}

/// The most that was ever resident, in bytes.
pub(crate) fn peak(pid: u32) -> u64 {
    resident_bytes(pid, "VmHWM")
}
