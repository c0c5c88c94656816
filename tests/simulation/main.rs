//! Deterministic simulation: the Scheduler, both Sessions, a disk and trainers in one thread and in
//! virtual time. A seed says everything that happens: what is submitted, what the trainers' code does, and what
//! goes wrong when. Whatever that is, an independent reader of the records that are left and of what the
//! trainers saw finds every promise kept.
//!
//! ```text
//!  clients ──► Scheduler ──► group ──► disk (slow, full, failing) ──► effects
//!                 ▲                                                     │
//!                 └── OrchestratorSessions ◄── wires (late, cut) ──► TrainerSessions ◄── code
//! ```
//!
//! A failing seed is printed. `TRAINWIRE_SEED=17 cargo test -p trainwire-tests --test simulation` runs it alone
//! and tells what happened; `TRAINWIRE_SEEDS=10000` says how many are run, `TRAINWIRE_FIRST_SEED` from which on.

#[path = "../virtual_time/bytes.rs"]
mod bytes;
mod chaos;
mod client;
mod disk;
mod orchestrator;
mod random;
mod reader;
mod trainer;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

#[test]
fn every_promise_is_kept_whatever_happens() {
    if let Some(seed) = number("TRAINWIRE_SEED") {
        World::new(seed, true).run();
        return;
    }
    let seeds = number("TRAINWIRE_SEEDS").unwrap_or(SEEDS);
    let first = number("TRAINWIRE_FIRST_SEED").unwrap_or(0);
    let seeds = first.saturating_add(seeds);
    let (next, events) = (AtomicU64::new(first), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return None;
                }
                match catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run())) {
                    Ok(ran) => events.fetch_add(ran.events, Ordering::Relaxed),
                    Err(_) => {
                        next.store(seeds, Ordering::Relaxed);
                        return Some(seed);
                    }
                };
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("caught")).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "run it again with TRAINWIRE_SEED={}", failed[0]);
    eprintln!("seeds {first} to {seeds}, {} events", events.into_inner());
}

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in 0..5 {
        let [first, second] = [(), ()].map(|()| World::new(seed, false).run());
        assert_eq!(first.records, second.records, "seed {seed}");
        assert_eq!(first.events, second.events, "seed {seed}");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// Without optimisation that takes seconds; `make faults` runs 10,000 with.
const SEEDS: u64 = 60;
