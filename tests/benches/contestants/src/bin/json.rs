//! serde_json, a line a task, to Python's `json`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use trainwire_bench_contestants::{Connection, connect};
use trainwire_bench_harness::{Answer, Duplex, EPOCHS, Setup, Task, serve};

#[derive(Serialize)]
struct Line<'a> {
    task_id: &'a str,
    model_name: &'a str,
    hyperparams: String,
    max_epochs: i32,
}

struct Json {
    answers: BufReader<UnixStream>,
    connection: Connection,
}

fn main() {
    let connection = connect(&Setup::from_arguments(std::env::args().skip(1)), "json_receiver.py", &[]);
    let answers = BufReader::new(connection.stream.try_clone().expect("a descriptor"));
    serve(Json { answers, connection });
}

impl Duplex for Json {
    fn send(&mut self, task: &Task, hyperparams: Vec<u8>) {
        let line = Line {
            task_id: &task.task_id(),
            model_name: task.model_name(),
            hyperparams: BASE64_STANDARD.encode(hyperparams),
            max_epochs: EPOCHS,
        };
        let mut line = serde_json::to_vec(&line).expect("text and numbers");
        line.push(b'\n');
        self.connection.stream.write_all(&line).expect("the receiver reads");
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the receiver answers");
        let (read_ns, touched_ns, check) = serde_json::from_str(&line).expect("three numbers");
        Answer { read_ns, touched_ns, check }
    }

    fn receiver_pid(&self) -> u32 {
        self.connection.receiver.pid()
    }
}
