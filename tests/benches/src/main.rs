//! `make bench`: figures of trainwire beside floors and beside what users would pick instead, measured in
//! the same run. Every transfer is checked; a wrong answer fails the run.

mod bridge;
mod contestants;
mod floor;
mod report;
mod sections;
mod stats;
mod tables;

use std::path::Path;
use std::process::exit;
use std::time::Instant;

use bridge::{Bridge, Journal, Variant};
use contestants::Pythons;
use floor::Floor;
use report::Report;
use sections::{Run, SECTIONS};
use trainwire_bench_harness::{Setup, serve};

const USAGE: &str = "usage: trainwire-bench [--python PATH] [--others-python PATH] [SECTION …]";

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("contestant") => return contestant(arguments.skip(1)),
        Some("serve-idle") => {
            let [_, name, folder] = arguments.collect::<Vec<_>>().try_into().expect("two arguments");
            return sections::serve_idle(&name, Path::new(&folder));
        }
        Some("serve-restart") => {
            return sections::serve_restart(Path::new(&arguments.nth(1).expect("a folder")));
        }
        _ => {}
    }
    let mut pythons =
        Pythons { own: ".venv/bin/python".into(), others: "target/bench-venv/bin/python".into() };
    let mut wanted = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--python" => pythons.own = arguments.next().expect("a path").into(),
            "--others-python" => pythons.others = arguments.next().expect("a path").into(),
            name if SECTIONS.iter().any(|(section, _)| *section == name) => wanted.push(argument),
            _ => {
                let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
                eprintln!("{argument}: no such section.\n{USAGE}\nsections: {}", names.join(", "));
                exit(2);
            }
        }
    }
    run(pythons, &wanted);
}

fn run(pythons: Pythons, wanted: &[String]) {
    let begin = Instant::now();
    let mut report = Report { machine: stats::machine(), ..Report::default() };
    println!("{}; medians; a floor is measured beside each figure", report.machine);
    let mut run = Run::new(pythons, wanted);
    for (name, measure) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let begin = Instant::now();
            println!("\n{name}");
            measure(&mut run, &mut report);
            println!("  {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    report.skipped = run.skipped;
    println!("\n{}", tables::markdown(&report));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench.json");
    std::fs::write(path, report.to_json()).expect("the target folder");
    println!("\nwritten to target/bench.json after {:.0} s", begin.elapsed().as_secs_f64());
}

/// The other end of [`contestants::Running`].
fn contestant(mut arguments: impl Iterator<Item = String>) {
    let name = arguments.next().expect("a name");
    let setup = Setup::from_arguments(arguments);
    match name.as_str() {
        "floor" => serve(Floor::start(&setup)),
        "trainwire" => serve(Bridge::start(&setup, Variant { journal: Journal::Memory })),
        "trainwire-disk" => serve(Bridge::start(&setup, Variant { journal: Journal::Disk })),
        _ => panic!("no contestant of this program: {name}"),
    }
}
