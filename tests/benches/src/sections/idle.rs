//! What 200 trainers that only beat cost the orchestrator, beside a bare tokio server that only reads
//! as many heartbeats.
//!
//! Servers are processes of their own (this program again), so that their CPU time is theirs alone.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use trainwire::{Config, Job, Orchestrator, TrainingTask};
use trainwire_bench_harness::cpu_time;

use crate::report::Idle;
use crate::stats::median;
use crate::trainers::{Tools, Trainer, connect};

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
    let mut tools = Tools::default();
    let mut trainers: Vec<Beating> =
        (0..TRAINERS).map(|number| Beating::start(&socket, number, server, &mut tools)).collect();
    // Everything up to here (hello, welcome, deliver, started) is not what is measured.
    beat(&mut trainers, &mut tools, Duration::from_secs(3));
    let before = cpu_time(process.id());
    beat(&mut trainers, &mut tools, Duration::from_secs(seconds));
    let spent = cpu_time(process.id()) - before;
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

/// What beats.
enum Beating {
    /// Writes the bytes of a heartbeat.
    Bare(UnixStream),
    Trainer(Box<Trainer>),
}

impl Beating {
    fn start(socket: &Path, number: usize, server: Server, tools: &mut Tools) -> Self {
        match server {
            Server::Bare => Self::Bare(connect(socket)),
            Server::Orchestrator => Self::Trainer(Box::new(Trainer::connect(socket, "idle", number, tools))),
        }
    }
}

fn beat(trainers: &mut [Beating], tools: &mut Tools, time: Duration) {
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
            match trainer {
                Beating::Bare(stream) if beat_bare => {
                    stream.write_all(&HEARTBEAT).expect("room for a heartbeat");
                }
                Beating::Bare(_) => {}
                Beating::Trainer(trainer) => drop(trainer.turn(now, tools)),
            }
            // Spread over the second, as processes would be.
            std::thread::sleep(Duration::from_micros(250));
        }
    }
}
