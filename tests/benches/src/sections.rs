//! What is measured. Within a section all contestants are alive at once and take turns, round by round, so
//! that a drift of the machine meets all alike.

mod idle;
mod import;
mod latency;
mod memory;
mod reports;
mod restart;
mod sizes;
mod submissions;
mod throughput;

pub use idle::serve as serve_idle;
pub use restart::serve as serve_restart;

use trainwire_bench_harness::{Command, Cores, Reply, Transfers};

use crate::contestants::{self, Contestant, OTHERS, Pythons, Running};
use crate::report::{Report, Skipped};

/// What every section is given.
pub struct Run {
    pub pythons: Pythons,
    pub skipped: Vec<Skipped>,
}

/// Measures, and puts what it found into its place.
type Section = fn(&mut Run, &mut Report);

/// By name, in the order in which they run.
pub const SECTIONS: [(&str, Section); 9] = [
    ("latency", |run, report| report.latency = latency::measure(run)),
    ("sizes", |run, report| report.sizes = sizes::measure(run)),
    ("throughput", |run, report| report.throughput = throughput::measure(run)),
    ("reports", |run, report| report.reports = reports::measure(&run.pythons.own)),
    ("memory", |run, report| report.memory = memory::measure(run)),
    ("import", |run, report| report.import = Some(import::measure(&run.pythons.own))),
    ("submissions", |_, report| report.submissions = Some(submissions::measure())),
    ("restart", |_, report| report.restarts = restart::measure()),
    ("idle", |_, report| report.idle = Some(idle::measure())),
];

/// Sections without other contestants.
const ALONE: [&str; 5] = ["reports", "import", "submissions", "restart", "idle"];

impl Run {
    /// Builds the contestants, if there is a section that they are wanted for.
    pub fn new(pythons: Pythons, wanted: &[String]) -> Self {
        let mut run = Self { pythons, skipped: Vec::new() };
        let alone = |section: &String| ALONE.contains(&section.as_str());
        if !wanted.is_empty() && wanted.iter().all(alone) {
            return run;
        }
        for (contestant, reason) in contestants::build() {
            run.skip(contestant, reason);
        }
        run
    }

    fn skip(&mut self, contestant: Contestant, reason: String) {
        println!("  skipped: {}: {reason}", contestant.label);
        self.skipped.push(Skipped { contestant: contestant.name.to_owned(), reason });
    }

    /// Starts those of `own` and all others that are not skipped.
    fn start(&mut self, own: &[Contestant], cores: Cores) -> Vec<Running> {
        let mut running = Vec::new();
        for &contestant in own.iter().chain(&OTHERS) {
            if self.skipped.iter().any(|skipped| skipped.contestant == contestant.name) {
                continue;
            }
            match Running::start(contestant, cores, &self.pythons) {
                Ok(started) => running.push(started),
                Err(reason) => self.skip(contestant, reason),
            }
        }
        running
    }
}

impl Running {
    fn transfers(&mut self, command: &Command) -> Transfers {
        match self.ask(command) {
            Reply::Transfers(transfers) => transfers,
            other => panic!("{} answered {other:?}", self.contestant.name),
        }
    }
}
