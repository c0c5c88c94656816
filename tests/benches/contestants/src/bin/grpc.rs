//! tonic to grpcio over a Unix socket: a unary call a task; a bidirectional stream where many are in flight.

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use trainwire_bench_harness::{
    Answer, Contestant, EPOCHS, Receiver, STREAM_WINDOW, Setup, Task, Transfer, next_line, now_ns, pin, serve,
};

mod bench {
    tonic::include_proto!("bench");
}
use bench::trainer_client::TrainerClient;

struct Grpc {
    runtime: Runtime,
    client: TrainerClient<Channel>,
    receiver: Receiver,
    _folder: tempfile::TempDir,
}

fn main() {
    let setup = Setup::from_arguments(std::env::args().skip(1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("socket");
    let receiver = Receiver::start(
        &setup,
        "grpc_receiver.py",
        [format!("unix:{}", path.display()), env!("CARGO_MANIFEST_DIR").to_owned()],
    );
    pin(0);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let endpoint = Endpoint::from_shared(format!("unix://{}", path.display())).expect("a path");
    let channel = runtime.block_on(endpoint.connect()).expect("the receiver listens");
    let client = TrainerClient::new(channel).max_encoding_message_size(usize::MAX);
    serve(Grpc { runtime, client, receiver, _folder: folder });
}

fn message(task: &Task, hyperparams: Vec<u8>) -> bench::Task {
    bench::Task {
        task_id: task.task_id(),
        model_name: task.model_name().to_owned(),
        hyperparams: hyperparams.into(),
        max_epochs: EPOCHS,
    }
}

fn answer(message: &bench::Answer) -> Answer {
    Answer { read_ns: message.read_ns, touched_ns: message.touched_ns, check: message.check }
}

impl Contestant for Grpc {
    fn transfer(&mut self, task: Task, in_place: bool) -> Transfer {
        assert!(!in_place, "protobuf messages are made on the heap");
        let asked_ns = now_ns();
        let hyperparams = task.produce();
        let produced_ns = now_ns();
        let reply = self.runtime.block_on(self.client.run(message(&task, hyperparams)));
        let reply = reply.expect("the receiver answers");
        Transfer { asked_ns, produced_ns, answer: answer(reply.get_ref()), answered_ns: now_ns() }
    }

    fn stream(&mut self, tasks: &[Task]) {
        self.runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(STREAM_WINDOW);
            let (first, rest) = tasks.split_at(tasks.len().min(STREAM_WINDOW));
            // grpcio answers a stream, headers included, only after the first message.
            for task in first {
                sender.send(message(task, task.produce())).await.expect("room for a window");
            }
            let reply = self.client.run_all(ReceiverStream::new(receiver)).await;
            let mut answers = reply.expect("the receiver answers").into_inner();
            let mut unanswered = tasks.iter();
            for task in rest {
                let reply = answers.next().await.expect("an answer each").expect("a whole one");
                unanswered.next().expect("fewer than were sent").verify(&answer(&reply));
                sender.send(message(task, task.produce())).await.expect("the stream is open");
            }
            for task in unanswered {
                let reply = answers.next().await.expect("an answer each").expect("a whole one");
                task.verify(&answer(&reply));
            }
        });
    }

    fn receiver_pid(&self) -> u32 {
        self.receiver.pid()
    }

    fn next_line(&mut self) -> Option<String> {
        let line = async { tokio::task::spawn_blocking(next_line).await };
        self.runtime.block_on(line).expect("reading does not panic")
    }
}
