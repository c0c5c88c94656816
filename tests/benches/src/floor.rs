//! The floor: what the kernel and Python cost with nothing between them. Blocking writes to a bare Unix
//! stream; the receiver reads into one recycled buffer.

use std::io::{IoSlice, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use trainwire_bench_harness::{Answer, Duplex, Receiver, Setup, Task, Work, pin};

pub struct Floor {
    stream: UnixStream,
    receiver: Receiver,
}

impl Floor {
    pub fn start(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("floor");
        let listener = UnixListener::bind(&path).expect("a fresh path");
        let receiver = Receiver::start(setup, "floor_receiver.py", [&path]);
        let (stream, _) = listener.accept().expect("it is connected when it is ready");
        pin(0);
        Self { stream, receiver }
    }
}

impl Duplex for Floor {
    fn send(&mut self, task: &Task, hyperparams: Vec<u8>) {
        let header = [hyperparams.len() as u64, task.number, u64::from(task.work == Work::Sum)];
        let header = header.map(u64::to_le_bytes);
        let slices = [IoSlice::new(header.as_flattened()), IoSlice::new(&hyperparams)];
        let written = self.stream.write_vectored(&slices).expect("the receiver reads");
        let rest = written.checked_sub(header.as_flattened().len()).expect("room for a header");
        self.stream.write_all(&hyperparams[rest..]).expect("the receiver reads");
    }

    fn answer(&mut self) -> Answer {
        let mut answer = [[0; 8]; 3];
        self.stream.read_exact(answer.as_flattened_mut()).expect("the receiver answers");
        let [read_ns, touched_ns, check] = answer.map(u64::from_le_bytes);
        Answer { read_ns, touched_ns, check }
    }

    fn receiver_pid(&self) -> u32 {
        self.receiver.pid()
    }
}
