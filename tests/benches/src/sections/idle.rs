//! What 200 trainers that only beat cost the orchestrator, beside a bare tokio server that only reads
//! as many heartbeats.
//!
//! Servers are processes of their own (this program again), so that their CPU time is theirs alone.
//! The trainers are the protocol's own `TrainerSession`s on real sockets, driven by one thread: 200
//! interpreters would measure the machine's memory.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use trainwire::{Config, Job, Orchestrator, TrainingTask};
use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Instance, JobId};
use trainwire_protocol::message::Role;
use trainwire_protocol::session::{Identity, OutboxLimits, TrainerEvent, TrainerSession};

use crate::report::Idle;
use crate::stats::median;

/// Trainers that beat once a second.
const TRAINERS: usize = 200;

const ROUNDS: usize = 3;
/// Of heartbeats, a round.
const SECONDS: u64 = 6;

pub fn measure() -> Idle {
    let (mut bare, mut ours) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        bare.push(cpu_ms_per_second(Server::Bare, SECONDS));
        ours.push(cpu_ms_per_second(Server::Orchestrator, SECONDS));
    }
    Idle {
        trainers: TRAINERS,
        bare_cpu_ms_per_second: median(bare),
        trainwire_cpu_ms_per_second: median(ours),
    }
}

/// The server to measure.
#[derive(Clone, Copy)]
enum Server {
    Orchestrator,
    Bare,
}

/// CPU time a second of the server, in milliseconds, over `seconds` of heartbeats.
fn cpu_ms_per_second(server: Server, seconds: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("ai-task-sock-idle");
    let name = match server {
        Server::Orchestrator => "orchestrator",
        Server::Bare => "bare",
    };
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["serve-idle", name])
        .arg(folder.path())
        .spawn()
        .expect("the server starts");
    let mut trainers: Vec<Trainer> =
        (0..TRAINERS).map(|number| Trainer::connect(&socket, number, server)).collect();
    // Everything up to here (hello, welcome, deliver, started) is not what is measured.
    beat(&mut trainers, Duration::from_secs(3));
    let before = cpu_time(&process);
    beat(&mut trainers, Duration::from_secs(seconds));
    let spent = cpu_time(&process) - before;
    process.kill().and_then(|()| process.wait()).expect("the server is ours");
    spent.as_secs_f64() * 1e3 / seconds as f64
}

/// The other end of `serve-idle`: never returns.
pub fn serve(name: &str, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match name {
        "orchestrator" => runtime.block_on(serve_orchestrator(folder.to_owned())),
        _ => runtime.block_on(serve_bare(folder.join("ai-task-sock-idle"))),
    }
}

async fn serve_orchestrator(folder: PathBuf) {
    let orchestrator =
        Orchestrator::start(Config { socket_dir: folder, ..Config::default() }).await.expect("it starts");
    let count = u32::try_from(TRAINERS).expect("small");
    let mut job = Job::new("idle").expect("a job id").attach(true).trainers(count);
    for number in 0..TRAINERS {
        job = job.task(TrainingTask::new(format!("task-{number}"), "none"));
    }
    let job = orchestrator.submit(job).await.expect("the job is taken");
    job.outcome().await.expect("never ends");
}

async fn serve_bare(socket: PathBuf) {
    let listener = UnixListener::bind(socket).expect("a fresh path");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move {
            let mut buffer = vec![0u8; 1 << 16];
            while let Ok(Ok(1..)) =
                tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await
            {}
        });
    }
}

struct Trainer {
    stream: UnixStream,
    session: TrainerSession,
    reader: FrameReader,
    writer: FrameWriter,
    bare: bool,
}

impl Trainer {
    fn connect(socket: &Path, number: usize, server: Server) -> Self {
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{}: {error}", socket.display()),
            }
        };
        stream.set_nonblocking(true).expect("a socket");
        let identity = Identity {
            job_id: JobId::new("idle").expect("a job id"),
            token: None,
            instance: Instance(number as u128 + 1),
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: "bench".into(),
            can_dump_stacks: false,
        };
        let mut session = TrainerSession::new(identity, OutboxLimits::default());
        session.connected(Instant::now());
        Self {
            stream,
            session,
            reader: FrameReader::new(ReaderLimits::default()),
            writer: FrameWriter::default(),
            bare: matches!(server, Server::Bare),
        }
    }

    fn turn(&mut self, now: Instant) {
        while let Ok(count @ 1..) = self.stream.read(self.reader.spare()) {
            self.reader.advance(count);
            while let Some(frame) = self.reader.next().expect("frames of our own orchestrator") {
                self.session.handle_frame(now, &frame).expect("messages of our own orchestrator");
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let TrainerEvent::Delivered(delivered) = event {
                self.session.start(now, delivered.deliver.delivery);
            }
        }
        self.session.handle_timeout(now).expect("in time");
        self.session.poll_transmit(now, &mut self.writer).expect("messages that fit");
        while !self.writer.is_empty() {
            let count = self.stream.write_vectored(&self.writer.io_slices()).expect("room for a heartbeat");
            self.writer.advance(count);
        }
    }
}

fn beat(trainers: &mut [Trainer], time: Duration) {
    const HEARTBEAT: [u8; 56] = [0; 56];
    let end = Instant::now() + time;
    let mut next_bare = Instant::now();
    while Instant::now() < end {
        let now = Instant::now();
        // A bare trainer writes the bytes of a heartbeat once a second; the real ones know when.
        let beat_bare = now >= next_bare;
        if beat_bare {
            next_bare = now + Duration::from_secs(1);
        }
        for trainer in trainers.iter_mut() {
            match trainer.bare {
                true if beat_bare => trainer.stream.write_all(&HEARTBEAT).expect("room for a heartbeat"),
                true => {}
                false => trainer.turn(now),
            }
            // Spread over the second, as processes would be.
            std::thread::sleep(Duration::from_micros(250));
        }
    }
}

/// User and system time, from `/proc/{pid}/schedstat`-precise counters.
fn cpu_time(process: &Child) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{}/schedstat", process.id())).expect("it runs");
    let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}
