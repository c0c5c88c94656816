//! A report as pictures: written beside `bench.json`, shown in `docs/benchmarks.md`.
//!
//! Few lines have a colour: ours, and those that are compared with. The others are there to be looked up.
//! Every line and bar has its name beside it, so no legend has to be carried in the head.

mod bars;
mod sizes;
mod svg;

use crate::report::Report;

/// Names of files, and what is to be in them; those whose sections were not measured are left out.
pub fn pictures(report: &Report) -> Vec<(&'static str, String)> {
    let pictures = [
        ("sizes.svg", sizes::draw(report)),
        ("throughput.svg", bars::throughput(report)),
        ("memory.svg", bars::memory(report)),
    ];
    pictures.into_iter().filter_map(|(name, picture)| Some((name, picture?))).collect()
}

/// The class a contestant is drawn with.
fn class(contestant: &str) -> &'static str {
    match contestant {
        "trainwire" | "trainwire-disk" => "own",
        "trainwire-slab" => "slab",
        "iceoryx2" => "rival",
        "floor" => "floor",
        _ => "other",
    }
}
