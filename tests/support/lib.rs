//! What the tests of the whole share: an orchestrator with folders of its own, trainers written as
//! Python text, and a peer that speaks the wire by hand.

#![allow(missing_docs, reason = "for the tests beside it")]

mod peer;
mod stage;
mod strace;
mod watch;
mod words;

pub use peer::{Heard, Peer, frames, hello, result};
pub use stage::{LAUNCHER, PRELUDE, Stage, python};
pub use strace::Strace;
pub use watch::{Watch, gone, within};
pub use words::Words;
