//! Who takes part, and how they are built, started and asked.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use trainwire_bench_harness::{Command, Cores, Reply};

/// A way to get a task from Rust to Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contestant {
    /// In commands and `bench.json`.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    program: Program,
    /// Tasks can be produced where they are sent from.
    pub in_place: bool,
    /// Smaller and larger ones are not measured.
    pub size_bytes_min: usize,
    pub size_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// This program, `contestant {name}`.
    Own,
    /// `contestants/src/bin/{name}.rs`, behind a feature of the same name if it is heavy.
    Other { feature: bool },
}

const GIB: usize = 1 << 30;

/// A bare socket; ratios are to it.
pub const FLOOR: Contestant = Contestant {
    name: "floor",
    label: "floor: bare socket",
    program: Program::Own,
    in_place: false,
    size_bytes_min: 0,
    size_bytes_max: GIB,
};

pub const TRAINWIRE: Contestant = Contestant {
    name: "trainwire",
    label: "trainwire",
    program: Program::Own,
    in_place: true,
    size_bytes_min: 0,
    size_bytes_max: GIB,
};

pub const TRAINWIRE_DISK: Contestant =
    Contestant { name: "trainwire-disk", label: "trainwire, journal on disk", ..TRAINWIRE };

/// Its large tasks in memory that is used again.
pub const TRAINWIRE_SLAB: Contestant = Contestant {
    name: "trainwire-slab",
    label: "trainwire, slab",
    size_bytes_min: 64 << 10, // others go through the socket
    ..TRAINWIRE
};

pub const OTHERS: [Contestant; 6] = [
    other("iceoryx2", "iceoryx2", true, GIB, true),
    other("zmq", "zmq → pyzmq, msgspec", true, GIB, false),
    other("grpc", "gRPC: tonic → grpcio", true, GIB, false),
    other("multiprocessing", "multiprocessing.connection", false, GIB, false),
    other("flatbuffers", "socket, pure-Python flatbuffers", false, GIB, false),
    // Base64 and its copies: above this a transfer takes tens of seconds.
    other("json", "JSON lines", false, 256 << 20, false),
];

const fn other(
    name: &'static str,
    label: &'static str,
    feature: bool,
    size_bytes_max: usize,
    in_place: bool,
) -> Contestant {
    Contestant {
        name,
        label,
        program: Program::Other { feature },
        in_place,
        size_bytes_min: 0,
        size_bytes_max,
    }
}

/// For people; a name that is none stands for itself.
pub fn label(name: &str) -> &str {
    let all = [FLOOR, TRAINWIRE, TRAINWIRE_DISK, TRAINWIRE_SLAB].into_iter().chain(OTHERS);
    all.into_iter().find(|contestant| contestant.name == name).map_or(name, |contestant| contestant.label)
}

/// The interpreters.
#[derive(Clone, Debug)]
pub struct Pythons {
    /// Where trainwire is installed.
    pub own: PathBuf,
    /// Where the others' packages are.
    pub others: PathBuf,
}

/// Builds the contestants of other people; gives those that are skipped with the reason.
pub fn build() -> Vec<(Contestant, String)> {
    let mut skipped = Vec::new();
    for contestant in OTHERS {
        let Program::Other { feature } = contestant.program else { continue };
        let mut cargo = Process::new("cargo");
        cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path", MANIFEST]);
        cargo.args(["--bin", contestant.name]).env("CARGO_TARGET_DIR", target());
        if feature {
            cargo.args(["--features", contestant.name]);
        }
        let output = cargo.output().expect("cargo runs");
        if !output.status.success() {
            skipped.push((contestant, last_line(&String::from_utf8_lossy(&output.stderr))));
        }
    }
    skipped
}

/// A contestant with its receiver connected; ends with this value.
pub struct Running {
    pub contestant: Contestant,
    process: Child,
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    errors: File,
}

impl Running {
    /// Starts a contestant. One of other people that does not get ready is skipped with the reason.
    pub fn start(contestant: Contestant, cores: Cores, pythons: &Pythons) -> Result<Self, String> {
        let (mut program, python) = match contestant.program {
            Program::Own => {
                let mut program = Process::new(std::env::current_exe().expect("this program"));
                program.args(["contestant", contestant.name]);
                (program, &pythons.own)
            }
            Program::Other { .. } => {
                (Process::new(target().join("release").join(contestant.name)), &pythons.others)
            }
        };
        let errors = tempfile::tempfile().expect("a temporary file");
        let mut process = program
            .args([python.as_os_str(), cores.name().as_ref(), RECEIVERS.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().expect("a descriptor"))
            .spawn()
            .map_err(|error| error.to_string())?;
        let commands = process.stdin.take();
        let replies = BufReader::new(process.stdout.take().expect("piped a moment ago"));
        let mut running = Self { contestant, process, commands, replies, errors };
        match running.reply() {
            Some(Reply::Ready) => Ok(running),
            _ if contestant.program == Program::Own => running.fail(),
            _ => Err(last_line(&running.error_text())),
        }
    }

    /// Asks, and waits for the answer. What goes wrong here fails the run.
    pub fn ask(&mut self, command: &Command) -> Reply {
        let mut line = serde_json::to_string(command).expect("numbers and names");
        line.push('\n');
        let commands = self.commands.as_mut().expect("open until it is dropped");
        match commands.write_all(line.as_bytes()) {
            Ok(()) => self.reply().unwrap_or_else(|| self.fail()),
            Err(_) => self.fail(),
        }
    }

    fn reply(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("text");
        (!line.is_empty()).then(|| serde_json::from_str(&line).expect("a reply"))
    }

    fn fail(&mut self) -> ! {
        let text = self.error_text();
        panic!("{} failed:\n{text}", self.contestant.name)
    }

    fn error_text(&mut self) -> String {
        let _ = self.process.wait();
        let mut text = String::new();
        self.errors.rewind().and_then(|()| self.errors.read_to_string(&mut text)).expect("text");
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.commands.take());
        let ended = self.process.wait().expect("a child");
        if !ended.success() && !std::thread::panicking() {
            self.fail();
        }
    }
}

/// The line that says most: an exception's or error's, else the last one.
fn last_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = |line: &&str| line.contains("Error:") || line.starts_with("error");
    lines().find(said).or_else(|| lines().next_back()).unwrap_or("it said nothing").to_owned()
}

/// Of its own: the contestants' workspace has its own lock file and features.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench")
}

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contestants/Cargo.toml");
const RECEIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/receivers");
