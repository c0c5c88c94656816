//! `make bench`: figures of trainwire beside floors measured in the same run.
//!
//! Contestants are interleaved round by round, so that a drift of the machine meets all alike, and
//! what is printed are medians of rounds and ratios to the floors. Every transfer is checked.

mod bridge;
mod floor;
mod idle;
mod pin;
mod stats;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bridge::Journal;
use pin::Cores;
use serde_json::{Value, json};
use stats::{Sample, median};

const ROUNDS: usize = 5;
const LATENCY_TASKS: usize = 5_000;
const THROUGHPUT_TASKS: usize = 100_000;
const WINDOW: u32 = 64;
const IDLE_SECONDS: u64 = 10;
const IMPORTS: usize = 30;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, name, folder] = arguments.as_slice()
        && command == "serve-idle"
    {
        return idle::serve(name, Path::new(folder));
    }
    if let [command, cores, journal, window, tasks] = arguments.as_slice()
        && command == "run-once"
    {
        return run_once(cores, journal, window, tasks);
    }
    let python = arguments.first().map_or_else(|| PathBuf::from(".venv/bin/python"), PathBuf::from);
    let machine = stats::machine();
    println!("{machine}\n{ROUNDS} rounds, medians; a floor is measured beside each figure\n");
    let report = json!({
        "machine": machine,
        "latency": in_thread(|| latency(&python)),
        "throughput": throughput(&python),
        "import": import(&python),
        "idle": idle(),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench.json");
    std::fs::write(path, format!("{report:#}\n")).expect("the target folder");
    println!("written to target/bench.json");
}

fn latency(python: &Path) -> Value {
    println!(
        "256-byte task: delivered, four fields and three parameters read, result at the orchestrator (µs)"
    );
    let mut report = serde_json::Map::new();
    for cores in Cores::BOTH {
        let (mut floors, mut memory, mut disk) = (vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            floors.push(floor::latency(python, cores, LATENCY_TASKS));
            memory.push(bridge::run(python, cores, Journal::Memory, 1, LATENCY_TASKS).latency);
            disk.push(bridge::run(python, cores, Journal::Disk, 1, LATENCY_TASKS / 5).latency);
        }
        let of = |samples: &[Sample], share| {
            median(&samples.iter().map(|sample| sample.quantile(share)).collect::<Vec<_>>())
        };
        let floor = of(&floors, 0.5);
        for (name, samples) in [
            ("floor: socket and recv_into", &floors),
            ("trainwire", &memory),
            ("trainwire, journal on disk", &disk),
        ] {
            let (p50, p99) = (of(samples, 0.5), of(samples, 0.99));
            println!(
                "  {:<10} {name:<28} p50 {p50:>7.1}  p99 {p99:>7.1}  {:.2} × floor",
                cores.name(),
                p50 / floor
            );
            report.insert(
                format!("{}, {name}", cores.name()),
                json!({"p50_us": p50, "p99_us": p99, "ratio": p50 / floor}),
            );
        }
    }
    report.into()
}

fn throughput(python: &Path) -> Value {
    println!("small tasks to one warm trainer, window {WINDOW}, each with its result (a second)");
    let (mut floors, mut figures) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        floors.push(in_thread(|| floor::throughput(python, Cores::Two, THROUGHPUT_TASKS)));
        figures.push(in_thread(|| {
            bridge::run(python, Cores::Two, Journal::Memory, WINDOW, THROUGHPUT_TASKS).tasks_per_second
        }));
    }
    let (floor, figure) = (median(&floors), median(&figures));
    println!("  floor: one write a message, no answer  {floor:>9.0}");
    println!("  trainwire                              {figure:>9.0}  {:.2} × floor", figure / floor);
    json!({"floor_per_s": floor, "trainwire_per_s": figure, "ratio": figure / floor})
}

fn import(python: &Path) -> Value {
    let (mut bare, mut with) = (vec![], vec![]);
    for _ in 0..IMPORTS {
        bare.push(time_of(python, "pass"));
        with.push(time_of(python, "import trainwire"));
    }
    let (bare, with) = (median(&bare), median(&with));
    println!("import trainwire: {:.1} ms over bare Python ({bare:.1} ms)", with - bare);
    json!({"bare_ms": bare, "import_ms": with, "over_ms": with - bare})
}

fn idle() -> Value {
    let (mut bare, mut ours) = (vec![], vec![]);
    for _ in 0..3 {
        bare.push(idle::cpu_ms_per_second(idle::Server::Bare, IDLE_SECONDS));
        ours.push(idle::cpu_ms_per_second(idle::Server::Orchestrator, IDLE_SECONDS));
    }
    let (bare, ours) = (median(&bare), median(&ours));
    println!(
        "{} trainers beating once a second: CPU {ours:.2} ms a second, a bare tokio server {bare:.2}, {:.2} ×",
        idle::TRAINERS,
        ours / bare
    );
    json!({"trainers": idle::TRAINERS, "bare_cpu_ms_per_s": bare, "trainwire_cpu_ms_per_s": ours, "ratio": ours / bare})
}

/// Pinning ends with the thread: what follows begins on all cores.
fn in_thread<T: Send>(section: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(section).join().expect("the section's checks hold"))
}

fn time_of(python: &Path, program: &str) -> f64 {
    let begin = Instant::now();
    let status = Command::new(python).args(["-c", program]).status().expect("python starts");
    assert!(status.success(), "{program} failed");
    let elapsed: Duration = begin.elapsed();
    elapsed.as_secs_f64() * 1e3
}

/// One run and nothing beside it, to be looked at with `perf` or `strace`.
fn run_once(cores: &str, journal: &str, window: &str, tasks: &str) {
    let cores = if cores == "1" { Cores::One } else { Cores::Two };
    let journal = if journal == "disk" { Journal::Disk } else { Journal::Memory };
    let (window, tasks) = (window.parse().expect("a number"), tasks.parse().expect("a number"));
    let run = bridge::run(Path::new(".venv/bin/python"), cores, journal, window, tasks);
    println!("p50 {:.1} µs, {:.0} tasks a second", run.latency.quantile(0.5), run.tasks_per_second);
}
