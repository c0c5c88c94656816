//! Both ends on one core, or each on its own.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Where the two ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    One,
    Two,
}

impl Cores {
    pub const BOTH: [Self; 2] = [Self::One, Self::Two];

    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one core",
            Self::Two => "two cores",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|cores| cores.name() == name)
    }

    /// The core of the Python end; the Rust end has core 0.
    pub fn worker(self) -> usize {
        match self {
            Self::One => 0,
            Self::Two => 1,
        }
    }
}

/// Binds the calling thread, and what it starts from now on, to one core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core).expect("a core number");
    sched_setaffinity(Pid::from_raw(0), &set).expect("this machine has that core");
}
