//! Tasks from 1 KiB to 1 GiB: until the receiver has read four fields and has a NumPy view of the bytes.

use trainwire_bench_harness::{Command, Cores, Transfers, Work};

use super::Run;
use super::latency::INLINE_BYTES;
use crate::contestants::{FLOOR, TRAINWIRE, TRAINWIRE_SLAB};
use crate::report::Size;
use crate::stats::quantile;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Hyperparams, and transfers a round.
const SIZES: [(usize, usize); 11] = [
    (KIB, 200),
    (4 * KIB, 200),
    (16 * KIB, 200),
    (INLINE_BYTES, 100),
    (256 * KIB, 50),
    (MIB, 20),
    (4 * MIB, 10),
    (16 * MIB, 4),
    (64 * MIB, 2),
    (256 * MIB, 1),
    (1024 * MIB, 1),
];
const ROUNDS: usize = 5;
/// Where a round took longer, it is the last one of its size: a median of many would not be another one.
const SLOW_SECONDS: f64 = 2.0;

pub fn measure(run: &mut Run) -> Vec<Size> {
    let mut contestants = run.start(&[FLOOR, TRAINWIRE, TRAINWIRE_SLAB], Cores::Two);
    let mut rows = Vec::new();
    for (size_bytes, count) in SIZES {
        let mut lines: Vec<Line> = Vec::new();
        for (at, contestant) in contestants.iter().enumerate() {
            let contestant = contestant.contestant;
            if (contestant.size_bytes_min..=contestant.size_bytes_max).contains(&size_bytes) {
                lines.push(Line {
                    contestant: at,
                    in_place: false,
                    transfers: Transfers::default(),
                    slow: false,
                });
                // What fits a frame is not produced in place: it is copied into the socket anyway.
                if contestant.in_place && size_bytes > INLINE_BYTES {
                    lines.push(Line {
                        contestant: at,
                        in_place: true,
                        transfers: Transfers::default(),
                        slow: false,
                    });
                }
            }
        }
        for round in 0..ROUNDS {
            for line in &mut lines {
                if line.slow {
                    continue;
                }
                let warm_up = if round == 0 { count.min(20) } else { 0 };
                let command = Command::Transfers {
                    size_bytes,
                    count,
                    warm_up,
                    in_place: line.in_place,
                    work: Work::Sum,
                };
                let begin = std::time::Instant::now();
                line.add(contestants[line.contestant].transfers(&command));
                line.slow = begin.elapsed().as_secs_f64() > SLOW_SECONDS;
            }
        }
        rows.extend(lines.into_iter().map(|mut line| Size {
            contestant: contestants[line.contestant].contestant.name.to_owned(),
            in_place: line.in_place,
            size_bytes,
            read_us: quantile(&mut line.transfers.read_us, 0.5),
            touched_us: quantile(&mut line.transfers.touched_us, 0.5),
            total_us: quantile(&mut line.transfers.total_us, 0.5),
            transfers: line.transfers.read_us.len(),
        }));
    }
    rows
}

/// A contestant, from the heap or in place.
struct Line {
    contestant: usize,
    in_place: bool,
    transfers: Transfers,
    slow: bool,
}

impl Line {
    fn add(&mut self, transfers: Transfers) {
        self.transfers.read_us.extend(transfers.read_us);
        self.transfers.touched_us.extend(transfers.touched_us);
        self.transfers.total_us.extend(transfers.total_us);
    }
}
