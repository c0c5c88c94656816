//! Small tasks, many in flight, each answered.

use trainwire_bench_harness::{Command, Cores, Reply};

use super::Run;
use crate::contestants::{FLOOR, TRAINWIRE};
use crate::report::Throughput;
use crate::stats::median;

const ROUNDS: usize = 5;
/// Of a round.
const TASKS: usize = 10_000;
/// With the fields, a task of 256 bytes.
const SIZE_BYTES: usize = 160;

pub fn measure(run: &mut Run) -> Vec<Throughput> {
    let mut contestants = run.start(&[FLOOR, TRAINWIRE], Cores::Two);
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    let command = Command::Stream { size_bytes: SIZE_BYTES, count: TASKS };
    for round in 0..=ROUNDS {
        for (contestant, rates) in contestants.iter_mut().zip(&mut rounds) {
            let Reply::Stream { seconds } = contestant.ask(&command) else {
                panic!("{} answered something else", contestant.contestant.name);
            };
            if round > 0 {
                rates.push(TASKS as f64 / seconds);
            }
        }
    }
    let rows = contestants.iter().zip(rounds).map(|(contestant, rates)| Throughput {
        contestant: contestant.contestant.name.to_owned(),
        tasks_per_second: median(rates),
    });
    rows.collect()
}
