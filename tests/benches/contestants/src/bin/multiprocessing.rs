//! `multiprocessing.connection` at the receiver; here its framing, and a dict pickled as Python's own
//! `send` would, so that the scheduler is Rust as everywhere else.

use std::io::{Read, Write};

use serde::Serialize;
use serde_pickle::{DeOptions, SerOptions};
use trainwire_bench_contestants::{Connection, connect};
use trainwire_bench_harness::{Answer, Duplex, EPOCHS, Setup, Task, serve};

#[derive(Serialize)]
struct Dict<'a> {
    task_id: &'a str,
    model_name: &'a str,
    #[serde(with = "serde_bytes")]
    hyperparams: Vec<u8>,
    max_epochs: i32,
}

struct Multiprocessing(Connection);

fn main() {
    let setup = Setup::from_arguments(std::env::args().skip(1));
    serve(Multiprocessing(connect(&setup, "multiprocessing_receiver.py", &[])));
}

impl Duplex for Multiprocessing {
    fn send(&mut self, task: &Task, hyperparams: Vec<u8>) {
        let dict =
            Dict { task_id: &task.task_id(), model_name: task.model_name(), hyperparams, max_epochs: EPOCHS };
        let pickled = serde_pickle::to_vec(&dict, SerOptions::new()).expect("text, bytes and numbers");
        let length = i32::try_from(pickled.len()).expect("below 2 GiB").to_be_bytes();
        // As `Connection._send_bytes` does: small messages in one write, large ones in two.
        let written = if pickled.len() > 16_384 {
            self.0.stream.write_all(&length).and_then(|()| self.0.stream.write_all(&pickled))
        } else {
            self.0.stream.write_all(&[&length, pickled.as_slice()].concat())
        };
        written.expect("the receiver reads");
    }

    fn answer(&mut self) -> Answer {
        let mut length = [0; 4];
        self.0.stream.read_exact(&mut length).expect("the receiver answers");
        let mut pickled = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a short answer")];
        self.0.stream.read_exact(&mut pickled).expect("the receiver answers");
        let (read_ns, touched_ns, check) =
            serde_pickle::from_slice(&pickled, DeOptions::new()).expect("three numbers");
        Answer { read_ns, touched_ns, check }
    }

    fn receiver_pid(&self) -> u32 {
        self.0.receiver.pid()
    }
}
