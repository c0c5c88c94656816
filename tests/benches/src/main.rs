//! `make bench`: figures of trainwire beside floors and beside what users would pick instead, measured in
//! the same run. Every transfer is checked; a wrong answer fails the run.

mod bridge;
mod contestants;
mod docs;
mod floor;
mod pictures;
mod report;
mod sections;
mod stats;
mod summary;
mod tables;
mod trainers;

use std::path::Path;
use std::process::exit;
use std::time::Instant;

use bridge::{Bridge, Journal, Variant};
use contestants::Pythons;
use floor::Floor;
use report::Report;
use sections::{Run, SECTIONS, Section};
use trainwire_bench_harness::{Setup, serve};

const USAGE: &str =
    "usage: trainwire-bench [--python PATH] [--others-python PATH] [SECTION …]\n       trainwire-bench docs";

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("contestant") => return contestant(arguments.skip(1)),
        Some("docs") => return refresh_docs(),
        Some("serve-idle") => {
            let [_, name, folder] = arguments.collect::<Vec<_>>().try_into().expect("two arguments");
            return sections::serve_idle(&name, Path::new(&folder));
        }
        Some("serve-sockets") => {
            let [_, name, folder, count] = arguments.collect::<Vec<_>>().try_into().expect("three arguments");
            return sections::serve_sockets(&name, Path::new(&folder), count.parse().expect("a number"));
        }
        Some("serve-restart") => {
            return sections::serve_restart(Path::new(&arguments.nth(1).expect("a folder")));
        }
        Some("serve-reunion") => {
            let [_, folder, python] = arguments.collect::<Vec<_>>().try_into().expect("two arguments");
            return sections::serve_reunion(Path::new(&folder), Path::new(&python));
        }
        _ => {}
    }
    let mut pythons =
        Pythons { own: ".venv/bin/python".into(), others: "target/bench-venv/bin/python".into() };
    let mut wanted: Vec<&Section> = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--python" => pythons.own = arguments.next().expect("a path").into(),
            "--others-python" => pythons.others = arguments.next().expect("a path").into(),
            name => match SECTIONS.iter().find(|section| section.name == name) {
                Some(section) => wanted.push(section),
                None => {
                    let names: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
                    eprintln!("{argument}: no such section.\n{USAGE}\nsections: {}", names.join(", "));
                    exit(2);
                }
            },
        }
    }
    if wanted.is_empty() {
        wanted.extend(&SECTIONS);
    }
    run(pythons, &wanted);
}

fn run(pythons: Pythons, wanted: &[&Section]) {
    let begin = Instant::now();
    let mut report =
        Report { machine: stats::machine(), software: stats::software(&pythons), ..Report::default() };
    println!("{}; medians; a floor is measured beside each figure", report.machine);
    let mut run = Run::new(pythons, wanted);
    for section in SECTIONS.iter().filter(|section| wanted.iter().any(|wanted| wanted.name == section.name)) {
        let begin = Instant::now();
        println!("\n{}", section.name);
        (section.measure)(&mut run, &mut report);
        println!("  {:.0} s", begin.elapsed().as_secs_f64());
    }
    report.skipped = run.skipped;
    println!("\n{}", tables::markdown(&report));
    docs::write(&report, &docs::target());
    println!(
        "\nwritten to target/bench.json after {:.0} s, pictures beside it",
        begin.elapsed().as_secs_f64()
    );
}

/// The last run's figures and pictures, into the documents.
fn refresh_docs() {
    if let Err(problem) = docs::refresh() {
        eprintln!("{problem}");
        exit(1);
    }
}

/// The other end of [`contestants::Running`].
fn contestant(mut arguments: impl Iterator<Item = String>) {
    let name = arguments.next().expect("a name");
    let setup = Setup::from_arguments(arguments);
    let bridge = |journal, slab| serve(Bridge::start(&setup, Variant { journal, slab }));
    match name.as_str() {
        "floor" => serve(Floor::start(&setup)),
        "trainwire" => bridge(Journal::Memory, false),
        "trainwire-disk" => bridge(Journal::Disk, false),
        "trainwire-slab" => bridge(Journal::Memory, true),
        _ => panic!("no contestant of this program: {name}"),
    }
}
