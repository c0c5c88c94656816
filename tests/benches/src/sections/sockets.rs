//! As many jobs as the descriptor limit allows in one process, each with a socket of its own: how fast
//! their trainers get their first tasks, what a job holds in memory, and what their heartbeats cost, beside a
//! bare tokio server that accepts, reads a hello, writes a task, reads an acknowledgement and then heartbeats.
//!
//! The server is a process of its own on core 0, the trainers are one thread on core 1. The sockets lie in
//! `/dev/shm`, where binding is quick.

mod client;
mod server;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trainwire_bench_harness::{Task, Work, cpu_time, pin, resident_bytes};

use crate::bridge::scratch;
use crate::report::Sockets;
use crate::stats::median;

use client::Clients;
pub use server::serve;

const ROUNDS: usize = 3;

/// The servers' names, the one first that says how many jobs it can have.
const SERVERS: [&str; 3] = ["trainwire", "trainwire-disk", "floor"];

/// A quarter of the jobs' `recv_timeout`.
const HEARTBEAT: Duration = Duration::from_millis(400);
/// Of heartbeats, a round.
const BEATING: Duration = Duration::from_secs(3);

pub fn measure() -> Vec<Sockets> {
    let mut rounds = vec![Vec::new(); SERVERS.len()];
    let mut jobs = usize::MAX;
    for _ in 0..ROUNDS {
        for (name, rounds) in SERVERS.iter().zip(&mut rounds) {
            // Pinning ends with the thread.
            let round = std::thread::scope(|scope| {
                scope.spawn(|| round(name, jobs)).join().expect("every task arrives whole")
            });
            jobs = round.jobs;
            rounds.push(round);
        }
    }
    let rows = SERVERS.iter().zip(rounds).map(|(name, rounds)| {
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
        Sockets {
            contestant: (*name).to_owned(),
            jobs,
            first_tasks_per_second: of(|round| round.jobs as f64 / round.connecting.as_secs_f64()),
            cpu_us_per_job: of(|round| round.connecting_cpu.as_secs_f64() * 1e6 / round.jobs as f64),
            bytes_per_job: of(|round| round.growth_bytes as f64 / round.jobs as f64),
            heartbeats_per_second: of(|round| round.heartbeats as f64 / BEATING.as_secs_f64()),
            core_share: of(|round| round.beating_cpu.as_secs_f64() * 10_000.0 / round.heartbeats as f64),
        }
    });
    rows.collect()
}

#[derive(Clone, Debug)]
struct Round {
    jobs: usize,
    /// From the first connection until the last trainer has its first task.
    connecting: Duration,
    /// Of the server.
    connecting_cpu: Duration,
    growth_bytes: u64,
    heartbeats: usize,
    beating_cpu: Duration,
}

fn round(server: &str, jobs: usize) -> Round {
    let memory = Path::new("/dev/shm");
    let sockets = tempfile::tempdir_in(if memory.is_dir() { memory.to_owned() } else { scratch() });
    let sockets = sockets.expect("a temporary folder");
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["serve-sockets", server])
        .arg(sockets.path())
        .arg(jobs.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let (jobs, empty_bytes) = ready(&mut process);
    let pid = process.id();
    pin(1);
    let before = cpu_time(pid);
    let begin = Instant::now();
    let mut clients = Clients::connect(server == "floor", sockets.path(), jobs);
    let (connecting, connecting_cpu) = (begin.elapsed(), cpu_time(pid) - before);
    // Every trainer says once that it has started, and beats for the first time.
    clients.beat(2 * HEARTBEAT);
    let growth_bytes = resident_bytes(pid, "VmRSS").saturating_sub(empty_bytes);
    let before = cpu_time(pid);
    let heartbeats = clients.beat(BEATING);
    let beating_cpu = cpu_time(pid) - before;
    process.kill().and_then(|()| process.wait()).expect("the server is ours");
    Round { jobs, connecting, connecting_cpu, growth_bytes, heartbeats, beating_cpu }
}

/// How many jobs it has, and what was resident before the first.
fn ready(process: &mut Child) -> (usize, u64) {
    let mut line = String::new();
    let output = process.stdout.take().expect("piped a moment ago");
    BufReader::new(output).read_line(&mut line).expect("text");
    let words: Vec<u64> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [jobs, empty_bytes] = words[..] else { panic!("the server ended before it was ready") };
    (usize::try_from(jobs).expect("a count"), empty_bytes)
}

fn job_id(number: usize) -> String {
    format!("job-{number}")
}

fn socket_name(number: usize) -> String {
    format!("ai-task-sock-{}", job_id(number))
}

/// With the fields, a task of 256 bytes.
fn task(number: usize) -> Task {
    Task { number: number as u64, size_bytes: 160, work: Work::Look }
}
