//! What is measured. Within a section all contestants are alive at once and take turns, round by round, so
//! that a drift of the machine meets all alike.

mod idle;
mod import;
mod latency;
mod memory;
mod reports;
mod restart;
mod reunion;
mod sizes;
mod sockets;
mod submissions;
mod throughput;

pub use idle::serve as serve_idle;
pub use restart::serve as serve_restart;
pub use reunion::serve as serve_reunion;
pub use sockets::serve as serve_sockets;

use trainwire_bench_harness::{Command, Cores, Reply, Transfers};

use crate::contestants::{self, Contestant, OTHERS, Pythons, Running};
use crate::report::{Report, Skipped};

/// What every section is given.
pub struct Run {
    pub pythons: Pythons,
    pub skipped: Vec<Skipped>,
}

/// Something to measure.
pub struct Section {
    /// As it is asked for.
    pub name: &'static str,
    /// Of its figures in `bench.json`.
    pub key: &'static str,
    /// Whether other contestants take part.
    beside_others: bool,
    /// Measures, and puts what it found into its place.
    pub measure: fn(&mut Run, &mut Report),
}

/// In the order in which they run.
pub const SECTIONS: [Section; 11] = [
    beside_others("latency", "latency", |run, report| report.latency = latency::measure(run)),
    beside_others("sizes", "sizes", |run, report| report.sizes = sizes::measure(run)),
    beside_others("throughput", "throughput", |run, report| report.throughput = throughput::measure(run)),
    alone("reports", "reports", |run, report| report.reports = reports::measure(&run.pythons.own)),
    beside_others("memory", "memory", |run, report| report.memory = memory::measure(run)),
    alone("import", "import", |run, report| report.import = Some(import::measure(&run.pythons.own))),
    alone("submissions", "submissions", |_, report| report.submissions = Some(submissions::measure())),
    alone("restart", "restarts", |_, report| report.restarts = restart::measure()),
    alone("reunion", "reunion", |run, report| report.reunion = Some(reunion::measure(&run.pythons.own))),
    alone("sockets", "sockets", |_, report| report.sockets = sockets::measure()),
    alone("idle", "idle", |_, report| report.idle = Some(idle::measure())),
];

const fn beside_others(name: &'static str, key: &'static str, measure: fn(&mut Run, &mut Report)) -> Section {
    Section { name, key, beside_others: true, measure }
}

const fn alone(name: &'static str, key: &'static str, measure: fn(&mut Run, &mut Report)) -> Section {
    Section { name, key, beside_others: false, measure }
}

impl Run {
    /// Builds the contestants, if there is a section that they are wanted for.
    pub fn new(pythons: Pythons, wanted: &[&Section]) -> Self {
        let mut run = Self { pythons, skipped: Vec::new() };
        if !wanted.iter().any(|section| section.beside_others) {
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
