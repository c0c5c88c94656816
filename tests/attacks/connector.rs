//! Connections made by another process. The orchestrator signals a trainer that was started by hand
//! when it is lost, and the trainer is whoever called `connect`: not these tests, please.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tokio::net::UnixStream;
use trainwire_tests::{Peer, python};
use trainwire_unix::Wait;
use trainwire_unix::descriptors::{receive, send};

/// A process that connects and hands the connection over.
pub(crate) struct Connector {
    socket: PathBuf,
    child: Child,
    channel: StdStream,
}

impl Connector {
    pub(crate) fn new(socket: &Path) -> Self {
        let (child, channel) = start(socket);
        Self { socket: socket.to_owned(), child, channel }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn connect(&mut self) -> Peer {
        loop {
            if let Some(connected) = self.ask() {
                let stream = StdStream::from(connected);
                stream.set_nonblocking(true).expect("a socket");
                return Peer::new(UnixStream::from_std(stream).expect("a runtime"));
            }
            // It was lost, and killed.
            self.renew();
        }
    }

    /// The death of all trainers so far.
    pub(crate) fn renew(&mut self) {
        self.end();
        (self.child, self.channel) = start(&self.socket);
    }

    fn ask(&self) -> Option<OwnedFd> {
        send(&self.channel, &[IoSlice::new(b"?")], None, Wait::Block).ok()?;
        let mut descriptors = Vec::new();
        receive(&self.channel, &mut [0], &mut descriptors, Wait::Block).ok()?;
        descriptors.pop()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.end();
    }
}

fn start(socket: &Path) -> (Child, StdStream) {
    let (ours, theirs) = StdStream::pair().expect("a pair");
    let mut command = Command::new(python());
    command.args(["-S", "-c", PROGRAM]).arg(socket).stdin(OwnedFd::from(theirs));
    (command.spawn().expect("a process"), ours)
}

const PROGRAM: &str = "
import socket, sys

channel = socket.socket(fileno=0)
while channel.recv(1):
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(sys.argv[1])
        socket.send_fds(channel, [b'!'], [connected.fileno()])
";
