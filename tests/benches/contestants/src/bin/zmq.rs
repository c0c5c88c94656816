//! The crate zmq (libzmq), DEALER to DEALER over ipc://, msgpack by rmp-serde.

use serde::Serialize;
use trainwire_bench_harness::{Answer, Duplex, EPOCHS, Receiver, Setup, Task, pin, serve};
use zmq::{Context, DEALER, Message, SNDMORE, Socket};

/// An array, as `array_like` at the receiver.
#[derive(Serialize)]
struct Packed<'a> {
    task_id: &'a str,
    model_name: &'a str,
    max_epochs: i32,
    #[serde(with = "serde_bytes")]
    hyperparams: Option<&'a [u8]>,
}

/// Bytes above which the hyperparams travel as a frame of their own, which libzmq does not copy.
const INLINE_BYTES_MAX: usize = 64 << 10;

struct Zmq {
    socket: Socket,
    receiver: Receiver,
    _folder: tempfile::TempDir,
}

fn main() {
    let setup = Setup::from_arguments(std::env::args().skip(1));
    pin(0); // libzmq's own thread, too
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = format!("ipc://{}/socket", folder.path().display());
    let socket = Context::new().socket(DEALER).expect("a context makes sockets");
    socket.bind(&address).expect("a fresh path");
    let receiver = Receiver::start(&setup, "zmq_receiver.py", [&address]);
    serve(Zmq { socket, receiver, _folder: folder });
}

impl Duplex for Zmq {
    fn send(&mut self, task: &Task, hyperparams: Vec<u8>) {
        let inline = hyperparams.len() <= INLINE_BYTES_MAX;
        let packed = Packed {
            task_id: &task.task_id(),
            model_name: task.model_name(),
            max_epochs: EPOCHS,
            hyperparams: inline.then_some(&hyperparams),
        };
        let packed = rmp_serde::to_vec(&packed).expect("text, bytes and numbers");
        if inline {
            self.socket.send(packed, 0).expect("the receiver reads");
        } else {
            self.socket.send(packed, SNDMORE).expect("the receiver reads");
            self.socket.send(Message::from(hyperparams), 0).expect("the receiver reads");
        }
    }

    fn answer(&mut self) -> Answer {
        let answer = self.socket.recv_bytes(0).expect("the receiver answers");
        let (read_ns, touched_ns, check) = rmp_serde::from_slice(&answer).expect("three numbers");
        Answer { read_ns, touched_ns, check }
    }

    fn receiver_pid(&self) -> u32 {
        self.receiver.pid()
    }
}
