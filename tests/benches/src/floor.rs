//! The floors: what the kernel and Python cost with nothing between them.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::pin::{Cores, pin};
use crate::stats::Sample;

/// Bytes of a message, as of the small task.
pub const MESSAGE_SIZE_BYTES: usize = 256;

/// Rust blocking write → Python `socket.recv_into` → one byte back.
pub fn latency(python: &Path, cores: Cores, rounds: usize) -> Sample {
    let (mut stream, mut worker) = start(python, cores, "ack");
    let message = [7u8; MESSAGE_SIZE_BYTES];
    let mut ack = [0u8; 1];
    let mut durations = Vec::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 {
        let begin = Instant::now();
        stream.write_all(&message).expect("the worker reads");
        stream.read_exact(&mut ack).expect("the worker answers");
        if round >= rounds / 10 {
            durations.push(begin.elapsed());
        }
    }
    drop(stream);
    assert!(worker.wait().expect("the worker ends").success());
    Sample::new(durations)
}

/// Messages a second, one write each, counted by the worker.
pub fn throughput(python: &Path, cores: Cores, messages: usize) -> f64 {
    let (mut stream, mut worker) = start(python, cores, "count");
    let message = [7u8; MESSAGE_SIZE_BYTES];
    let begin = Instant::now();
    for _ in 0..messages {
        stream.write_all(&message).expect("the worker reads");
    }
    stream.shutdown(std::net::Shutdown::Write).expect("a stream");
    let mut count = [0u8; 8];
    stream.read_exact(&mut count).expect("the worker answers");
    let elapsed: Duration = begin.elapsed();
    assert_eq!(u64::from_le_bytes(count), (messages * MESSAGE_SIZE_BYTES) as u64, "bytes were lost");
    assert!(worker.wait().expect("the worker ends").success());
    messages as f64 / elapsed.as_secs_f64()
}

fn start(python: &Path, cores: Cores, mode: &str) -> (UnixStream, Child) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("floor");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    let worker = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/floor_worker.py"))
        .args([path.as_os_str(), mode.as_ref(), cores.worker().to_string().as_ref()])
        .spawn()
        .expect("python starts");
    pin(0);
    let (stream, _) = listener.accept().expect("the worker connects");
    (stream, worker)
}
