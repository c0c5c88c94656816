//! Small tasks, one after another: until the receiver has read the fields, and until the answer is back.

use trainwire_bench_harness::{Command, Cores, Work};

use super::Run;
use crate::contestants::{FLOOR, TRAINWIRE, TRAINWIRE_DISK};
use crate::report::Latency;
use crate::stats::{median, quantile};

const ROUNDS: usize = 5;
/// Of a round. Some hundred round trips, so that the rare slow ones show in the 99th percentile.
const TASKS: usize = 800;
const WARM_UP: usize = 100;

/// With the fields, a task of 256 bytes.
const SMALL_BYTES: usize = 160;
/// With the fields still below the inline limit of 64 KiB.
pub const INLINE_BYTES: usize = 65_280;

pub fn measure(run: &mut Run) -> Vec<Latency> {
    let mut rows = Vec::new();
    for cores in Cores::BOTH {
        let mut contestants = run.start(&[FLOOR, TRAINWIRE, TRAINWIRE_DISK], cores);
        for size_bytes in [SMALL_BYTES, INLINE_BYTES] {
            let command = Command::Transfers {
                size_bytes,
                count: TASKS,
                warm_up: WARM_UP,
                in_place: false,
                work: Work::Look,
            };
            let mut rounds: Vec<Vec<[f64; 4]>> = vec![Vec::new(); contestants.len()];
            for _ in 0..ROUNDS {
                for (contestant, figures) in contestants.iter_mut().zip(&mut rounds) {
                    let mut transfers = contestant.transfers(&command);
                    let (read, answered) = (&mut transfers.read_us, &mut transfers.answered_us);
                    figures.push([
                        quantile(read, 0.5),
                        quantile(read, 0.99),
                        quantile(answered, 0.5),
                        quantile(answered, 0.99),
                    ]);
                }
            }
            for (contestant, figures) in contestants.iter().zip(rounds) {
                let of = |which: usize| median(figures.iter().map(|figures| figures[which]));
                rows.push(Latency {
                    contestant: contestant.contestant.name.to_owned(),
                    cores: cores.name().to_owned(),
                    size_bytes,
                    read_p50_us: of(0),
                    read_p99_us: of(1),
                    answered_p50_us: of(2),
                    answered_p99_us: of(3),
                });
            }
        }
    }
    rows
}
