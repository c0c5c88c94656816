//! What goes wrong, with real processes, sockets and files: the orchestrator killed at any system call, a
//! disk that fails or is full at any of them, messages that are lost one by one, trainers that end in every way
//! at every step, a machine whose power is cut or whose clock is set. An independent reader of the journal, and of
//! what trainers and clients were told, finds every promise kept.
//!
//! Each test takes its sample of what there is; `make faults` and `make soak` take all (`TRAINWIRE_FAULTS`).

mod clocks;
mod disk;
mod journal;
mod kills;
mod life;
mod lives;
mod messages;
mod power;
mod proxy;
#[expect(dead_code, reason = "the simulation needs more of it")]
#[path = "../simulation/random.rs"]
mod random;
#[path = "../simulation/reader.rs"]
mod reader;
mod told;
mod trainer;
mod trainers;

/// How much of it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// Some seconds' worth: part of `make test`.
    Sample,
    /// Minutes: `make faults`.
    Full,
}

impl Extent {
    fn asked() -> Self {
        match std::env::var("TRAINWIRE_FAULTS").as_deref() {
            Ok("full") => Self::Full,
            Ok("sample") | Err(_) => Self::Sample,
            Ok(other) => panic!("TRAINWIRE_FAULTS={other}: \"full\" and \"sample\" are known"),
        }
    }
}
