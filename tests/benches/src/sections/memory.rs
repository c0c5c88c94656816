//! What a large task that is only viewed adds to the peak memory of the process that views it.

use trainwire_bench_harness::{Command, Cores, Reply};

use super::Run;
use crate::contestants::{TRAINWIRE, TRAINWIRE_SLAB};
use crate::report::Memory;

const SIZE_BYTES: usize = 256 << 20;

/// One transfer each, of fresh processes: a second one might find the first one's memory.
pub fn measure(run: &mut Run) -> Vec<Memory> {
    let contestants = run.start(&[TRAINWIRE, TRAINWIRE_SLAB], Cores::Two);
    let rows = contestants.into_iter().map(|mut contestant| {
        let in_place = contestant.contestant.in_place;
        match contestant.ask(&Command::Memory { size_bytes: SIZE_BYTES, in_place }) {
            Reply::Memory { peak_growth_bytes } => Memory {
                contestant: contestant.contestant.name.to_owned(),
                size_bytes: SIZE_BYTES,
                peak_growth_bytes,
            },
            other => panic!("{} answered {other:?}", contestant.contestant.name),
        }
    });
    rows.collect()
}
