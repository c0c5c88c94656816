//! What the contestants over a Unix stream have in common. Each program is in `bin`.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use tempfile::TempDir;
use trainwire_bench_harness::{Receiver, Setup, pin};

/// A connected receiver. The fields are dropped in this order: the connection ends first.
pub struct Connection {
    pub stream: UnixStream,
    pub receiver: Receiver,
    _folder: TempDir,
}

/// Starts `script` with the path of a socket and `more`, and accepts its connection.
pub fn connect(setup: &Setup, script: &str, more: &[PathBuf]) -> Connection {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    let receiver = Receiver::start(setup, script, [&path].into_iter().chain(more));
    let (stream, _) = listener.accept().expect("it is connected when it is ready");
    pin(0);
    Connection { stream, receiver, _folder: folder }
}
